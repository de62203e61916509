"""The end of a training whose numbers are none, with the rows that brought it about."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from sentinel.config import Training
from sentinel.errors import TrainingFailed
from sentinel.storage import write_json

BAD_BATCHES = "bad_batches.json"


class BadRows(TrainingFailed):
    """NotFinite, once it is known which transactions the rows are: `file` names them."""

    def __init__(self, message: str, file: Path) -> None:
        self.file = file
        super().__init__(message)


Batches = Mapping[int, Sequence[int]]  # positions of training rows, by the number of the step


class NotFinite(TrainingFailed):
    """Too many steps had a loss or gradient that is no finite number."""

    def __init__(self, batches: Batches, epoch: int, settings: Training, precision: str, file: Path | None) -> None:
        """`file`: where the batches lie."""
        self.batches = batches
        where = f" These batches are in {file}." if file else ""
        super().__init__(
            f"The loss or its gradient was no finite number in {len(batches)} steps, at last in epoch {epoch}; "
            f"training.max_skipped_steps allows {settings.max_skipped_steps}. Lower training.learning_rate (now "
            f'{settings.learning_rate:g}) or set training.precision = "fp32" (now {precision}).{where}'
        )


def read_bad_batches(folder: Path) -> Batches:
    """Those that `store_bad_batches` left in `folder`; empty without any."""
    file = folder / BAD_BATCHES
    if not file.exists():
        return {}
    return {int(number): positions for number, positions in json.loads(file.read_text()).items()}


def store_bad_batches(folder: Path, batches: Batches) -> Path:
    file = folder / BAD_BATCHES
    write_json(file, {str(number): list(positions) for number, positions in batches.items()})
    return file
