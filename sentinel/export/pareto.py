"""The choice as a picture: what each variant costs against what it changes.

It depends on the bounds as well as on the measurements, so it is drawn when the choice is made, and lies outside the
measured folder, which stays as it was when a bound changes.
"""

# matplotlib types many of its functions loosely:
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sentinel.export.choice import Bounds, Choice, Figures
from sentinel.storage import complete_file

PICTURE = "pareto.png"
_WIDTH, _HEIGHT, _A_LINE, _DOTS = 6.4, 4.0, 0.26, 110  # inches; readable on a phone
_CHOSEN, _PASSING, _REFUSED = "#12447a", "#ffffff", "#d5d5d5"
_LARGEST, _SMALLEST = 900, 70  # areas of the marks, in square points
_KEY = "area: bytes of the file    crossed out: refused    filled: chosen"
_ROOM = 1.35  # above the highest mark or bound


def draw_pareto(variants: Mapping[str, Figures], choice: Choice, bounds: Bounds, path: Path) -> None:
    """Write a PNG. Colour says nothing that shape and words do not: it may be printed in grey."""
    shown = {name: figures for name, figures in variants.items() if _is_drawable(figures)}
    lines = len(variants) + 2
    height = _HEIGHT + _A_LINE * lines
    figure = Figure((_WIDTH, height))
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0.15, (_A_LINE * lines + 0.5) / height, 0.81, (_HEIGHT - 0.85) / height))
    for number, (name, figures) in enumerate(variants.items(), start=1):
        if name in shown:
            _mark(axes, number, name, figures, choice, max(one["bytes"] for one in shown.values()))
    _frame(axes, shown, bounds)
    for number, (name, figures) in enumerate(variants.items(), start=1):
        y = _A_LINE * (lines - number - 0.6) / height
        figure.text(0.03, y, f"{number}  {_line(name, figures, choice)}", fontsize=9)
    figure.text(
        0.03, 0.4 * _A_LINE / height, "area: bytes of the file    crossed out: refused    filled: chosen", fontsize=9
    )
    with complete_file(path) as temporary:
        figure.savefig(temporary, format="png", dpi=_DOTS, metadata={"Software": None})


def _is_drawable(figures: Figures) -> bool:
    return all(figures.get(name) is not None for name in ("latency_p99_ms", "flipped_fraction", "bytes"))


def _mark(axes: Axes, number: int, name: str, figures: Figures, choice: Choice, largest_bytes: int) -> None:
    x, y = figures["latency_p99_ms"], 100 * figures["flipped_fraction"]
    area = max(_SMALLEST, _LARGEST * figures["bytes"] / largest_bytes)
    colour = _CHOSEN if name == choice.variant else _REFUSED if name in choice.refused else _PASSING
    axes.scatter([x], [y], s=area, c=colour, edgecolors="black", linewidths=1.2, alpha=0.85, zorder=2, clip_on=False)
    if name in choice.refused:
        axes.scatter([x], [y], s=area / 2, c="black", marker="x", zorder=3, clip_on=False)
    side = 1 if number % 2 else -1  # neighbours lie close together
    axes.annotate(
        str(number), (x, y), (side * (6 + area**0.5 / 2), 7), textcoords="offset points", ha="center", fontsize=11,
        fontweight="bold" if name == choice.variant else "normal", zorder=4,
    )  # fmt: skip


def _frame(axes: Axes, shown: Mapping[str, Figures], bounds: Bounds) -> None:
    bound = 100 * bounds.max_flips
    highest = max([100 * one["flipped_fraction"] for one in shown.values()], default=0.0)
    if bound <= 10 * highest:
        highest = max(highest, bound)
        axes.axhline(bound, color="black", linestyle="--", linewidth=1)
        axes.annotate(
            f"at most {bound:g} %", (1, bound), (-4, 3), xycoords=("axes fraction", "data"),
            textcoords="offset points", ha="right", fontsize=9,
        )  # fmt: skip
    axes.set_ylim(-0.2 * (highest or 1), _ROOM * (highest or 1))
    axes.margins(x=0.2)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= _ROOM * (highest or 1)])
    axes.yaxis.set_major_formatter("{x:.3g}")
    axes.set_xlabel("latency p99 of one transaction (ms)")
    axes.set_ylabel("decisions that flip (% of the test rows)")
    axes.set_title("Variants: lower left is better", fontsize=11)
    axes.grid(alpha=0.3)


def _line(name: str, figures: Figures, choice: Choice) -> str:
    verdict = "CHOSEN" if name == choice.variant else "refused" if name in choice.refused else "passes"
    if not _is_drawable(figures):
        return f"{name}: {verdict}, not measured"
    loss = figures.get("pr_auc_loss")
    changed = f", pr_auc {round(-loss, 5) + 0.0:+.5f}" if loss is not None else ""
    return f"{name}: {verdict}, {figures['latency_p99_ms']:.3f} ms, {figures['bytes'] / 1e6:.2f} MB{changed}"
