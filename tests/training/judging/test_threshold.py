from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.config import Training
from sentinel.training.judging.threshold import DAY_US, choose_threshold, counted_days

HOUR_US = DAY_US // 24


def week(rows: int, start_us: int = 0) -> np.ndarray:
    """Times spread evenly over seven days."""
    return start_us + np.arange(rows, dtype=np.int64) * (7 * DAY_US) // rows


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=2, max_size=80), st.integers(1, 9), st.integers(0, 23))
def test_alerts_stay_within_the_budget_and_the_next_lower_score_would_break_it(
    points: list[int], asked: int, hour: int
) -> None:
    scores = np.array(points) / 12
    moments = week(len(scores), hour * HOUR_US)
    found = choose_threshold(Training(alerts_a_day=asked), np.zeros(len(scores), bool), scores, moments)
    flagged = scores >= found.value
    days = counted_days(moments)
    assert (found.budget, found.asked) == ("alerts_a_day", asked)
    assert flagged.sum() / days == found.kept_on_calibration <= asked
    assert flagged.sum() / len(np.unique(moments // DAY_US)) <= asked  # counted by date, too
    if not flagged.all():
        assert (scores >= scores[~flagged].max()).sum() / days > asked


def test_rows_that_all_share_one_score_are_not_flagged_when_they_break_the_budget() -> None:
    scores, labels = np.full(70, 1.0), np.arange(70) < 5
    few = choose_threshold(Training(alerts_a_day=9), labels, scores, week(70))
    assert few.kept_on_calibration == 0 and few.value > 1.0
    assert choose_threshold(Training(alerts_a_day=10), labels, scores, week(70)).kept_on_calibration == 10


def test_tie_at_the_edge_of_the_budget_is_left_out_as_a_whole() -> None:
    scores = np.array([0.9] * 5 + [0.8] * 4 + [0.1] * 61)
    found = choose_threshold(Training(alerts_a_day=1), np.zeros(70, bool), scores, week(70))
    assert found.value == 0.9 and found.kept_on_calibration == pytest.approx(5 / 7)


@pytest.mark.parametrize(
    ("moments", "days"),
    [
        (week(700), 7),
        (week(700, 13 * HOUR_US), 7),  # touches eight dates
        (np.concatenate([week(700)[:500], week(700, 7 * DAY_US)[:500]]), 10),  # two working weeks
        (np.array([5 * DAY_US + 3]), 1),
        (np.array([0, DAY_US - 1]), 1),
    ],
)
def test_days_without_rows_and_halves_of_dates_lend_nothing(moments: np.ndarray, days: int) -> None:
    assert counted_days(moments) == days


def test_false_positive_rate_counts_the_genuine_rows_alone() -> None:
    labels = np.arange(100) < 20
    scores = np.where(labels, 0.9, np.linspace(0, 0.8, 100))
    found = choose_threshold(Training(false_positive_rate=0.1), labels, scores, week(100))
    assert (found.budget, found.asked) == ("false_positive_rate", 0.1)
    assert found.kept_on_calibration == pytest.approx(0.1)
    assert (scores[labels] >= found.value).all()
