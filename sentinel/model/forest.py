"""Boosted trees inside the graph: tensors, gathers and comparisons, no operator of their own.

Every tree is stored as a complete binary one of the same depth; a leaf that lies higher is repeated below itself.
All nodes answer for all rows, and each level chooses between its children's answers: whole rows of memory at a time,
where following each row's path would be a random access a step.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ForestSize:
    """What fixes the shapes of a forest's buffers."""

    trees: int
    depth: int

    @property
    def nodes(self) -> int:
        """Of one tree, without its leaves."""
        return 2**self.depth - 1


class Forest(nn.Module):
    """derived float32 [N, D], codes int64 [N, C] (None when C = 0) -> logit float32 [N].

    In node (t, n) a row goes right when its value of column `feature` (the codes follow the derived features) is at
    least `threshold`; a missing one goes where `missing_right` says. Nodes are numbered as in a heap.
    """

    feature: Tensor  # int64 [trees, nodes]
    threshold: Tensor  # float32 [trees, nodes]
    missing_right: Tensor  # bool [trees, nodes]
    leaf: Tensor  # float32 [trees, nodes + 1]
    base: Tensor  # float32, the logit before the first tree

    def __init__(self, size: ForestSize) -> None:
        super().__init__()
        self.size = size
        self.register_buffer("feature", torch.zeros((size.trees, size.nodes), dtype=torch.int64))
        self.register_buffer("threshold", torch.zeros((size.trees, size.nodes)))
        self.register_buffer("missing_right", torch.zeros((size.trees, size.nodes), dtype=torch.bool))
        self.register_buffer("leaf", torch.zeros((size.trees, size.nodes + 1)))
        self.register_buffer("base", torch.zeros(()))

    def forward(self, derived: Tensor, categorical: Tensor | None = None) -> Tensor:
        columns = derived if categorical is None else torch.cat([derived, categorical.float()], dim=1)
        columns = columns.t().contiguous()
        answer = self.leaf.flatten()[:, None]  # [trees * nodes of a level, N]: what each node's subtree answers
        for level in reversed(range(self.size.depth)):
            goes_right = self._goes_right(columns, slice(2**level - 1, 2 ** (level + 1) - 1))
            children = answer.view(len(goes_right), 2, -1)
            answer = torch.where(goes_right, children[:, 1], children[:, 0])
        return self.base + answer.sum(dim=0)

    def _goes_right(self, columns: Tensor, level: slice) -> Tensor:
        """bool [trees * nodes of the level, N]; a missing value is neither below a threshold nor above it."""
        value = columns.index_select(0, self.feature[:, level].flatten())
        threshold = self.threshold[:, level].reshape(-1, 1)
        return (value >= threshold) | (~(value < threshold) & self.missing_right[:, level].reshape(-1, 1))
