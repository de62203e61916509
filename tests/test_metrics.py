from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score

from sentinel.metrics import (
    card_precision_at_k,
    expected_calibration_error,
    pr_auc,
    recall_at_fpr,
    roc_auc,
    threshold_at_alerts,
    threshold_at_fpr,
)

LABELS = [False, True, False, True]
SCORES = [0.1, 0.4, 0.5, 0.8]

scored = st.lists(st.tuples(st.booleans(), st.floats(0, 1)), min_size=3, max_size=60).filter(
    lambda rows: 0 < sum(label for label, _ in rows) < len(rows)
)


def test_pr_auc_of_a_hand_counted_ranking() -> None:
    # precision 1 at the first fraud, 2/3 at the second, each worth half of the recall
    assert pr_auc(LABELS, SCORES) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_roc_auc_counts_pairs_in_the_right_order() -> None:
    assert roc_auc(LABELS, SCORES) == pytest.approx(3 / 4)


@settings(deadline=None)
@given(scored)
def test_areas_equal_those_of_scikit_learn(rows: list[tuple[bool, float]]) -> None:
    labels, scores = zip(*rows, strict=True)
    assert pr_auc(labels, scores) == pytest.approx(average_precision_score(labels, scores))
    assert roc_auc(labels, scores) == pytest.approx(roc_auc_score(labels, scores))


def test_recall_at_a_rate_of_false_alarms() -> None:
    labels = [True] * 4 + [False] * 10
    scores = [0.9, 0.8, 0.55, 0.2, 0.6, 0.5] + [0.1] * 8
    assert recall_at_fpr(labels, scores, 0.0) == 0.5
    assert recall_at_fpr(labels, scores, 0.1) == 0.75
    assert recall_at_fpr(labels, scores, 1.0) == 1.0


@settings(deadline=None)
@given(scored, st.floats(0.001, 0.999))
def test_threshold_keeps_the_budget_and_recall_cannot_be_had_cheaper(
    rows: list[tuple[bool, float]], budget: float
) -> None:
    labels, scores = (np.array(column) for column in zip(*rows, strict=True))
    flagged = scores >= threshold_at_fpr(labels, scores, budget)
    assert flagged[~labels].mean() <= budget
    assert flagged[labels].mean() == pytest.approx(recall_at_fpr(labels, scores, budget))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=40), st.integers(0, 50))
def test_threshold_flags_at_most_so_many_rows_and_the_next_lower_score_more(points: list[float], alerts: int) -> None:
    scores = np.array(points)
    flagged = scores >= threshold_at_alerts(scores, alerts)
    assert flagged.sum() <= alerts
    if not flagged.all():
        assert (scores >= scores[~flagged].max()).sum() > alerts


def test_threshold_of_no_row_or_of_a_score_that_is_no_number_is_refused() -> None:
    for scores in ([], [0.1, float("nan")]):
        with pytest.raises(ValueError, match="no threshold"):
            threshold_at_alerts(scores, 3)


def test_calibration_error_of_two_bins() -> None:
    labels = [False, False, True, True]
    scores = [0.1, 0.3, 0.6, 0.8]
    # bins (.1, .3) with no fraud and (.6, .8) with two: gaps .2 and .3
    assert expected_calibration_error(labels, scores, bins=2) == pytest.approx(0.25)


def test_calibration_error_of_fewer_rows_than_bins() -> None:
    assert expected_calibration_error([True, False], [1.0, 0.0], bins=20) == 0.0


def test_card_precision_groups_by_customer_and_leaves_found_ones_out() -> None:
    #        day 1: customer 1 has two rows, the fraud is not its highest score; customer 2 is genuine
    labels = [True, False, False, True, True, False, False]
    scores = [0.2, 0.9, 0.5, 0.1, 0.9, 0.8, 0.7]
    days = [1, 1, 1, 1, 2, 2, 2]
    customers = [1, 1, 2, 3, 1, 2, 4]
    # day 1: the two highest are customers 1 (compromised) and 2: 1/2.
    # day 2: customer 1 is left out; 2 and 4 are genuine: 0/2.
    assert card_precision_at_k(labels, scores, days, customers, 2) == pytest.approx(0.25)


def test_card_precision_divides_by_k_when_fewer_customers_came() -> None:
    assert card_precision_at_k([True, False], [0.9, 0.1], [1, 1], [1, 2], 4) == 0.25


def test_customers_may_be_strings() -> None:
    assert card_precision_at_k([True, False], [0.9, 0.1], [1, 1], ["a", "b"], 1) == 1.0


@pytest.mark.parametrize("labels", [[False, False], [True, True]])
def test_one_class_alone_has_no_figure(labels: list[bool]) -> None:
    with pytest.raises(ValueError, match="both classes are needed"):
        pr_auc(labels, [0.1, 0.2])


def test_scores_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 scores are not finite"):
        roc_auc([True, False], [0.1, float("nan")])


def test_lengths_that_differ_are_refused() -> None:
    with pytest.raises(ValueError, match="one length"):
        pr_auc([True, False], [0.1])
