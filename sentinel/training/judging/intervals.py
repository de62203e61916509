"""How sure a figure is: 95 % intervals of shares, of the areas under the curves and of whatever is resampled.

Rows count as drawn independently. Frauds on one card come together, so that the truth is somewhat less sure.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
RESAMPLES = 200
_Z = 1.959963984540054  # of the normal distribution, for CONFIDENCE
_MOST_DRAWN = 4_000_000  # counts held at once while resampling: 32 MB

Counts = NDArray[np.int64]
Figures = NDArray[np.float64]
Statistic = Callable[[Counts], Figures]


@dataclass(frozen=True)
class Estimate:
    """A figure and the interval that holds its true value with a confidence of 95 %."""

    value: float
    low: float
    high: float


def share(found: int, of: int) -> Estimate:
    """`found` of `of` (at least 1) with Wilson's score interval (1927), which stays within 0 and 1."""
    value = found / of
    spread = _Z**2 / of
    middle = (value + spread / 2) / (1 + spread)
    half = _Z / (1 + spread) * math.sqrt(value * (1 - value) / of + spread / (4 * of))
    return Estimate(value, max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half)))


def resampled(counts: Counts, statistic: Statistic, seed: int) -> Estimate:
    """Hall's symmetric bootstrap interval (1988) of a figure between 0 and 1: as far as 95 % of the resamples stray."""
    value = float(statistic(counts[None])[0])
    reach = within(np.abs(drawn_anew(counts, statistic, seed) - value))
    return Estimate(value, max(0.0, value - reach), min(1.0, value + reach))


def drawn_anew(counts: Counts, statistic: Statistic, seed: int) -> Figures:
    """The figure of each of RESAMPLES bootstrap samples; NaN where a sample has none.

    `counts` [K]: the rows of each cell of interchangeable rows. Each row is drawn Poisson(1) times (Hanley and
    MacGibbon, 2006), so that a cell of n rows is drawn Poisson(n) times, whatever n: rows are never touched.
    `statistic` takes such counts [R, K] and gives the figure of each, or several: [R, ...].
    """
    random = np.random.default_rng(seed)
    block = max(1, _MOST_DRAWN // len(counts))
    drawn = [
        statistic(random.poisson(counts, size=(min(block, RESAMPLES - done), len(counts))))
        for done in range(0, RESAMPLES, block)
    ]
    return np.concatenate(drawn)


def within(strayed: Figures, confidence: float = CONFIDENCE) -> float:
    """How far so large a share of the resamples stray at most."""
    return float(np.nanquantile(strayed, confidence))


def pr_auc_estimate(labels: NDArray[np.bool_], scores: NDArray[np.float64], seed: int) -> Estimate:
    cells = _ranked(labels, scores)
    genuine_and_frauds = np.stack([cells[:-1, 0] + cells[:-1, 2], cells[:-1, 1]])  # what is below every fraud is free
    return resampled(genuine_and_frauds.reshape(-1), _pr_auc_of, seed)


def roc_auc_estimate(labels: NDArray[np.bool_], scores: NDArray[np.float64], seed: int) -> Estimate:
    return resampled(_ranked(labels, scores).T.reshape(-1), _roc_auc_of, seed)


def _ranked(labels: NDArray[np.bool_], scores: NDArray[np.float64]) -> Counts:
    """Rows [F + 1, 3] by descending score: a line for each of the F scores that a fraud has, and one below all.

    Columns: genuine rows between the score and the one before, frauds of the score, genuine rows of the score. Both
    areas depend on nothing else, so that resampling these cells is resampling the rows.
    """
    levels, frauds = np.unique(scores[labels], return_counts=True)
    genuine = np.sort(scores[~labels])
    below, up_to = (np.searchsorted(genuine, levels, side) for side in ("left", "right"))
    above = np.append(below[1:], len(genuine)) - up_to
    cells = np.stack([above, frauds, up_to - below], axis=1)[::-1]
    return np.concatenate([cells, [[below[0], 0, 0]]]).astype(np.int64)


def _pr_auc_of(drawn: Counts) -> Figures:
    """Average precision of each draw [R, 2 * F]."""
    genuine, frauds = drawn.reshape(len(drawn), 2, -1).swapaxes(0, 1)
    found = frauds.cumsum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.where(found > 0, found / (found + genuine.cumsum(axis=1)), 0.0)
        return (frauds * precision).sum(axis=1) / found[:, -1]


def _roc_auc_of(drawn: Counts) -> Figures:
    """The chance that a fraud scores above a genuine row, ties half, of each draw [R, 3 * (F + 1)]."""
    between, frauds, tied = drawn.reshape(len(drawn), 3, -1).swapaxes(0, 1)
    genuine = between + tied
    below = genuine.sum(axis=1, keepdims=True) - genuine.cumsum(axis=1) + tied / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        return (frauds * below).sum(axis=1) / (frauds.sum(axis=1) * genuine.sum(axis=1).astype(np.float64))
