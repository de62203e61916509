"""From scores to probabilities: Platt's scale and shift, fitted on the calibration set alone."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

STEPS = 50
TOLERANCE = 1e-10
LEAST_SCALE = 0.05  # a fit at or below it has found no order in the scores; then only the level is mended


def fit_platt(logits: NDArray[np.float64], labels: NDArray[np.bool_]) -> tuple[float, float]:
    """The scale and shift of `sigmoid(scale * logit + shift)` with the least log loss, by Newton's method.

    Labels are drawn towards the middle as Platt (1999) does, so that perfectly separated scores stay finite.
    """
    frauds, genuine = int(labels.sum()), int((~labels).sum())
    target = np.where(labels, (frauds + 1) / (frauds + 2), 1 / (genuine + 2))
    scale, shift = _newton(logits, target)
    if scale >= LEAST_SCALE:
        return scale, shift
    return 1.0, _level(logits, float(target.mean()))


def _newton(logits: NDArray[np.float64], target: NDArray[np.float64]) -> tuple[float, float]:
    design = np.stack([logits, np.ones_like(logits)], axis=1)
    weights = np.array([1.0, 0.0])
    loss = _loss(design @ weights, target)
    for _ in range(STEPS):
        probability = _sigmoid(design @ weights)
        gradient = design.T @ (probability - target)
        curvature = (design * (probability * (1 - probability))[:, None]).T @ design + TOLERANCE * np.eye(2)
        step = np.linalg.solve(curvature, gradient)
        while _loss(design @ (weights - step), target) > loss and np.abs(step).max() > TOLERANCE:
            step = step / 2
        weights = weights - step
        loss = _loss(design @ weights, target)
        if np.abs(step).max() <= TOLERANCE:
            break
    return float(weights[0]), float(weights[1])


def _level(logits: NDArray[np.float64], rate: float) -> float:
    """The shift that makes the mean probability `rate`, by bisection."""
    low, high = -100.0, 100.0
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if _sigmoid(logits + middle).mean() < rate else (low, middle)
    return (low + high) / 2


def _loss(logits: NDArray[np.float64], target: NDArray[np.float64]) -> float:
    return float(np.sum(np.logaddexp(0, logits) - target * logits))


def _sigmoid(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.exp(-np.logaddexp(0, -logits))
