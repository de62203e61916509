"""Which rows an epoch trains on, and in which order: a function of the seed and the epoch's number alone."""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor


class Draw:
    """The rows of an epoch: every fraud, and genuine ones drawn without replacement, in random order.

    Drawing a share r of the genuine rows raises the odds of fraud by 1 / r: `correction` is log(1 / r).
    """

    def __init__(self, labels: Tensor, genuine_per_fraud: int, seed: int) -> None:
        labels = labels.cpu()
        self.frauds, self.genuine = labels.nonzero().squeeze(1), (labels == 0).nonzero().squeeze(1)
        self.drawn = min(len(self.genuine), genuine_per_fraud * len(self.frauds))
        self.correction = math.log(len(self.genuine) / self.drawn)
        self.seed = seed

    def __len__(self) -> int:
        return len(self.frauds) + self.drawn

    def epoch(self, number: int) -> Tensor:
        """int64 [len(self)] positions of rows, the same whenever it is asked for."""
        generator = torch.Generator().manual_seed(_mixed(self.seed, number))
        chosen = torch.randperm(len(self.genuine), generator=generator)[: self.drawn]
        rows = torch.cat([self.frauds, self.genuine[chosen]])
        return rows[torch.randperm(len(rows), generator=generator)]


def _mixed(seed: int, number: int) -> int:
    return int(np.random.SeedSequence((seed, number)).generate_state(1, np.uint64)[0])
