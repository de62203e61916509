"""The winner of a search as a configuration: the one it started from, with another [training] section."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sentinel.config import Config, Training, load_config
from sentinel.errors import ConfigInvalid
from sentinel.storage import complete_file

_SECTION = re.compile(r"(?ms)^\[training\][^\n]*\n.*?(?=^\s*\[|\Z)")


def tuned_file(config: Config) -> Path:
    """Beside the configuration, since what it names is found from its folder."""
    return config.file.with_name(f"{config.file.stem}_tuned.toml")


def write_tuned_config(config: Config, settings: Mapping[str, Any], remarks: Sequence[str], file: Path) -> None:
    """`settings`: the [training] values found; what else the configuration says of training stays.

    Raises ConfigInvalid when the file would not say what it should.
    """
    said = config.training.model_dump(mode="json", include=config.training.model_fields_set)
    values = {**said, **settings}
    section = ["[training]", *(f"# {remark}" for remark in remarks)]
    section += [f"{key} = {json.dumps(value)}" for key, value in values.items() if value is not None]
    rest = _SECTION.sub("", config.file.read_text(encoding="utf-8")).rstrip()
    with complete_file(file) as temporary:
        temporary.write_text(rest + "\n\n" + "\n".join(section) + "\n", encoding="utf-8")
        if not _says(temporary, config.training.model_copy(update=values)):
            raise ConfigInvalid(
                f"The settings that were found cannot be written as {file}: {config.file} says something of training "
                "outside of a [training] section. Move it there, and run again: nothing is tried twice."
            )


def _says(file: Path, training: Training) -> bool:
    try:
        return load_config(file).training == training
    except ConfigInvalid:
        return False
