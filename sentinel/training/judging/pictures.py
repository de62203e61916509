"""The pictures a reviewer looks at, as PNG files. Each names the rows it shows and the line to compare with."""

# matplotlib and scikit-learn type many of their functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from sklearn.metrics import precision_recall_curve

from sentinel.metrics import pr_auc
from sentinel.training.judging.intervals import Estimate
from sentinel.training.judging.slices import Slice
from sentinel.training.loop.position import Epoch

INCHES, DOTS = (6.4, 4.4), 110
BINS = 20
SHOWN_INPUTS = 20
SHOWN_SLICES, INCHES_A_SLICE = 60, 0.24
FRAUD, GENUINE, REFERENCE = "#c0392b", "#2c6fbb", "#7f8c8d"

Probabilities = NDArray[np.float64]
Labels = NDArray[np.bool_]


@dataclass(frozen=True)
class Shown:
    """The test rows, as labels, the model's and the logistic baseline's probabilities, and what was found on them."""

    labels: Labels
    probability: Probabilities
    logistic: Probabilities
    threshold: float
    calibration_error: Estimate
    slices: Sequence[Slice]


def draw_pictures(
    folder: Path, shown: Shown, epochs: Sequence[Epoch], best: int, importance: Mapping[str, float]
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    _save(folder / "precision_recall.png", lambda axes: _precision_recall(axes, shown))
    _save(folder / "calibration.png", lambda axes: _calibration(axes, shown))
    _save(folder / "score_histogram.png", lambda axes: _histogram(axes, shown))
    _save(folder / "slices.png", lambda axes: _slices(axes, shown), _height(len(shown.slices)))
    _save(folder / "confusion.png", lambda axes: _confusion(axes, shown))
    _save(folder / "training_curves.png", lambda axes: _curves(axes, epochs, best))
    _save(folder / "importance.png", lambda axes: _importance(axes, importance))


def _save(path: Path, draw: Callable[[Axes], None], height: float = INCHES[1]) -> None:
    figure = Figure(
        figsize=(INCHES[0], height), dpi=DOTS, layout="constrained"
    )  # no pyplot: it keeps figures in a global
    FigureCanvasAgg(figure)
    draw(figure.add_subplot())
    figure.savefig(path, metadata={"Software": None})


def _precision_recall(axes: Axes, shown: Shown) -> None:
    for name, scores, colour in (("model", shown.probability, FRAUD), ("logistic", shown.logistic, GENUINE)):
        precision, recall, _ = precision_recall_curve(shown.labels, scores)
        label = f"{name}: pr_auc {pr_auc(shown.labels, scores):.3f}"
        axes.plot(recall, precision, color=colour, label=label, drawstyle="steps-post")
    prevalence = float(shown.labels.mean())
    axes.axhline(prevalence, color=REFERENCE, linestyle="--", label=f"prevalence {prevalence:.4f}")
    flagged = shown.probability >= shown.threshold
    if flagged.any():
        point = (shown.labels & flagged).sum() / shown.labels.sum(), (shown.labels & flagged).sum() / flagged.sum()
        axes.plot(*point, "o", color="black", label=f"threshold {shown.threshold:.3f}")
    axes.set(xlabel="recall (share of frauds found)", ylabel="precision", xlim=(0, 1), ylim=(0, 1.02))
    axes.set_title(_rows("Precision and recall", shown))
    axes.legend(loc="lower left")


def _calibration(axes: Axes, shown: Shown) -> None:
    """Bins of equally many rows crowd near 0 for rare frauds: both axes are logarithmic."""
    parts = np.array_split(np.argsort(shown.probability, kind="stable"), BINS)
    pairs = [(shown.probability[part].mean(), shown.labels[part].mean()) for part in parts if len(part)]
    expected, observed = np.array(pairs).T
    floor = 0.5 / max(len(parts[0]), 1)  # half a fraud in a bin: where a bin without frauds is drawn
    error = shown.calibration_error
    label = f"{BINS} bins of equal size: error {error.value:.2g} ({error.low:.2g} to {error.high:.2g})"
    axes.plot(np.maximum(expected, floor), np.maximum(observed, floor), "o-", color=FRAUD, label=label)
    axes.plot([floor, 1], [floor, 1], color=REFERENCE, linestyle="--", label="perfect")
    axes.set(xlabel="mean probability", ylabel="share of frauds", xscale="log", yscale="log")
    axes.set_title(_rows("Calibration", shown))
    axes.legend(loc="upper left")


def _histogram(axes: Axes, shown: Shown) -> None:
    edges = np.linspace(0, 1, 41)
    for name, rows, colour in (("genuine", ~shown.labels, GENUINE), ("fraud", shown.labels, FRAUD)):
        axes.hist(
            shown.probability[rows], bins=edges.tolist(), color=colour, alpha=0.55, label=f"{name} ({rows.sum():,})"
        )
    axes.axvline(shown.threshold, color="black", linestyle="--", label=f"threshold {shown.threshold:.3f}")
    axes.set(xlabel="probability of fraud", ylabel="rows (logarithmic)", yscale="log")
    axes.set_title(_rows("Scores by label", shown))
    axes.legend(loc="upper right")


def _slices(axes: Axes, shown: Shown) -> None:
    """A slice whose frauds are too few to say anything has its line, without a mark."""
    slices = shown.slices[:SHOWN_SLICES]
    height = np.arange(len(slices))
    for label, colour, offset, figures in (
        ("recall at the threshold", FRAUD, 0.15, [found.recall for found in slices]),
        ("pr_auc", GENUINE, -0.15, [found.pr_auc for found in slices]),
    ):
        known = [(at, each) for at, each in zip(height + offset, figures, strict=True) if isinstance(each, Estimate)]
        value, low, high = np.array([(each.value, each.low, each.high) for _, each in known]).reshape(-1, 3).T
        places = [at for at, _ in known]
        axes.errorbar(value, places, xerr=[value - low, high - value], fmt="o", ms=3, color=colour, label=label)
    recall = float((shown.probability >= shown.threshold)[shown.labels].mean())
    axes.axvline(recall, color=REFERENCE, linestyle="--", label=f"recall of all {recall:.3f}")
    names = [f"{found.by}: {found.name[:30]} ({found.frauds:,} of {found.rows:,})" for found in slices]
    axes.set_yticks(height.tolist(), names, parse_math=False)  # a $ of the data is no formula
    axes.tick_params(axis="y", labelsize=7)
    axes.set(xlabel="with intervals of 95 %", xlim=(0, 1), ylim=(len(slices) - 0.5, -0.5))
    axes.set_title("Quality by slice (frauds of test rows)")
    axes.figure.legend(loc="outside lower center", ncols=3, fontsize=8)


def _confusion(axes: Axes, shown: Shown) -> None:
    flagged = shown.probability >= shown.threshold
    cells = [
        [((shown.labels == truth) & (flagged == answer)).sum() for answer in (False, True)] for truth in (False, True)
    ]
    shares = np.array(cells) / np.array(cells).sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(2):
        for column in range(2):
            text = f"{cells[row][column]:,}\n{shares[row][column]:.2%} of the row"
            colour = "white" if shares[row][column] > 0.5 else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour)
    axes.set_xticks([0, 1], ["passed", "flagged"])
    axes.set_yticks([0, 1], ["genuine", "fraud"])
    axes.set(xlabel=f"answer at threshold {shown.threshold:.4f}", ylabel="label")
    axes.set_title(_rows("Confusion", shown))


def _curves(axes: Axes, epochs: Sequence[Epoch], best: int) -> None:
    numbers = [epoch.number for epoch in epochs]
    axes.plot(numbers, [epoch.loss for epoch in epochs], "o-", color=GENUINE, label="loss, training")
    axes.set(xlabel="epoch", ylabel="loss on drawn training rows")
    right = axes.twinx()
    scores = [np.nan if epoch.validation_pr_auc is None else epoch.validation_pr_auc for epoch in epochs]
    right.plot(numbers, scores, "s-", color=FRAUD, label="pr_auc, validation")
    right.set_ylabel("pr_auc on validation rows")
    axes.axvline(best, color=REFERENCE, linestyle="--", label=f"kept: epoch {best}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    here, there = axes.get_legend_handles_labels(), right.get_legend_handles_labels()
    axes.legend([*here[0], *there[0]], [*here[1], *there[1]], loc="center right")
    axes.set_title("Training")


def _importance(axes: Axes, importance: Mapping[str, float]) -> None:
    top = list(importance.items())[:SHOWN_INPUTS][::-1]
    axes.barh([name for name, _ in top], [lost for _, lost in top], color=GENUINE)
    axes.axvline(0, color=REFERENCE, linestyle="--")
    axes.tick_params(axis="y", labelsize=7)
    axes.set(xlabel="pr_auc lost when shuffled (validation rows)")
    axes.set_title("Importance of the inputs")


def _height(slices: int) -> float:
    return 1.5 + INCHES_A_SLICE * min(slices, SHOWN_SLICES)


def _rows(title: str, shown: Shown) -> str:
    return f"{title}: {len(shown.labels):,} test rows, {int(shown.labels.sum()):,} frauds"
