"""What stages tell while they run, and who listens: the terminal on the command line, nobody on a worker."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True)
class StageStarted:
    stage: str


@dataclass(frozen=True)
class StageAdvanced:
    stage: str
    done: float
    total: float
    doing: str


@dataclass(frozen=True)
class StageEnded:
    stage: str
    seconds: float
    outcome: str  # done, cached or failed


Event = StageStarted | StageAdvanced | StageEnded


class Listener(Protocol):
    def __call__(self, event: Event) -> None: ...


def _nobody(event: Event) -> None: ...


listener: ContextVar[Listener] = ContextVar("listener", default=_nobody)
current_stage: ContextVar[str] = ContextVar("current_stage", default="")
