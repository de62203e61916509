from __future__ import annotations

import numpy as np
import pytest

from sentinel.training.judging.calibration import fit_platt


def sigmoid(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-values))


def test_known_scale_and_shift_are_found_again() -> None:
    random = np.random.default_rng(0)
    logits = random.normal(-2, 3, 200_000)
    labels = random.random(200_000) < sigmoid(0.6 * logits - 0.8)
    scale, shift = fit_platt(logits, labels)
    assert scale == pytest.approx(0.6, abs=0.02)
    assert shift == pytest.approx(-0.8, abs=0.03)


def test_mean_probability_becomes_the_fraud_rate() -> None:
    random = np.random.default_rng(1)
    logits = random.normal(0, 2, 20_000)
    labels = random.random(20_000) < sigmoid(logits - 5)
    scale, shift = fit_platt(logits, labels)
    assert sigmoid(scale * logits + shift).mean() == pytest.approx(labels.mean(), abs=2e-4)


def test_perfectly_separated_scores_stay_finite() -> None:
    logits = np.array([-3.0, -2.0, -1.0, 4.0, 5.0])
    scale, shift = fit_platt(logits, logits > 0)
    assert np.isfinite([scale, shift]).all() and scale > 0


def test_scores_in_the_wrong_order_are_not_turned_round() -> None:
    logits = np.linspace(-2, 2, 1000)
    scale, shift = fit_platt(logits, logits < -1)
    assert scale == 1.0
    assert sigmoid(logits + shift).mean() == pytest.approx(0.25, abs=0.01)
