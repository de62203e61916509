"""How many rows go through the network at once: memory decides, and the result does not depend on it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

from sentinel.config import Training
from sentinel.storage import write_json
from sentinel.training.device.hardware import Hardware


class MicroBatches:
    """What fitted into a card's memory, remembered in a JSON file, so that the next run need not find out."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def get(self, key: str) -> int | None:
        """Rows at once; None when nothing is known, or the file cannot be read."""
        found = self._all().get(key)
        return found if isinstance(found, int) and found >= 1 else None

    def remember(self, key: str, rows: int) -> None:
        write_json(self.file, self._all() | {key: rows})

    def _all(self) -> dict[str, object]:
        try:
            found = json.loads(self.file.read_text())
        except (OSError, ValueError):
            return {}
        return cast("dict[str, object]", found) if isinstance(found, dict) else {}


def memory_key(hardware: Hardware, settings: Training, parameters: int) -> str:
    """What the memory of a training pass depends on, besides its rows."""
    limit = f"{settings.device_memory_fraction:g} of its memory" if hardware.is_cuda else settings.memory_limit
    return f"{hardware.name} | {limit or 'all memory'} | {parameters} weights | {hardware.precision}"
