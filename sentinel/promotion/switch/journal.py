"""What a decision is about to do, on disk before anything moves, so that a kill at any step can be made good."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sentinel.errors import RecordInvalid
from sentinel.storage import remove_leftovers, write_json

Texts = Mapping[str, str]


@dataclass(frozen=True)
class Intent:
    """One decision: the `entry` for the chain, and what changes in the registry besides the champion.

    `entry` holds `id`, and the champion before and after; the alias moves when they differ.
    """

    entry: dict[str, Any]
    aliases: Texts = field(default_factory=dict[str, str])
    tags: Mapping[str, Texts] = field(default_factory=dict[str, dict[str, str]])
    descriptions: Texts = field(default_factory=dict[str, str])

    @property
    def moves(self) -> bool:
        return self.entry["champion_before"] != self.entry["champion_after"]


@dataclass(frozen=True)
class Journal:
    """The file of one registry; it is there only while a decision is being carried out."""

    file: Path

    def write(self, intent: Intent) -> None:
        write_json(self.file, asdict(intent))

    def read(self) -> Intent | None:
        """Raises RecordInvalid when the file is not as it was written."""
        remove_leftovers(self.file)  # the caller holds the lock
        if not self.file.is_file():
            return None
        try:
            intent = Intent(**json.loads(self.file.read_text()))
            _ = (intent.entry["id"], intent.entry["champion_before"], intent.entry["champion_after"])
        except (ValueError, TypeError, KeyError) as error:
            raise RecordInvalid(
                f"{self.file}, a decision that was being carried out, cannot be read ({error!r}). See whether the "
                "alias champion in MLflow is as the chain of decisions says, then remove this file."
            ) from error
        return intent

    def clear(self) -> None:
        self.file.unlink(missing_ok=True)
