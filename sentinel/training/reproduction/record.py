"""What one training was made of, as files that stay with its MLflow run, and what differs from it here and now.

The first part is written before the training, the second (`Outcome`) when it has ended. Nothing here trains.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sentinel.errors import RecordInvalid
from sentinel.storage import write_json

INGREDIENTS, OUTCOME = "ingredients.json", "outcome.json"
CONFIG, ENVIRONMENT = "config.json", "environment.json"

Kind = Literal["lock", "package", "code", "machine", "features"]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Data(_Strict):
    """`version` is DVC's md5 of the folder, `bytes` those of its files."""

    version: str
    bytes: int
    transactions_sha256: str


class Packages(_Strict):
    """Version by package: as the lock has it, and as it is installed."""

    locked: dict[str, str]
    installed: dict[str, str]


class Environment(_Strict):
    """`code`: sha256 by source file."""

    git_commit: str
    git_is_clean: bool
    lock: str  # its file name
    lock_sha256: str
    python: str
    code: dict[str, str]
    packages: Packages


class Ingredients(_Strict):
    """`config` as resolved; the digests of features and splits are those of the stages' artifacts."""

    name: str
    run: str
    seed: int
    data: Data
    features_sha256: str
    splits_sha256: str
    config: dict[str, Any]
    environment: Environment


class Machine(_Strict):
    """What of a machine the bits of a weight can depend on."""

    device: str
    name: str  # of the card, or of the CPU
    precision: str
    threads: int  # of all processes together
    processes: int = 1  # that trained together; a record without it is of one


class Outcome(_Strict):
    weights_sha256: str
    machine: Machine


@dataclass(frozen=True)
class Difference:
    """`then` and `now`: what was and what is; None where there was or is nothing."""

    kind: Kind
    what: str
    then: str | None
    now: str | None

    @property
    def sentence(self) -> str:
        was, is_now = self.then or "absent", self.now or "absent"
        return f"{self.kind} {self.what}: {was} then, {is_now} now"


def write_ingredients(folder: Path, found: Ingredients, lock: Path) -> None:
    """What is long stands in files of its own; the lock is kept whole."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / CONFIG, found.config)
    write_json(folder / ENVIRONMENT, found.environment.model_dump(mode="json"))
    write_json(folder / INGREDIENTS, found.model_dump(mode="json", exclude={"config", "environment"}))
    shutil.copyfile(lock, folder / found.environment.lock)


def read_ingredients(folder: Path) -> Ingredients:
    """Raises RecordInvalid when a file of the record is missing or is none."""
    try:
        parts = {"config": _read(folder / CONFIG), "environment": _read(folder / ENVIRONMENT)}
        return Ingredients.model_validate({**_read(folder / INGREDIENTS), **parts})
    except (OSError, ValueError, TypeError, ValidationError) as error:
        raise _no_record(error) from error


def read_outcome(folder: Path) -> Outcome:
    """Raises RecordInvalid for a training that never came to its end."""
    try:
        return Outcome.model_validate(_read(folder / OUTCOME))
    except (OSError, ValueError, ValidationError) as error:
        raise _no_record(error) from error


def environment_differences(then: Environment, now: Environment) -> list[Difference]:
    """What is not as it was: the lock, what is installed, each source file."""
    return [
        *_lock_differences(then, now),
        *_by_name("package", then.packages.installed, now.packages.installed),
        *_by_name("package", {"python": then.python}, {"python": now.python}),
        *_by_name("code", _short(then.code), _short(now.code)),
    ]


def feature_differences(then: Ingredients, features_sha256: str, splits_sha256: str) -> list[Difference]:
    """Whether the same data gave other features or splits."""
    was = {"table": then.features_sha256, "splits": then.splits_sha256}
    return _by_name("features", _short(was), _short({"table": features_sha256, "splits": splits_sha256}))


def machine_differences(then: Machine, now: Machine) -> list[Difference]:
    return _by_name("machine", _texts(then), _texts(now))


def _texts(machine: Machine) -> dict[str, str]:
    return {name: str(value) for name, value in machine.model_dump().items()}


def _lock_differences(then: Environment, now: Environment) -> list[Difference]:
    if then.lock_sha256 == now.lock_sha256:
        return []
    pins = _by_name("lock", then.packages.locked, now.packages.locked)
    if pins and then.lock == now.lock:
        return pins
    digests = (f"{one.lock} {one.lock_sha256[:12]}" for one in (then, now))
    return [Difference("lock", "file", *digests), *pins]


def _by_name(kind: Kind, then: Mapping[str, str], now: Mapping[str, str]) -> list[Difference]:
    names = sorted({*then, *now})
    return [Difference(kind, name, then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name)]


def _short(digests: Mapping[str, str]) -> dict[str, str]:
    return {name: digest[:12] for name, digest in digests.items()}


def _read(file: Path) -> Any:
    return json.loads(file.read_text())


def _no_record(error: Exception) -> RecordInvalid:
    return RecordInvalid(
        f"The record of this training cannot be read: {str(error).splitlines()[0]}. It ended early, or was made "
        "before such records were kept. Give the run_id of a version that `sentinel models show` prints."
    )
