from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from sentinel.metrics import expected_calibration_error, pr_auc, roc_auc
from sentinel.training.judging.calibration_error import calibration_error_estimate
from sentinel.training.judging.intervals import pr_auc_estimate, roc_auc_estimate, share

scored = st.lists(st.tuples(st.booleans(), st.integers(0, 15)), min_size=3, max_size=60).filter(
    lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
)


@given(st.integers(1, 5000), st.floats(0, 1))
def test_share_has_the_interval_of_wilson(of: int, part: float) -> None:
    found = round(part * of)
    estimate = share(found, of)
    wilson = binomtest(found, of).proportion_ci(0.95, "wilson")
    assert (estimate.low, estimate.high) == pytest.approx((wilson.low, wilson.high), abs=1e-12)
    assert 0 <= estimate.low <= estimate.value == found / of <= estimate.high <= 1


@settings(deadline=None)
@given(scored)
def test_areas_are_those_of_the_rows_ties_included(rows: list[tuple[bool, int]]) -> None:
    labels, points = (np.array(column) for column in zip(*rows, strict=True))
    for estimated, measured in ((pr_auc_estimate, pr_auc), (roc_auc_estimate, roc_auc)):
        estimate = estimated(labels, points / 15, seed=0)
        assert estimate.value == pytest.approx(measured(labels, points / 15))
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def world(rows: int, seed: int, truth: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels that are fraud with `truth` times the probability, and the probability."""
    random = np.random.default_rng(seed)
    probability = 1 / (1 + np.exp(4 - 2 * random.normal(size=rows)))
    return random.random(rows) < truth * probability, probability


def test_areas_stray_as_far_as_those_of_rows_drawn_anew() -> None:
    labels, scores = world(3000, seed=1)
    random = np.random.default_rng(2)
    draws = [random.integers(0, 3000, 3000) for _ in range(300)]
    for estimated, measured in ((pr_auc_estimate, pr_auc), (roc_auc_estimate, roc_auc)):
        estimate = estimated(labels, scores, seed=3)
        strayed = [abs(measured(labels[rows], scores[rows]) - estimate.value) for rows in draws]
        assert estimate.high - estimate.value == pytest.approx(np.quantile(strayed, 0.95), rel=0.3)


def test_calibration_error_is_the_metric_and_reproducible() -> None:
    labels, scores = world(5000, seed=4)
    estimate = calibration_error_estimate(labels, scores, seed=5)
    assert estimate.value == pytest.approx(expected_calibration_error(labels, scores))
    assert estimate == calibration_error_estimate(labels, scores, seed=5)
    assert estimate != calibration_error_estimate(labels, scores, seed=6)


def test_calibration_error_of_few_rows_and_of_one_score() -> None:
    for rows, scores in ((3, [0.1, 0.5, 0.9]), (50, [0.5] * 50)):
        labels = np.arange(rows) % 2 == 1
        estimate = calibration_error_estimate(labels, np.array(scores), seed=0)
        assert estimate.value == pytest.approx(expected_calibration_error(labels, scores))
        assert estimate.low <= estimate.value <= estimate.high


@pytest.mark.parametrize("truth", [1.0, 0.5])
def test_calibration_interval_holds_the_true_error(truth: float) -> None:
    """Where probabilities are right the true error is 0, where frauds are half as frequent half the probability."""
    worlds = [world(4000, seed, truth) for seed in range(60)]
    held = 0
    for labels, probability in worlds:
        estimate = calibration_error_estimate(labels, probability, seed=0)
        held += estimate.low <= (1 - truth) * probability.mean() <= estimate.high
    assert held >= 52  # of 60
