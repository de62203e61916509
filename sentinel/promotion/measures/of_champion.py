"""The candidate beside the champion: on the same rows, each with its own features, later than both trainings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentinel.metrics import pr_auc
from sentinel.promotion.evidence import CHAMPION, DRAWS, Evidence
from sentinel.promotion.measures.bootstrap import DRAWS as LEAST_DRAWS
from sentinel.promotion.measures.bootstrap import (
    Difference,
    Weights,
    draw_weights,
    drawn_pr_auc,
    interval_of,
)
from sentinel.promotion.measures.measured import InapplicableError, Measured, UndecidedError, UnmeasuredError


@dataclass(frozen=True)
class Pair:
    """The candidate and its opponent, on the `rows` of the test part on which both can be judged."""

    name: str  # of the opponent, in words
    rows: NDArray[np.int64]
    labels: NDArray[np.bool_]
    own: NDArray[np.float64]
    other: NDArray[np.float64]
    blocks: NDArray[np.int64]

    def only(self, rows: NDArray[np.bool_]) -> Pair:
        return Pair(self.name, self.rows[rows], self.labels[rows], self.own[rows], self.other[rows], self.blocks[rows])


def gain_over_champion(evidence: Evidence) -> Measured:
    """Passes and fails by its interval: a bound within it leaves the question open."""
    pair = against_champion(evidence)
    gain, _ = drawn_gains(pair, weights_of(evidence))
    own, other = pr_auc(pair.labels, pair.own), pr_auc(pair.labels, pair.other)
    sentence = (
        f"pr_auc is {own:.4f}, that of {pair.name} {other:.4f} on the same {len(pair.labels):,} rows with "
        f"{int(pair.labels.sum()):,} frauds: a difference of {gain.value:+.4f} ({gain.low:+.4f} to {gain.high:+.4f})."
    )
    return Measured(gain.value, sentence, (gain.low, gain.high))


def against_champion(evidence: Evidence) -> Pair:
    """Raises InapplicableError without a champion, UndecidedError where too few frauds are left to compare on."""
    facts = evidence.read(CHAMPION)
    require_comparable(facts["version"], facts.get("problem"))
    scores, labels = evidence.score("champion"), evidence.labels
    fair = np.isfinite(scores)
    if int(fair.sum()) != int(facts["rows"]):
        raise UnmeasuredError(f"The champion has {int(fair.sum())} scores for {facts['rows']} rows.")
    name, frauds, wanted = f"champion {facts['version']}", int(labels[fair].sum()), evidence.settings
    if frauds < wanted.min_frauds_to_compare:
        raise UndecidedError(
            f"{frauds} frauds whose labels are mature lie after all that {name} learned from (until "
            f"{facts['learned_until']}); {wanted.min_frauds_to_compare} are needed to compare with it."
        )
    return pair_of(evidence, name, "champion").only(fair)


def pair_of(evidence: Evidence, name: str, column: str) -> Pair:
    """On all test rows."""
    labels, own = evidence.labels, evidence.score("serving")
    if not np.isfinite(own).all():
        raise UnmeasuredError("A score of the candidate is no number.")
    return Pair(name, np.arange(len(labels)), labels, own, evidence.score(column), evidence.blocks)


def require_comparable(version: str | None, problem: str | None) -> None:
    if version is None:
        raise InapplicableError("no_champion", "There is no champion yet.")
    if problem:
        raise UnmeasuredError(
            f"Champion {version} could not be asked: {problem}. Train on newer data that keeps its features."
        )


def weights_of(evidence: Evidence, draws: int | None = None) -> Weights:
    """Of all blocks; `draws`: the first so many of those that are recorded."""
    recorded = evidence.read(DRAWS)
    seed, count = int(recorded["seed"]), int(recorded["count"])
    if count < LEAST_DRAWS:
        raise UnmeasuredError(f"{count} draws are recorded for the bootstrap; {LEAST_DRAWS} are needed.")
    return draw_weights(int(evidence.blocks.max()) + 1, count, seed)[:, :draws]


def drawn_gains(pair: Pair, weights: Weights) -> tuple[Difference, NDArray[np.float64]]:
    """The candidate's pr_auc less its opponent's, with its interval; and that of every draw."""
    drawn = drawn_pr_auc(pair.labels, pair.own, pair.blocks, weights) - drawn_pr_auc(
        pair.labels, pair.other, pair.blocks, weights
    )
    value = pr_auc(pair.labels, pair.own) - pr_auc(pair.labels, pair.other)
    return interval_of(value, drawn), drawn
