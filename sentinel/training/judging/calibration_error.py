"""The expected calibration error with its interval.

Naeini et al. (2015), with bins of equally many rows in order of the score (adaptive bins: Nguyen and O'Connor, 2015):
for rare frauds, bins of equal width would put nearly every row into the first. Noise alone lifts the estimate above
the truth, which a plain bootstrap interval would not admit: the lower end is the smallest error that noise lifts to
the estimate.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sentinel.training.judging.intervals import CONFIDENCE, Counts, Estimate, Figures, drawn_anew, within

BINS = 20
ONE_SIDED = (1 + CONFIDENCE) / 2
SHARES = np.linspace(0, 1, 41)  # of the measured gaps, tried as the true ones
CELLS_OF_A_BIN = 50  # of each label: so narrow in score that their rows are as good as interchangeable


def calibration_error_estimate(labels: NDArray[np.bool_], scores: NDArray[np.float64], seed: int) -> Estimate:
    """The bins stay where they are; their rows are drawn anew."""
    counts, gaps, bins = _cells(labels, scores)

    def of_bins(drawn: Counts) -> Figures:
        """Each bin's share of the mean score less the fraud rate: [R, B]."""
        with np.errstate(invalid="ignore"):  # a sample without a row
            return np.add.reduceat(drawn * gaps, bins, axis=1) / drawn.sum(axis=1, keepdims=True)

    measured = of_bins(counts[None])
    anew = drawn_anew(counts, of_bins, seed)
    error = float(np.abs(measured).sum())
    reach = within(np.abs(np.abs(anew).sum(axis=1) - error))
    return Estimate(error, _lower_end(measured, anew - measured), min(1.0, error + reach))


def _lower_end(measured: Figures, noise: Figures) -> float:
    """The least error, of gaps in proportion to those measured, that this noise [R, B] still lifts to the measured."""
    error = float(np.abs(measured).sum())
    for share in SHARES:
        if within(np.abs(share * measured + noise).sum(axis=1), ONE_SIDED) >= error:
            return float(share) * error
    return error


def _cells(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> tuple[Counts, Figures, NDArray[np.intp]]:
    """Rows of each cell [K], its mean of score less label [K], and where each bin's cells begin."""
    counts: list[int] = []
    gaps: list[float] = []
    starts: list[int] = []
    order = np.argsort(scores, kind="stable")
    for rows in np.array_split(order, min(BINS, len(order))):
        starts.append(len(counts))
        for of_label in (rows[labels[rows]], rows[~labels[rows]]):
            for cell in np.array_split(of_label, min(CELLS_OF_A_BIN, len(of_label)) or 1):
                if len(cell):
                    counts.append(len(cell))
                    gaps.append(float((scores[cell] - labels[cell]).mean()))
    return np.array(counts, np.int64), np.array(gaps), np.array(starts, np.intp)
