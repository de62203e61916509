"""The variants in one picture: what a faster answer costs in changed decisions.

Which one is chosen depends on bounds that may change without a new measurement, so the picture does not say it.
"""

# matplotlib types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sentinel.storage import complete_file

PICTURE = "pareto.png"
_MARKS = "osD^vP*X<>hp"
_LARGEST, _SMALLEST = 700.0, 40.0  # square points of the largest file and of none


def draw_pareto(variants: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    """Latency p99 at batch 1 against flipped decisions in 10,000; the area is the size of the file."""
    measured = {name: found for name, found in variants.items() if "flipped_fraction" in found}
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    largest = max((found["bytes"] for found in measured.values()), default=1)
    for mark, (name, found) in zip(_MARKS * len(measured), measured.items(), strict=False):
        area = _SMALLEST + (_LARGEST - _SMALLEST) * found["bytes"] / largest
        at = (found["latency_p99_ms"], found["flipped_fraction"] * 10_000)
        axes.scatter(*at, s=area, marker=mark, alpha=0.55, edgecolors="black", zorder=3)
        label = f"{name}\n{found['bytes'] / 1e6:.2f} MB"
        axes.annotate(label, at, xytext=(0, 16), textcoords="offset points", ha="center", fontsize=8)
    axes.margins(0.25)
    axes.set_ylim(bottom=min(0.0, axes.get_ylim()[0]))
    axes.set_xlabel("latency p99 at batch 1 (ms)")
    axes.set_ylabel("flipped decisions in 10,000")
    axes.set_title("Variants: lower left is better; the area is the size", fontsize=10)
    axes.grid(alpha=0.3)
    with complete_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=110, metadata={"Software": None})
