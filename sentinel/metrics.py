"""The figures by which scores are judged. Every function takes arrays of one length and knows no model.

`labels` is True for fraud; a higher score says more suspicious. All raise ValueError when the figure
does not exist (no fraud, no genuine row, lengths that differ, a score that is no number).

The areas are scikit-learn's to the last digits, and a test holds them to it. They are not taken from there, because
its import lasts seconds and whoever verifies a release, or rolls back to one, waits for them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def pr_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Average precision: the step-wise area under the precision-recall curve."""
    found, alarms = _caught(*_checked(labels, scores))
    return float(np.sum(np.diff(found, prepend=0) / found[-1] * (found / (found + alarms))))


def roc_auc(labels: ArrayLike, scores: ArrayLike) -> float:
    """The chance that a fraud scores above a genuine row, ties half."""
    found, alarms = _caught(*_checked(labels, scores))
    return float(np.trapezoid(np.append(0, found) / found[-1], np.append(0, alarms) / alarms[-1]))


def recall_at_fpr(labels: ArrayLike, scores: ArrayLike, false_positive_rate: float) -> float:
    """The largest share of frauds found by a threshold that flags at most this share of genuine rows."""
    found, alarms = _caught(*_checked(labels, scores))
    within = found[alarms / alarms[-1] <= false_positive_rate]
    return float(within[-1] / found[-1]) if len(within) else 0.0


def _caught(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Frauds and genuine rows that score at least so much, for each distinct score, the highest first."""
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last = np.append(np.flatnonzero(np.diff(ranked)), len(ranked) - 1)  # of the rows of one score
    found = np.cumsum(labels[order], dtype=np.int64)[last]
    return found, last + 1 - found


def threshold_at_fpr(labels: ArrayLike, scores: ArrayLike, false_positive_rate: float) -> float:
    """The lowest threshold (flag when score >= threshold) within this share of flagged genuine rows.

    When even the highest genuine score is shared by too many rows, the threshold lies just above it.
    """
    labels, scores = _checked(labels, scores)
    genuine = scores[~labels]
    return _lowest_threshold(scores, genuine, int(false_positive_rate * len(genuine)))


def threshold_at_alerts(scores: ArrayLike, alerts: int) -> float:
    """The lowest threshold (flag when score >= threshold) that flags at most so many rows.

    Rows of one score are flagged together or not at all; when too many share the highest, none is.
    """
    score = np.asarray(scores, np.float64)
    if not len(score) or not np.isfinite(score).all():
        raise ValueError(f"{len(score)} scores, {int((~np.isfinite(score)).sum())} of them not finite: no threshold")
    return _lowest_threshold(score, score, alerts)


def _lowest_threshold(scores: NDArray[np.float64], counted: NDArray[np.float64], allowed: int) -> float:
    """The lowest score that flags at most `allowed` of the `counted` rows; above all of them where none does."""
    if allowed >= len(counted):
        return float(scores.min())
    first_refused = np.partition(counted, len(counted) - 1 - allowed)[len(counted) - 1 - allowed]
    above = scores[scores > first_refused]
    return float(above.min()) if len(above) else float(np.nextafter(first_refused, np.inf))


def expected_calibration_error(labels: ArrayLike, scores: ArrayLike, bins: int = 20) -> float:
    """Mean distance of probability and fraud rate over bins of equally many rows, in order of the score."""
    labels, scores = _checked(labels, scores)
    order = np.argsort(scores, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    gaps = [abs(float(scores[part].mean()) - float(labels[part].mean())) * len(part) for part in parts]
    return sum(gaps) / len(order)


def card_precision_at_k(labels: ArrayLike, scores: ArrayLike, days: ArrayLike, customers: ArrayLike, k: int) -> float:
    """Mean over days of the share of compromised customers among the day's `k` highest-scored ones.

    A day's rows are grouped by customer (largest score, largest label). A customer that was found
    compromised is left out on later days. A day with fewer than `k` customers still divides by `k`.
    """
    labels, scores = _checked(labels, scores)
    days, customers = np.asarray(days), np.asarray(customers)
    if not len(days) == len(customers) == len(labels):
        raise ValueError(f"{len(labels)} labels, {len(days)} days and {len(customers)} customers: lengths differ")
    if k < 1:
        raise ValueError(f"k is {k}; it must be at least 1")
    names, codes = np.unique(customers, return_inverse=True)
    found = np.zeros(len(names), bool)
    precisions: list[float] = []
    for day in np.unique(days):
        rows = np.flatnonzero((days == day) & ~found[codes])
        alerts, compromised = _alerts(labels[rows], scores[rows], codes[rows], k)
        precisions.append(float(compromised.sum()) / k)
        found[alerts[compromised]] = True
    return float(np.mean(precisions))


def _alerts(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], codes: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The k customers of the highest scores, and whether each has a fraud that day; ties by customer."""
    present, position = np.unique(codes, return_inverse=True)
    score = np.full(len(present), -np.inf)
    np.maximum.at(score, position, scores)
    compromised = np.zeros(len(present), bool)
    np.logical_or.at(compromised, position, labels)
    top = np.argsort(-score, kind="stable")[:k]
    return present[top], compromised[top]


def _checked(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    truth, score = np.asarray(labels, bool), np.asarray(scores, np.float64)
    if truth.ndim != 1 or truth.shape != score.shape:
        raise ValueError(f"labels {truth.shape} and scores {score.shape} must be two lists of one length")
    if not np.isfinite(score).all():
        raise ValueError(f"{int((~np.isfinite(score)).sum())} of {len(score)} scores are not finite")
    if not truth.any() or truth.all():
        raise ValueError(f"{int(truth.sum())} of {len(truth)} rows are fraud: both classes are needed")
    return truth, score
