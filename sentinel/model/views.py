"""Where a feature set's stored columns stand in the model's raw inputs."""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sentinel.model.inputs import ModelInputs


@dataclass(frozen=True)
class View:
    """Where the aggregates of one entity and kind stand in `numeric`: statistic -> window (us) -> position."""

    name: str
    entity: str
    kind: str
    positions: Mapping[str, Mapping[int, int]]

    def windows(self, *statistics: str) -> list[int]:
        """The windows, shortest first, for which all of `statistics` are stored."""
        stored = [frozenset(self.positions.get(statistic, {})) for statistic in statistics]
        return sorted(frozenset[int].intersection(*stored))

    def at(self, statistic: str, windows: Sequence[int]) -> list[int]:
        return [self.positions[statistic][window] for window in windows]


def find_views(feature_set: Mapping[str, Any], inputs: ModelInputs) -> list[View]:
    """The views of a feature set, in the order in which it names them."""
    found: dict[str, tuple[str, str, dict[str, dict[int, int]]]] = {}
    for entry in feature_set["aggregates"]:
        *_, positions = found.setdefault(entry["view"], (entry["entity"], entry["kind"], {}))
        position = inputs.numeric.index(entry["name"])
        positions.setdefault(entry["statistic"], {})[int(entry["window_us"])] = position
    return [View(name, *known) for name, known in found.items()]


class Columns(nn.Module):
    """Some columns of a table [N, K]; one Gather in the graph."""

    positions: Tensor

    def __init__(self, at: Sequence[int]) -> None:
        super().__init__()
        self.at = tuple(at)
        self.register_buffer("positions", torch.tensor(self.at, dtype=torch.int64), persistent=False)

    def forward(self, table: Tensor) -> Tensor:
        return table.index_select(1, self.positions)
