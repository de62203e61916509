"""Quality by slice of the test rows: amount bands, declared columns, new customers and merchants; with intervals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sentinel.training.judging.intervals import Estimate, pr_auc_estimate, share

LEAST = 10  # frauds, and genuine rows, below which a figure is luck
LEAST_ROWS_OF_A_VALUE = 200
MOST_VALUES = 12  # of one column that get a slice of their own; the most frequent
OTHER, MISSING = "(other)", "(missing)"
NEW, KNOWN = "new", "known"
BAND_EDGES = (0.25, 0.5, 0.75, 0.95)  # quantiles of the amounts; frauds crowd at the top

Figure = Estimate | Literal["too few"]
TOO_FEW: Literal["too few"] = "too few"


@dataclass(frozen=True)
class Grouping:
    """`codes` [N]: for each row the position of its slice in `names`."""

    by: str
    names: tuple[str, ...]
    codes: NDArray[np.int64]


@dataclass(frozen=True)
class Slice:
    """The rows whose `by` is `name`. A figure of fewer than LEAST frauds or genuine rows says "too few"."""

    by: str
    name: str
    rows: int
    frauds: int
    alerts_a_day: float
    recall: Figure  # at the threshold
    false_positive_rate: Figure  # at the threshold
    pr_auc: Figure


def judge_slices(
    groupings: Iterable[Grouping],
    labels: NDArray[np.bool_],
    scores: NDArray[np.float64],
    threshold: float,
    days: int,
    seed: int,
) -> list[Slice]:
    """Every slice that has rows, grouping by grouping; `days` are those that the rows span."""
    found: list[Slice] = []
    for grouping in groupings:
        order = np.argsort(grouping.codes.astype(np.int16), kind="stable")  # 16 bits are sorted by radix
        ends = np.searchsorted(grouping.codes[order], np.arange(len(grouping.names)), "right")
        for name, rows in zip(grouping.names, np.split(order, ends)[:-1], strict=True):
            if len(rows):
                found.append(_judge(grouping.by, name, labels[rows], scores[rows], threshold, days, seed))
    return found


def _judge(
    by: str,
    name: str,
    labels: NDArray[np.bool_],
    scores: NDArray[np.float64],
    threshold: float,
    days: int,
    seed: int,
) -> Slice:
    flagged = scores >= threshold
    frauds = int(labels.sum())
    genuine = len(labels) - frauds
    caught = int((flagged & labels).sum())
    alerts = int(flagged.sum())
    return Slice(
        by=by,
        name=name,
        rows=len(labels),
        frauds=frauds,
        alerts_a_day=alerts / days,
        recall=share(caught, frauds) if frauds >= LEAST else TOO_FEW,
        false_positive_rate=share(alerts - caught, genuine) if genuine >= LEAST else TOO_FEW,
        pr_auc=pr_auc_estimate(labels, scores, seed) if min(frauds, genuine) >= LEAST else TOO_FEW,
    )


def amount_bands(amounts: NDArray[np.int64], reference: NDArray[np.int64]) -> Grouping:
    """Bands between quantiles of the `reference` amounts, those of the calibration part, in minor units."""
    edges = np.unique(np.quantile(reference, BAND_EDGES, method="higher"))
    starts = [f"{edge + 1:,}" for edge in edges]
    names = [f"up to {edges[0]:,}"]
    names += [f"{start} to {end:,}" for start, end in zip(starts, edges[1:], strict=False)]
    return Grouping("amount_minor", (*names, f"{starts[-1]} and more"), np.searchsorted(edges, amounts, "left"))


def values_of(by: str, values: Sequence[str], codes: NDArray[np.int64], labels: NDArray[np.bool_]) -> Grouping:
    """Slices by the `values` of a column, `codes` [N] their positions, -1 for missing; rare values come together."""
    rows = np.bincount(codes[codes >= 0], minlength=len(values))
    frauds = np.bincount(codes[(codes >= 0) & labels], minlength=len(values))
    by_rows = np.lexsort((np.array(values, np.str_), -rows))
    frequent = (rows >= LEAST_ROWS_OF_A_VALUE) | (frauds >= LEAST)
    kept = [int(value) for value in by_rows if frequent[value]][:MOST_VALUES]
    position = np.full(len(values) + 1, len(kept))
    position[kept] = np.arange(len(kept))
    position[-1] = len(kept) + 1  # where the code -1 points
    return Grouping(by, (*(values[value] for value in kept), OTHER, MISSING), position[codes])


def new_or_known(by: str, is_new: NDArray[np.bool_]) -> Grouping:
    return Grouping(by, (NEW, KNOWN), np.where(is_new, 0, 1))
