"""Two versions side by side: what differs first."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel.promotion.figures import read_figures, read_gates, read_json
from sentinel.promotion.layout import FACTS


@dataclass(frozen=True)
class Line:
    """One thing of both versions; None where a release does not say."""

    group: str  # figure, gate, threshold or metric
    name: str
    left: Any
    right: Any

    @property
    def differs(self) -> bool:
        return self.left != self.right


def compare_releases(left: Path, right: Path) -> list[Line]:
    """Every line of both, those that differ first, in the order figures, gates, thresholds, metrics."""
    pairs = {
        "figure": (read_figures(left), read_figures(right)),
        "gate": (_gates(left), _gates(right)),
        "threshold": (_thresholds(left), _thresholds(right)),
        "metric": (read_json(left / FACTS)["metrics"], read_json(right / FACTS)["metrics"]),
    }
    lines = [
        Line(group, name, one.get(name), other.get(name))
        for group, (one, other) in pairs.items()
        for name in dict.fromkeys([*one, *other])
    ]
    return sorted(lines, key=lambda line: not line.differs)


def _gates(folder: Path) -> dict[str, Any]:
    return {gate["name"]: f"{gate['outcome']} ({_value(gate['value'])})" for gate in read_gates(folder)}


def _thresholds(folder: Path) -> dict[str, Any]:
    return {gate["name"]: gate["threshold"] for gate in read_gates(folder)}


def _value(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value or "-")
