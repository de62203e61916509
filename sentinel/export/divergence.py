"""How far a variant's scores lie from fp32's, as distributions."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS, LIMIT = 60, 15.0  # half a unit of the logit each; what lies beyond counts in the outermost bins
_LEAST = 1e-7  # of a probability and its complement: float32 rounds to exactly 0 and 1


def kl_divergence(reference: ArrayLike, scores: ArrayLike) -> float:
    """KL(P‖Q) in nats, P the scores of fp32 and Q those of the variant on the same rows.

    KL = Σ_b p_b · ln(p_b / q_b) over B = 60 bins of equal width of the logit ln(s / (1 - s)) from -15 to 15, with
    p_b = (n_b + 1/2) / (N + B/2) of the n_b of N rows in bin b, and q_b likewise: half a row in every bin (Jeffreys'
    prior) keeps an empty one from making it infinite.
    """
    p, q = _shares(reference), _shares(scores)
    return float(np.sum(p * np.log(p / q)))


def _shares(scores: ArrayLike) -> NDArray[np.float64]:
    score = np.clip(np.asarray(scores, np.float64), _LEAST, 1 - _LEAST)
    logit = np.clip(np.log(score) - np.log1p(-score), -LIMIT, LIMIT)
    counted = np.histogram(logit, BINS, (-LIMIT, LIMIT))[0]
    return (counted + 0.5) / (len(logit) + BINS / 2)
