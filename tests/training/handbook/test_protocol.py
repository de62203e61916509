from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from sentinel.errors import DataContractError
from sentinel.metrics import roc_auc
from sentinel.training.handbook.book_features import handbook_features
from sentinel.training.handbook.protocol import (
    ANNOUNCED,
    GENUINE,
    TEST_FOLDS,
    UNANNOUNCED,
    VALIDATION_FOLDS,
    KindOfFraud,
    fraud_kinds,
    hindsight_scores,
    lost_roc_auc,
    make_fold,
    mean_of_kinds,
)
from sentinel.training.tuning.folds import Scores, Transactions, mean

START = TEST_FOLDS[0]
FIRST = (START - date(1970, 1, 1)).days


def test_fold_trains_a_week_waits_a_week_and_tests_a_week() -> None:
    days = np.arange(FIRST - 2, FIRST + 25)
    labels = np.isin(days, (FIRST, FIRST + 15))
    fold = make_fold(START, days, np.arange(len(days)), labels)
    assert (days[fold.train] - FIRST).tolist() == list(range(7))
    assert (days[fold.judged] - FIRST).tolist() == list(range(14, 21))


def test_customers_with_a_fraud_known_by_the_day_are_left_out() -> None:
    # customer 1: fraud in training. customer 2: fraud on waiting day 8, known on test days from the third on
    # (the second test day knows the waiting days up to the seventh). customer 3: none.
    rows = [(0, 1, True), (8, 2, True)]
    rows += [(day, customer, customer == 3 and day == 14) for day in (14, 15, 16, 20) for customer in (1, 2, 3)]
    days, customers, labels = (np.array(column) for column in zip(*rows, strict=True))
    fold = make_fold(START, days + FIRST, customers, labels)
    tested = [(int(days[row]), int(customers[row])) for row in fold.judged]
    assert tested == [(14, 2), (14, 3), (15, 2), (15, 3), (16, 3), (20, 3)]


def test_no_row_that_the_test_folds_judge_by_is_in_a_validation_fold() -> None:
    days = np.arange((VALIDATION_FOLDS[0] - date(1970, 1, 1)).days, FIRST + 100)
    labels = np.isin(days % 7, (0, 3))
    everyone = np.arange(len(days))
    asked = {int(row) for start in TEST_FOLDS for row in make_fold(start, days, everyone, labels).judged}
    chosen = [make_fold(start, days, everyone, labels) for start in VALIDATION_FOLDS]
    assert all(asked.isdisjoint([*fold.train, *fold.judged]) for fold in chosen)


def test_data_of_other_days_are_refused() -> None:
    days = np.arange(10)
    with pytest.raises(DataContractError, match="2018-07-25"):
        make_fold(START, days, days, days > 5)


def test_scores_of_a_fold_and_their_mean() -> None:
    days = np.concatenate([np.full(4, FIRST), np.full(4, FIRST + 14)])
    labels = np.array([1, 0, 0, 0, 1, 0, 0, 0], bool)
    fold = make_fold(START, days, np.arange(8), labels)
    scores = Transactions(days, np.arange(8)).judge(fold, np.array([0.9, 0.1, 0.2, 0.3]))
    assert scores == Scores(1.0, 1.0, 0.01)
    assert mean([scores, Scores(0.5, 0.0, 0.03)]) == Scores(0.75, 0.5, 0.02)


def test_hindsight_knows_two_scenarios_and_waits_for_the_labels_of_the_third() -> None:
    known_frauds = np.array([0.0, np.nan, 1.0, 0.0, 2.0])
    kinds = fraud_kinds(["1", "3", "2", "2", None], known_frauds)
    assert kinds.tolist() == ["1", "3", ANNOUNCED, UNANNOUNCED, GENUINE]
    assert hindsight_scores(kinds).tolist() == [1, 1, 1, 0, 0]


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["0", "1", "2", "3"]), st.integers(0, 5)), min_size=2))
def test_what_the_kinds_lose_adds_up_to_what_roc_auc_lacks(rows: list[tuple[str, int]]) -> None:
    kinds, scores = np.array([kind for kind, _ in rows]), np.array([float(score) for _, score in rows])
    labels = kinds != GENUINE
    assume(0 < labels.sum() < len(labels))
    lost = lost_roc_auc(kinds, labels, scores)
    assert sum(kind.lost for kind in lost.values()) == pytest.approx(1 - roc_auc(labels, scores))
    assert sum(kind.share for kind in lost.values()) == pytest.approx(1)


def test_a_kind_that_a_fold_lacks_counts_as_none_in_the_mean() -> None:
    found = mean_of_kinds([{"1": KindOfFraud(0.5, 0.25)}, {}])
    assert found["1"].to_dict() == {"share": 0.25, "rank": 0.5, "lost": 0.125}


def test_handbook_features_of_hand_counted_rows(tmp_path: Path) -> None:
    noon = datetime(2018, 6, 1, 12, tzinfo=UTC)  # a Friday
    rows = [  # day, amount in cents, fraud: one customer, one terminal
        (0, 1000, True), (1, 3000, False), (8, 2000, False), (15, 6000, False),
    ]  # fmt: skip
    table = pa.table(
        {
            "transaction_id": [1, 2, 3, 4],
            "event_timestamp": pa.array([noon + timedelta(days=day) for day, *_ in rows], pa.timestamp("us", "UTC")),
            "customer_id": [7] * 4,
            "merchant_id": [9] * 4,
            "amount_minor": [amount for _, amount, _ in rows],
            "is_fraud": [fraud for *_, fraud in rows],
        }
    )
    pq.write_table(table, tmp_path / "table.parquet")
    found = handbook_features(tmp_path / "table.parquet")
    assert found.shape == (4, 15)
    assert found[:, 0].tolist() == [10, 30, 20, 60]
    assert found[:, 1].tolist() == [0, 1, 1, 1]  # Friday, Saturday, Saturday, Saturday
    # on day 8 the window of 7 days is open on its left: the row of day 1 is outside
    assert found[2, 3:9].tolist() == [1, 20, 1, 20, 3, 20]
    # terminal: on day 8 the labels of 7 days ago and older are those of days 0 and 1; one day: that of day 1 alone
    assert found[2, 9:15].tolist() == [1, 0, 2, 0.5, 2, 0.5]
    # on day 15 the day's window (14 to 15 days back, 7 to 8 days before) holds the row of day 8
    assert found[3, 9:15].tolist() == [1, 0, 1, 0, 3, 1 / 3]
