"""Why a process of a training ended: it writes a file, and the one that launched it tells the user."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path

import sentinel.errors
from sentinel.errors import SentinelError, TrainingFailed

_LOST = ("Connection closed", "Connection reset", "Broken pipe", "remote process exited")  # gloo's and NCCL's words


@dataclass(frozen=True)
class Failure:
    """What a process says of its end."""

    rank: int
    kind: str  # the nearest class of sentinel.errors, or the error's own
    message: str
    time: float

    @classmethod
    def of(cls, rank: int, error: Exception) -> Failure:
        kinds = [kind.__name__ for kind in type(error).__mro__ if kind.__module__ == sentinel.errors.__name__]
        return cls(rank, (kinds or [type(error).__name__])[0], str(error), time.time())

    @property
    def error(self) -> type[SentinelError] | None:
        """The class of ours that tells it in a sentence."""
        kind = getattr(sentinel.errors, self.kind, None)
        return kind if isinstance(kind, type) and issubclass(kind, SentinelError) else None

    @property
    def is_of_another(self) -> bool:
        """It only lost another process in the middle of a sum."""
        return self.error is None and any(words in self.message for words in _LOST)


def failure_file(job: Path, rank: int) -> Path:
    return job / f"failure-{rank}.json"


def first_failure(job: Path, processes: int, log: Path) -> SentinelError:
    """What is told is the failure of the first process that knows why it ended."""
    files = [failure_file(job, rank) for rank in range(processes)]
    told = [Failure(**json.loads(file.read_text())) for file in files if file.exists()]
    told.sort(key=lambda failure: (failure.error is None, failure.is_of_another, failure.time))
    where = f"Its log is {log}."
    if not told or told[0].is_of_another:
        return TrainingFailed(
            f"One of {processes} training processes was ended from outside, or could not start. "
            f"{where} If memory was scarce, lower training.memory_limit or training.devices. Run again to go on."
        )
    first = told[0]
    if first.error is not None:
        return first.error(first.message)
    who = f"Training process {first.rank + 1} of {processes}"
    return TrainingFailed(f"{who} failed: {first.kind}: {first.message.rstrip('.')}. {where}")
