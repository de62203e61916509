"""Piecewise-linear encoding of the derived features (Gorishniy et al., 2022), missing values and categories.

A feature with edges e0 < e1 < .. becomes one value a bin: 1 left of x, 0 right of x, a fraction where x lies.
Decision trees choose the edges, so that bins are narrow where the fraud rate changes. Every inner edge has a steep
bin of its own besides: a limit in the data is a step, and a ramp up to the next edge would blur it. Whatever comes in,
what goes out lies in [0, 1]: an extreme value can do no more than the largest one in training.
"""

# torch and scikit-learn type many of their functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sentinel.model.inputs import ModelInputs

LEAST_ROWS_IN_BIN = 64
LEAF = -1  # the child that a leaf of a scikit-learn tree has
LEAST_WIDTH = 1e-4  # of a bin: a narrower one would turn float32's last bits into a different answer
LEAST_GAIN = 0.03  # of the impurity of all rows; a split that gains less blurs the ranking of the doubtful ones


@dataclass(frozen=True)
class EncodingSize:
    """What fixes the shapes of the encoding's buffers."""

    bins: int  # over all features
    missing: int  # indicators


class Encoding(nn.Module):
    """derived float32 [N, D], codes int64 [N, C] -> float32 [N, width]."""

    feature: Tensor  # [bins] which derived feature a bin belongs to
    slope: Tensor  # [bins] 1 / bin width
    left: Tensor  # [bins] left edge
    missing: Tensor  # [missing] features that have an indicator of their own

    def __init__(self, size: EncodingSize, inputs: ModelInputs) -> None:
        super().__init__()
        self.size = size
        self.codes = [vocabulary.codes for vocabulary in inputs.categorical]
        self.width = size.bins + size.missing + sum(self.codes)
        self.register_buffer("feature", torch.zeros(size.bins, dtype=torch.int64))
        self.register_buffer("slope", torch.zeros(size.bins))
        self.register_buffer("left", torch.zeros(size.bins))
        self.register_buffer("missing", torch.zeros(size.missing, dtype=torch.int64))

    def forward(self, derived: Tensor, categorical: Tensor | None = None) -> Tensor:
        unknown = derived.isnan()
        known = torch.where(unknown, 0.0, derived)
        piece = ((known.index_select(1, self.feature) - self.left) * self.slope).clamp(0, 1)
        present = torch.where(unknown, 0.0, 1.0)
        parts = [piece * present.index_select(1, self.feature), 1 - present.index_select(1, self.missing)]
        if categorical is not None:
            for position, codes in enumerate(self.codes):
                values = torch.arange(codes, device=categorical.device)
                parts.append((categorical[:, position : position + 1] == values).float())
        return torch.cat(parts, dim=1)

    @classmethod
    def fit(cls, derived: Tensor, labels: Tensor, weights: Tensor, inputs: ModelInputs, bins: int) -> Encoding:
        """Edges and indicators from training rows: derived [N, D], labels bool [N].

        `weights` [N] says for how many rows each one stands, where genuine rows were drawn.
        """
        edges = [feature_edges(derived[:, feature], labels, weights, bins) for feature in range(derived.shape[1])]
        bounds = [bin_bounds(edge) for edge in edges]
        missing = distinct_patterns(derived.isnan())
        encoding = cls(EncodingSize(sum(map(len, bounds)), len(missing)), inputs)
        feature = [torch.full((len(bound),), position) for position, bound in enumerate(bounds)]
        left, right = torch.cat(bounds).unbind(1)
        encoding.feature.copy_(torch.cat(feature))
        encoding.slope.copy_(1 / (right - left))
        encoding.left.copy_(left)
        encoding.missing.copy_(torch.tensor(missing, dtype=torch.int64))
        return encoding


def feature_edges(values: Tensor, labels: Tensor, weights: Tensor, bins: int) -> Tensor:
    """float64 edges, ascending: a tree's thresholds between the extremes; none for less than two known values."""
    known = values.isfinite()
    values, labels, weights = values[known].double(), labels[known], weights[known]
    if len(values) < 2 or float(values.max() - values.min()) < LEAST_WIDTH:
        return torch.zeros(0, dtype=torch.float64)
    from sklearn.tree import DecisionTreeClassifier  # a second, which a process that only loads a model saves

    rate = float(weights[labels].sum() / weights.sum())
    tree = DecisionTreeClassifier(
        max_leaf_nodes=min(bins, len(values)),  # as much as is reserved: a leaf has a row at least
        min_samples_leaf=max(1, min(LEAST_ROWS_IN_BIN, len(values) // 8)),
        min_impurity_decrease=LEAST_GAIN * 2 * rate * (1 - rate),
        random_state=0,
    )
    tree.fit(values.numpy()[:, None], labels.numpy(), sample_weight=weights.numpy())
    splits = cast("NDArray[np.float64]", tree.tree_.threshold[tree.tree_.children_left != LEAF])
    return _spaced(torch.cat([values.min()[None], torch.from_numpy(np.sort(splits)), values.max()[None]]))


def bin_bounds(edges: Tensor) -> Tensor:
    """[bins, 2] left and right: from edge to edge, then a steep bin around each inner edge."""
    if len(edges) < 2:
        return torch.zeros((0, 2), dtype=torch.float64)
    inner = edges[1:-1]
    half = least_width(inner) / 2
    return torch.cat([torch.stack([edges[:-1], edges[1:]], 1), torch.stack([inner - half, inner + half], 1)])


def least_width(edge: Tensor) -> Tensor:
    return LEAST_WIDTH * edge.abs().clamp(min=1.0)


def _spaced(edges: Tensor) -> Tensor:
    """Without the edges that come too soon after the one before them."""
    kept = [float(edges[0])]
    for edge, width in zip(edges[1:], least_width(edges[1:]), strict=True):
        if edge - kept[-1] >= width:
            kept.append(float(edge))
    return torch.tensor(kept, dtype=torch.float64)


def distinct_patterns(missing: Tensor) -> list[int]:
    """The first feature of each pattern of missing values [N, D] that is neither empty nor a repetition."""
    seen: dict[bytes, int] = {}
    for feature in range(missing.shape[1]):
        column = missing[:, feature]
        if bool(column.any()):
            seen.setdefault(column.numpy().tobytes(), feature)
    return sorted(seen.values())
