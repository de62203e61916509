"""How far a training has come, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Epoch:
    number: int  # from 1
    loss: float
    validation_pr_auc: float | None
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class History:
    epochs: tuple[Epoch, ...]
    best: int  # number of the epoch whose weights were kept
    rows_a_second: float
    batch_size: int
    micro_batch: int  # rows that went through the network at once, at the end
    skipped: tuple[int, ...]  # numbers of the steps, from 0, whose loss or gradient was not finite
    checkpoint_share: float  # of this process's time in the loop that went into checkpoints
    resumed_at: int | None  # the step at which a killed run was taken up


@dataclass
class Position:
    """Fit for JSON; a run goes on from it."""

    epoch: int = 1
    step: int = 0  # of the epoch: the next one
    loss: float = 0.0  # of this epoch, summed over the rows that were learned from
    rows: int = 0  # of this epoch, that were learned from
    skipped: list[int] = field(default_factory=list[int])
    epochs: list[Epoch] = field(default_factory=list[Epoch])
    best: int = 0  # number of an epoch
    epoch_seconds: float = 0.0  # of training in this epoch
    seconds: float = 0.0  # of training in all

    @classmethod
    def from_dict(cls, numbers: Mapping[str, Any]) -> Position:
        epochs: Any = [Epoch(**epoch) for epoch in numbers["epochs"]]
        return cls(**{**numbers, "epochs": epochs})

    def spend(self, seconds: float) -> None:
        self.epoch_seconds += seconds
        self.seconds += seconds

    def end_epoch(self, epoch: Epoch) -> None:
        self.epochs.append(epoch)
        self.epoch, self.step, self.loss, self.rows, self.epoch_seconds = epoch.number + 1, 0, 0.0, 0, 0.0

    def is_better(self, score: float | None) -> bool:
        """Than the best epoch so far; without scores the last one is kept."""
        return score is None or self.best == 0 or score > (self.epochs[self.best - 1].validation_pr_auc or 0.0)
