"""Quality by slice of the test rows, with intervals."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sentinel.slices import LEAST, Grouping
from sentinel.training.judging.intervals import Estimate, pr_auc_estimate, share

Figure = Estimate | Literal["too few"]
TOO_FEW: Literal["too few"] = "too few"


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
