"""Whether a slice of the rows pays for what is better on the whole."""

from __future__ import annotations

from dataclasses import dataclass

from sentinel.promotion.evidence import Evidence
from sentinel.promotion.measures.bootstrap import Difference
from sentinel.promotion.measures.measured import InapplicableError, Measured
from sentinel.promotion.measures.of_champion import Pair, against_champion, drawn_gains, pair_of, weights_of

SLICE_DRAWS = 200  # of those recorded: there are dozens of slices, and what counts is well away from their bound


@dataclass(frozen=True)
class SliceLoss:
    """What a slice loses in pr_auc to the opponent; what it gains is a loss below 0."""

    name: str
    rows: int
    frauds: int
    loss: Difference


def worst_slice_loss(evidence: Evidence) -> Measured:
    """The largest loss that is more than luck: the lower end of a slice's interval, so that noise fails no model."""
    pair = opponent(evidence)
    losses = slice_losses(evidence, pair)
    if not losses:
        wanted = evidence.settings
        raise InapplicableError(
            "no_large_slice",
            f"No slice has {wanted.min_slice_rows:,} rows and {wanted.min_slice_frauds:,} frauds, which it takes to "
            "judge one.",
        )
    worst = max(losses, key=lambda found: found.loss.low)
    return Measured(
        worst.loss.low,
        f"Of {len(losses)} large slices {worst.name} ({worst.rows:,} rows, {worst.frauds:,} frauds) stands worst "
        f"beside {pair.name}: its loss of pr_auc is {worst.loss.value:+.4f} ({worst.loss.low:+.4f} to "
        f"{worst.loss.high:+.4f}), of which the lower end counts.",
    )


def opponent(evidence: Evidence) -> Pair:
    """The champion, or the logistic baseline where there is none."""
    try:
        return against_champion(evidence)
    except InapplicableError:
        return pair_of(evidence, "the logistic baseline", "logistic")


def slice_losses(evidence: Evidence, pair: Pair) -> list[SliceLoss]:
    """Of every slice that is large enough to be judged, on the rows of the pair."""
    weights, settings = weights_of(evidence, SLICE_DRAWS), evidence.settings
    found: list[SliceLoss] = []
    for name, everywhere in evidence.slices().items():
        members = everywhere[pair.rows]
        rows, frauds = int(members.sum()), int(pair.labels[members].sum())
        if rows < settings.min_slice_rows or frauds < settings.min_slice_frauds or frauds == rows:
            continue
        gain, _ = drawn_gains(pair.only(members), weights)
        found.append(SliceLoss(name, rows, frauds, Difference(-gain.value, -gain.high, -gain.low)))
    return found
