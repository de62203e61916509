"""Dropout whose mask belongs to the row, not to a generator: the same however a batch is cut, redone or shared out.

A mask is a function of (seed, step, layer, row's position in the batch, unit) by a counter-based hash
(Salmon et al., 2011: "Parallel random numbers: as easy as 1, 2, 3"; the mixing is Wellons' lowbias32).
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

_FIRST, _SECOND = 0x7FEB352D, 0x846CA68B - 2**32  # odd factors, as int32
_WEYL = 0x9E3779B9 - 2**32  # 2^32 / golden ratio: neighbouring units differ in many bits
_HALF = 2**31


class RowDropout(nn.Module):
    """[N, ...] -> [N, ...]; zeros a share `p` of each row's values in training, and is nothing otherwise.

    `RowKeys.use` gives it the keys of the N rows before each training pass.
    """

    keys: Tensor | None = None  # int32 [N]

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p

    def forward(self, values: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return values
        if self.keys is None:
            raise RuntimeError("RowDropout in training needs the keys of its rows: call RowKeys.use first.")
        units = torch.arange(values[0].numel(), dtype=torch.int32, device=values.device) * _WEYL
        drawn = _mixed(self.keys[:, None] ^ units)  # uniform over the int32 numbers
        kept = drawn >= round(self.p * 2**32) - _HALF
        return values * kept.to(values.dtype).mul_(1 / (1 - self.p)).view(values.shape)

    def extra_repr(self) -> str:
        return f"p={self.p}"


class RowKeys:
    """Gives every RowDropout of `net` the keys of the rows that go through it."""

    def __init__(self, net: nn.Module, seed: int, batch_size: int, device: torch.device) -> None:
        self.seed = seed
        self.layers = [module for module in net.modules() if isinstance(module, RowDropout)]
        positions = torch.arange(batch_size, dtype=torch.int32, device=device)
        self.positions = [
            _mixed(_mixed(positions ^ _number(seed, 0, layer)) ^ _number(seed, 1, layer))
            for layer in range(len(self.layers))
        ]

    def use(self, step: int, begin: int, end: int) -> None:
        """For the rows at positions [begin, end) of the batch of `step`, counted from the run's first."""
        number = _number(self.seed, 2, step)
        for layer, positions in zip(self.layers, self.positions, strict=True):
            layer.keys = positions[begin:end] ^ number

    def forget(self) -> None:
        for layer in self.layers:
            layer.keys = None


def _number(*of: int) -> int:
    """An int32 that is the same for the same numbers, on every machine and in every version."""
    return int(np.random.SeedSequence(of).generate_state(1)[0]) - _HALF


def _mixed(numbers: Tensor) -> Tensor:
    """In place; int32 arithmetic wraps. The shift drags the sign along, which costs one of the 32 bits."""
    numbers *= _FIRST
    numbers ^= numbers >> 15
    numbers *= _SECOND
    return numbers
