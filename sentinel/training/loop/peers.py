"""The processes that train one model together: each takes its share of every batch, all take the same step."""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
import torch.distributed as distributed
from torch import Tensor


@dataclass(frozen=True)
class Peers:
    """Without a process group (`world` = 1) nothing is exchanged."""

    rank: int = 0
    world: int = 1

    @property
    def is_first(self) -> bool:
        """The one that writes and tells."""
        return self.rank == 0

    def share(self, rows: Tensor) -> Tensor:
        """This process's part of a batch [B, ...]: contiguous, so that all parts in order are the batch."""
        end = len(rows) * (self.rank + 1) // self.world
        return rows[self.start(len(rows)) : end]

    def start(self, size: int) -> int:
        """The position, in a batch of `size` rows, of the first of this process's part."""
        return size * self.rank // self.world

    def sum(self, value: Tensor) -> Tensor:
        """In place, over all processes."""
        if self.world > 1:
            distributed.all_reduce(value)
        return value

    def sum_gradients(self, parameters: Iterable[Tensor]) -> None:
        """Every process's share of the batch's gradient becomes the whole one; one message for all weights."""
        if self.world == 1:
            return
        gradients = [weight.grad for weight in parameters if weight.grad is not None]
        flat = self.sum(torch.cat([gradient.flatten() for gradient in gradients]))
        start = 0
        for gradient in gradients:
            gradient.copy_(flat[start : start + gradient.numel()].view_as(gradient))
            start += gradient.numel()


ALONE = Peers()
