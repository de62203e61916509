"""The expected calibration error with its interval.

Naeini et al. (2015), with bins of equally many rows in order of the score (adaptive bins: Nguyen and O'Connor, 2015):
for rare frauds, bins of equal width would put nearly every row into the first. The estimate is never below 0, and
noise alone lifts it: its interval reaches both ways as far as resamples stray, so that it holds 0 where 0 is possible.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sentinel.training.intervals import Counts, Estimate, Figures, resampled

BINS = 20
CELLS_OF_A_BIN = 50  # of each label: so narrow in score that their rows are as good as interchangeable


def calibration_error_estimate(labels: NDArray[np.bool_], scores: NDArray[np.float64], seed: int) -> Estimate:
    """The bins stay where they are; their rows are drawn anew."""
    counts, gaps, bins = _cells(labels, scores)

    def error(drawn: Counts) -> Figures:
        of_bins = np.add.reduceat(drawn * gaps, bins, axis=1)
        return np.abs(of_bins).sum(axis=1) / drawn.sum(axis=1)

    return resampled(counts, error, seed)


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
