"""What every value comes from, as edges: source column -> view -> feature -> derived feature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sentinel.features.catalogue import ViewEntry

Node = Literal["column", "view", "feature", "derived"]


@dataclass(frozen=True)
class Edge:
    """`rule`: of an edge into a view, when its rows become knowable."""

    from_kind: Node
    from_name: str
    to_kind: Node
    to_name: str
    rule: str | None = None

    def to_dict(self) -> dict[str, str | None]:
        return {
            "from": self.from_name, "from_kind": self.from_kind, "to": self.to_name, "to_kind": self.to_kind,
            "rule": self.rule,
        }  # fmt: skip


def lineage(views: Sequence[ViewEntry], derived: Mapping[str, Sequence[str]]) -> list[Edge]:
    """`derived`: what the model computes inside its graph, each from features or from columns of the transaction."""
    edges: list[Edge] = []
    for view in views:
        edges += [Edge("column", column, "view", view.name, view.knowable) for column in view.source_columns]
        edges += [Edge("view", view.name, "feature", feature.name) for feature in view.features]
    features = {feature.name for view in views for feature in view.features}
    for name, inputs in derived.items():
        edges += [Edge("feature" if each in features else "column", each, "derived", name) for each in inputs]
    return edges
