"""How well the graph that would serve does on the test rows: alone, and beside what costs nothing."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sentinel.metrics import expected_calibration_error, pr_auc, roc_auc
from sentinel.promotion.evidence import Evidence
from sentinel.promotion.measures.measured import NOT_THERE, Measured, UnmeasuredError
from sentinel.promotion.measures.of_budgets import latency_p99_ms


def test_pr_auc(evidence: Evidence) -> Measured:
    value = pr_auc(evidence.labels, evidence.score("serving"))
    frauds, rows = int(evidence.labels.sum()), len(evidence.labels)
    return Measured(value, f"pr_auc is {value:.4f} on the {rows:,} test rows, {frauds:,} of them fraud.")


def recall_at_threshold(evidence: Evidence) -> Measured:
    scores, labels, threshold = evidence.score("serving"), evidence.labels, evidence.threshold
    if not (math.isfinite(threshold) and np.isfinite(scores).all() and labels.any()):
        raise UnmeasuredError("The threshold or a score is no number, or no test row is fraud.")
    found = scores[labels] >= threshold
    return Measured(
        float(found.mean()),
        f"{int(found.sum()):,} of {len(found):,} frauds score {threshold:.4f} or more, which is the threshold.",
    )


def gain_over_logistic(evidence: Evidence) -> Measured:
    own, other = (pr_auc(evidence.labels, evidence.score(name)) for name in ("serving", "logistic"))
    return Measured(own - other, f"pr_auc is {own:.4f}, a logistic regression's {other:.4f} on the same rows.")


def gain_over_constant(evidence: Evidence) -> Measured:
    """A constant score puts every row at one threshold: its precision there, and so its pr_auc, is the fraud rate."""
    own, rate = pr_auc(evidence.labels, evidence.score("serving")), float(evidence.labels.mean())
    return Measured(own - rate, f"pr_auc is {own:.4f}, that of one answer for every row {rate:.4f}.")


def calibration_error(evidence: Evidence) -> Measured:
    value = expected_calibration_error(evidence.labels, evidence.score("serving"))
    return Measured(
        value, f"The probability is {value:.4f} away from the fraud rate of equally scored rows, on average."
    )


def test_metrics(evidence: Evidence) -> dict[str, float]:
    """The figures of the variant that would serve on the test rows; those that do not exist are left out."""
    figures: dict[str, Callable[[], float]] = {
        "pr_auc": lambda: test_pr_auc(evidence).value,
        "roc_auc": lambda: roc_auc(evidence.labels, evidence.score("serving")),
        "recall": lambda: recall_at_threshold(evidence).value,
        "expected_calibration_error": lambda: calibration_error(evidence).value,
        "latency_p99_ms": lambda: latency_p99_ms(evidence).value,
        "test_rows": lambda: float(len(evidence.labels)),
        "test_frauds": lambda: float(evidence.labels.sum()),
    }
    found: dict[str, float] = {}
    for name, figure in figures.items():
        try:
            value = figure()
        except NOT_THERE:
            continue
        if math.isfinite(value):
            found[name] = value
    return found
