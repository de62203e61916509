"""The paired bootstrap: how much of a difference between two models is the luck of these test rows.

Both models are judged on the same draws of rows, so that what makes a draw easy or hard for both cancels out. Drawn are
not rows but customers, all rows of one together: frauds on one card are one story, and rows drawn singly would count it
as many and find the interval too narrow (Field and Welsh, Bootstrapping clustered data, 2007). A customer is drawn
Poisson(1) times, which for thousands of them is drawing with replacement (Hanley and MacGibbon, 2006), and needs no
resampled table: a row has a weight a draw. Where customers are too many they are put together into MOST_BLOCKS blocks;
blocks of whole customers are as good as customers. Frauds at one merchant are not kept together.

The draws come from a generator's raw bits, which numpy promises never to change, so that every machine draws alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, factorial

import numpy as np
from numpy.typing import NDArray

DRAWS = 1000
CONFIDENCE = 0.95
MOST_BLOCKS = 5000
_AT_ONCE = 64  # draws; their weights of all rows stay small
_LEVELS = 2**16  # of a raw draw

Weights = NDArray[np.uint8]


@dataclass(frozen=True)
class Difference:
    """Of two figures on the same rows, and the interval of CONFIDENCE (percentiles of the draws)."""

    value: float
    low: float
    high: float


def draw_weights(blocks: int, draws: int, seed: int) -> Weights:
    """How often each block is in each draw: [blocks, draws]."""
    words = np.random.PCG64(seed).random_raw(-(-blocks * draws // 4)).astype("<u8")
    return _poisson()[words.view("<u2")[: blocks * draws]].reshape(blocks, draws)


def drawn_pr_auc(
    labels: NDArray[np.bool_], scores: NDArray[np.float64], blocks: NDArray[np.int64], weights: Weights
) -> NDArray[np.float64]:
    """The average precision of each draw; NaN where a draw has no fraud.

    Rows are sorted once: only the counts at the scores that a fraud has matter, and those are sums of weights.
    """
    levels = np.unique(scores[labels])
    level = np.searchsorted(levels, scores, "right")  # 0: below every fraud, where rows change nothing
    counted = np.flatnonzero(level)
    order = counted[np.argsort(-level[counted], kind="stable")]
    starts = np.flatnonzero(np.diff(level[order], prepend=0))
    is_fraud, block = labels[order], blocks[order]
    frauds = np.flatnonzero(is_fraud)
    starts_of_frauds = np.searchsorted(frauds, starts)  # every level has one
    found = [
        _average_precision(weights[:, at : at + _AT_ONCE], block, starts, block[frauds], starts_of_frauds)
        for at in range(0, weights.shape[1], _AT_ONCE)
    ]
    return np.concatenate(found)


def interval_of(value: float, drawn: NDArray[np.float64]) -> Difference:
    """Raises ValueError when too many draws have no figure."""
    usable = drawn[np.isfinite(drawn)]
    if len(usable) < CONFIDENCE * len(drawn) or not len(usable):
        raise ValueError(f"only {len(usable)} of {len(drawn)} draws have frauds")
    low, high = np.quantile(usable, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Difference(value, float(low), float(high))


def _average_precision(
    weights: Weights,
    block: NDArray[np.int64],
    starts: NDArray[np.intp],
    block_of_frauds: NDArray[np.int64],
    starts_of_frauds: NDArray[np.intp],
) -> NDArray[np.float64]:
    rows = np.add.reduceat(weights[block], starts, axis=0, dtype=np.int32).cumsum(axis=0)
    frauds = np.add.reduceat(weights[block_of_frauds], starts_of_frauds, axis=0, dtype=np.int32)
    found = frauds.cumsum(axis=0)
    precision = found / np.maximum(rows, 1)
    with np.errstate(invalid="ignore"):
        return (frauds * precision).sum(axis=0) / found[-1]


def _poisson() -> Weights:
    """The Poisson(1) count for each of _LEVELS equally likely raw draws."""
    shares = np.cumsum([exp(-1) / factorial(count) for count in range(12)])
    return np.searchsorted(shares * _LEVELS, np.arange(_LEVELS) + 0.5).astype(np.uint8)
