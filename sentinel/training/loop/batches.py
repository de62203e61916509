"""Which rows each step of a training takes: of all processes together, and of this one."""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator, Iterable
from itertools import groupby

import torch
from torch import Tensor

from sentinel.training.data.rows import Rows, TrainingRows
from sentinel.training.loop.draw import Draw
from sentinel.training.loop.peers import Peers
from sentinel.training.loop.step import Batch, Plan


class Batches:
    """Steps are counted over the run from 0, epochs from 1."""

    def __init__(self, rows: TrainingRows, draw: Draw, plan: Plan, peers: Peers) -> None:
        self.rows, self.draw, self.plan, self.peers = rows, draw, plan, peers

    def shares(self, epoch: int, done: int) -> Generator[Batch]:
        """This process's shares of the epoch's batches but for the first `done`; those of a size are one stream."""
        whole = self._of_epoch(epoch)[done:]
        sizes = iter([len(batch) for batch in whole])
        for length, group in groupby(map(self.peers.share, whole), key=len):
            shares = list(group)
            for rows in self.rows.blocks(torch.cat(shares), length) if length else (None for _ in shares):
                size = next(sizes)
                yield Batch(rows, self.peers.start(size), size)

    def positions(self, steps: Iterable[int]) -> dict[int, Tensor]:
        """Of the training rows in the batches of `steps`, which are given in ascending order."""
        found: dict[int, Tensor] = {}
        for epoch, of_epoch in groupby(steps, key=lambda step: step // self.plan.steps_an_epoch):
            batches = self._of_epoch(epoch + 1)
            found |= {step: batches[step % self.plan.steps_an_epoch] for step in of_epoch}
        return found

    def rows_of(self, steps: Iterable[int]) -> Rows:
        """The training rows of `steps`, one after the other."""
        return self.rows.take(torch.cat(list(self.positions(steps).values())))

    def _of_epoch(self, epoch: int) -> tuple[Tensor, ...]:
        return self.draw.epoch(epoch).split(self.plan.batch_size)
