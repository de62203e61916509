"""What a variant's answers are worth on the test rows. Measured here, judged elsewhere."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sentinel.export.divergence import kl_divergence
from sentinel.export.rows import Rows
from sentinel.metrics import expected_calibration_error, pr_auc, roc_auc
from sentinel.scoring import Probability, Scorer

_ROWS_BESIDE = 1000


@dataclass(frozen=True)
class Quality:
    """Against the labels, and against fp32's scores of the same rows at the same threshold, which training recorded.

    A decision flips when one of the two flags the row (score >= threshold) and the other does not: it is newly flagged
    or newly missed. Money is in minor units of the flipped rows' amounts.
    """

    pr_auc: float
    roc_auc: float
    expected_calibration_error: float
    recall_at_alert_budget: float  # share of the frauds that the threshold of the alert budget flags
    pr_auc_loss: float
    kl_divergence: float
    largest_shift: float
    mean_shift: float
    flagged: int
    flips: int
    flipped_fraction: float
    flipped_amount_minor: int
    newly_flagged: int
    newly_flagged_amount_minor: int
    newly_missed: int
    newly_missed_amount_minor: int
    distinct_scores: int


def measure_quality(rows: Rows, scores: Probability, reference: Probability, threshold: float) -> Quality | None:
    """None when a score is not finite: such a variant has no quality, and what is not measured does not pass."""
    if not (np.isfinite(scores).all() and np.isfinite(reference).all()):
        return None
    labels, shift = rows.labels, np.abs(scores.astype(np.float64) - reference)
    flagged, before = _flagged(scores, threshold), _flagged(reference, threshold)
    own = pr_auc(labels, scores)
    return Quality(
        pr_auc=own,
        roc_auc=roc_auc(labels, scores),
        expected_calibration_error=expected_calibration_error(labels, scores),
        recall_at_alert_budget=float(flagged[labels].mean()),
        pr_auc_loss=pr_auc(labels, reference) - own,
        kl_divergence=kl_divergence(reference, scores),
        largest_shift=float(shift.max()),
        mean_shift=float(shift.mean()),
        flagged=int(flagged.sum()),
        flips=int((flagged != before).sum()),
        flipped_fraction=float((flagged != before).mean()),
        flipped_amount_minor=_amount(rows, flagged != before),
        newly_flagged=int((flagged & ~before).sum()),
        newly_flagged_amount_minor=_amount(rows, flagged & ~before),
        newly_missed=int((~flagged & before).sum()),
        newly_missed_amount_minor=_amount(rows, ~flagged & before),
        distinct_scores=len(np.unique(scores)),
    )


def measure_batch_shift(scorer: Scorer, rows: Rows) -> float | None:
    """How far a score moves with the transactions that are asked about beside it; None when one is not finite.

    A dynamic range is that of the whole batch, so that the same transaction has another score in other company.
    """
    some = rows.spread(_ROWS_BESIDE)
    together = scorer.run(some.numeric, some.categorical)
    alone = [scorer.run(some.numeric[at : at + 1], some.categorical[at : at + 1])[0] for at in range(len(some))]
    largest = float(np.abs(together.astype(np.float64) - alone).max())
    return largest if np.isfinite(largest) else None


def _flagged(scores: Probability, threshold: float) -> NDArray[np.bool_]:
    return scores.astype(np.float64) >= threshold  # float32 would round the threshold


def _amount(rows: Rows, which: NDArray[np.bool_]) -> int:
    return int(rows.amounts[which].sum())
