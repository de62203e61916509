"""A drawn sample of the training rows, for what is fitted on them before the first step: of bounded size."""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Sample:
    """`positions` int64 [M], ascending; a drawn fraud, and a drawn genuine row, stand for so many rows."""

    positions: Tensor
    rows_a_fraud: float
    rows_a_genuine: float

    @property
    def correction(self) -> float:
        """What the sample's logits are above those of all rows."""
        return math.log(self.rows_a_genuine / self.rows_a_fraud)

    def weights(self, labels: Tensor) -> Tensor:
        """float32 [M] for the labels of the drawn rows."""
        return torch.where(labels > 0, self.rows_a_fraud, self.rows_a_genuine)


def draw_sample(labels: Tensor, most_frauds: int, most_genuine: int, seed: int) -> Sample:
    """Of labels [N], with both kinds among them; every row of a kind that has no more than asked for."""
    generator = torch.Generator().manual_seed(seed)
    frauds, genuine = labels.nonzero().squeeze(1), (labels == 0).nonzero().squeeze(1)
    drawn_frauds, drawn_genuine = _some(frauds, most_frauds, generator), _some(genuine, most_genuine, generator)
    return Sample(
        torch.cat([drawn_frauds, drawn_genuine]).sort().values,
        len(frauds) / len(drawn_frauds),
        len(genuine) / len(drawn_genuine),
    )


def _some(rows: Tensor, most: int, generator: torch.Generator) -> Tensor:
    return rows[torch.randperm(len(rows), generator=generator)[:most]]
