"""Pictures of what a gate decides by, where one says more than the figure. Small, and legible on a phone."""

# matplotlib types many of its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from sentinel.promotion.evidence import ANSWERS, LATENCY, RAISED_AMOUNTS, Evidence
from sentinel.promotion.gates import Gate
from sentinel.promotion.layout import EVIDENCE
from sentinel.promotion.measures.of_champion import against_champion, drawn_gains, weights_of
from sentinel.promotion.measures.of_slices import opponent, slice_losses
from sentinel.promotion.questions import FACTORS, OF_FACTOR

_INCHES, _DOTS = (5.0, 3.6), 100
_SHOWN_SLICES, _INCHES_A_SLICE = 30, 0.24
_BINS = 20
_FIGURE, _BOUND, _PLAIN = "#2c6fbb", "#c0392b", "#7f8c8d"

Draw = Callable[[Axes, Evidence, Gate], None]


def draw_pictures(evidence: Evidence, gates: Sequence[Gate]) -> dict[str, str]:
    """The picture of each gate that was measured and has one, beside the evidence."""
    drawn: dict[str, str] = {}
    for gate in gates:
        if gate.value is not None and gate.name in _PICTURES:
            _save(evidence.folder / f"{gate.name}.png", evidence, gate)
            drawn[gate.name] = f"{EVIDENCE}/{gate.name}.png"
    return drawn


def _save(file: Path, evidence: Evidence, gate: Gate) -> None:
    figure = Figure(figsize=_INCHES, dpi=_DOTS, layout="constrained")  # no pyplot: it keeps figures in a global
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _PICTURES[gate.name](axes, evidence, gate)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(file, metadata={"Software": None})


def _champion(axes: Axes, evidence: Evidence, gate: Gate) -> None:
    pair = against_champion(evidence)
    gain, drawn = drawn_gains(pair, weights_of(evidence))
    axes.hist(drawn[np.isfinite(drawn)], bins=40, color=_PLAIN)
    axes.axvspan(gain.low, gain.high, color=_FIGURE, alpha=0.2, label="95 % of them")
    axes.axvline(gain.value, color=_FIGURE, label=f"difference {gain.value:+.4f}")
    axes.axvline(gate.threshold, color=_BOUND, linestyle="--", label=f"bound {gate.threshold:+.4f}")
    axes.set(xlabel=f"pr_auc less that of {pair.name}", ylabel="draws of the bootstrap")
    axes.legend(frameon=False)


def _slices(axes: Axes, evidence: Evidence, gate: Gate) -> None:
    pair = opponent(evidence)
    found = sorted(slice_losses(evidence, pair), key=lambda one: one.loss.low)[-_SHOWN_SLICES:]
    axes.figure.set_figheight(1.2 + _INCHES_A_SLICE * len(found))  # pyright: ignore[reportAttributeAccessIssue]
    for at, one in enumerate(found):
        axes.plot([one.loss.low, one.loss.high], [at, at], color=_PLAIN)
        axes.plot(one.loss.value, at, "o", color=_FIGURE, markersize=4)
    axes.axvline(gate.threshold, color=_BOUND, linestyle="--", label=f"bound {gate.threshold:+.3f}")
    axes.set_yticks(range(len(found)), [one.name for one in found], fontsize=8)
    axes.set_title(f"pr_auc lost to {pair.name}, with 95 %", fontsize=9, loc="right")
    axes.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, -0.25), fontsize=8)


def _calibration(axes: Axes, evidence: Evidence, gate: Gate) -> None:
    """Bins of equally many rows; none of their frauds is drawn at the lower edge."""
    scores, labels = evidence.score("serving"), evidence.labels
    parts = np.array_split(np.argsort(scores, kind="stable"), min(_BINS, len(scores)))
    said, was = (np.array([float(values[part].mean()) for part in parts]) for values in (scores, labels))
    lowest = max(1e-6, min(float(said.min()), 1 / len(scores)))
    axes.plot([lowest, 1], [lowest, 1], color=_BOUND, linestyle="--", label="as it should be")
    axes.plot(np.maximum(said, lowest), np.maximum(was, lowest), "o", color=_FIGURE, label="a twentieth of the rows")
    axes.set(xscale="log", yscale="log", xlabel="mean probability", ylabel="share of fraud")
    axes.legend(frameon=False)


def _golden(axes: Axes, evidence: Evidence, gate: Gate) -> None:
    found = evidence.read(ANSWERS)
    theirs, ours = (np.maximum(found[name], 1e-6) for name in ("champion", "served"))
    lowest = float(min(theirs.min(), ours.min()))
    axes.plot([lowest, 1], [lowest, 1], color=_PLAIN, linewidth=0.8, label="as the champion")
    axes.plot(theirs, ours, "o", color=_FIGURE, markersize=3, alpha=0.6, label="one golden question")
    axes.set(xlabel="the champion's answer", ylabel="the candidate's answer", xscale="log", yscale="log")
    axes.legend(frameon=False)


def _amounts(axes: Axes, evidence: Evidence, gate: Gate) -> None:
    table = evidence.table(RAISED_AMOUNTS)
    columns = ["answer", *(OF_FACTOR.format(factor=factor) for factor in FACTORS)]
    scores = [table.column(name).to_numpy() for name in columns]
    at = range(len(columns))
    low, high = (np.array([np.quantile(one, share) for one in scores]) for share in (0.1, 0.9))
    axes.fill_between(at, low, high, color=_FIGURE, alpha=0.2, label="80 % of the payments")
    axes.plot(at, [float(np.mean(one)) for one in scores], "o-", color=_FIGURE, label="their mean")
    axes.set_xticks(at, ["as it is", *(f"x {factor:g}" for factor in FACTORS)])
    axes.set(xlabel="amount", ylabel="probability", ylim=(0, None))
    axes.legend(frameon=False, loc="upper left")


def _latency(axes: Axes, evidence: Evidence, gate: Gate) -> None:
    samples = np.asarray(evidence.read(LATENCY)["samples_ms"])
    longest = float(max(samples.max(), gate.threshold)) * 1.1
    axes.hist(samples, bins=list(np.geomspace(float(samples.min()) * 0.9, longest, 60)), color=_PLAIN)
    axes.axvline(gate.value or 0.0, color=_FIGURE, label=f"p99 {gate.value:.2f} ms")
    axes.axvline(gate.threshold, color=_BOUND, linestyle="--", label=f"bound {gate.threshold:g} ms")
    axes.set(xscale="log", yscale="log", xlabel="milliseconds of one request", ylabel="requests")
    axes.legend(frameon=False)


_PICTURES: Mapping[str, Draw] = {
    "better_than_champion": _champion,
    "slices": _slices,
    "calibration_error": _calibration,
    "golden_kl": _golden,
    "amount_direction": _amounts,
    "latency": _latency,
}
