from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from sentinel.storage import write_json
from sentinel.training.judging.judgement import Judgement, Scored, figures, judge
from sentinel.training.judging.threshold import DAY_US, Threshold
from tests.model.raw import feature_set, features_table

THRESHOLD = Threshold(0.5, "alerts_a_day", 10, 9.5)


def scored(rows: int, seed: int) -> Scored:
    table = features_table(rows, days=20, seed=seed)
    labels = table["is_fraud"].to_numpy().astype(bool)
    random = np.random.default_rng(seed)
    scores = np.clip(random.normal(0.2 + 0.4 * labels, 0.15), 0, 1)
    return Scored(table, labels, scores, scores)


@pytest.fixture(scope="module")
def test_part() -> Scored:
    return scored(3000, 1)


@pytest.fixture(scope="module")
def judgement(test_part: Scored) -> Judgement:
    parts = {"validation": scored(1500, 2), "calibration": scored(1500, 3), "test": test_part}
    return judge(parts, THRESHOLD, feature_set(), seed=0)


def test_figures_at_the_threshold_are_counted_by_hand() -> None:
    moments = pa.array([DAY_US, DAY_US + 5, 2 * DAY_US, 2 * DAY_US + 7], pa.timestamp("us", "UTC"))
    columns = {"event_timestamp": moments, "customer_id": [1, 2, 3, 4], "amount_minor": [100, 2000, 30_000, 400_000]}
    labels = np.array([True, True, False, False])
    part = Scored(pa.table(columns), labels, np.array([0.9, 0.2, 0.6, 0.1]), np.zeros(4))
    found = figures(part, 0.5)
    assert found["alerts_a_day"] == 1  # two alerts on two dates
    assert (found["false_positive_rate"], found["recall"], found["precision"]) == (0.5, 0.5, 0.5)
    assert (found["caught_fraud_amount_minor"], found["missed_fraud_amount_minor"]) == (100, 2000)


def test_without_an_alert_there_is_no_precision(test_part: Scored) -> None:
    found = figures(test_part, 1.1)
    assert "precision" not in found
    assert found["alerts_a_day"] == found["recall"] == found["caught_fraud_amount_minor"] == 0


def test_intervals_hold_the_figures_of_the_test_part(judgement: Judgement) -> None:
    assert set(judgement.intervals) == {
        "pr_auc", "roc_auc", "expected_calibration_error", "recall", "false_positive_rate", "precision",
    }  # fmt: skip
    for name, estimate in judgement.intervals.items():
        assert estimate.value == pytest.approx(judgement.metrics["test"][name])
        assert estimate.low < estimate.value < estimate.high


def test_every_declared_column_amounts_and_new_keys_have_slices(judgement: Judgement, test_part: Scored) -> None:
    found = {(each.by, each.name): each for each in judgement.slices}
    assert list(dict.fromkeys(by for by, _ in found)) == [
        "amount_minor", "channel", "fraud_kind", "customer", "merchant", "customer_merchant",
    ]  # fmt: skip
    assert {name for by, name in found if by == "channel"} == {"chip", "online"}
    for entity in ("customer", "merchant", "customer_merchant"):
        assert found[entity, "new"].rows == test_part.table[f"{entity}_spending_age_us"].null_count > 0
    assert found["fraud_kind", "large"].frauds == found["fraud_kind", "large"].rows == test_part.labels.sum()


def test_record_is_plain_json(judgement: Judgement, tmp_path: Path) -> None:
    write_json(tmp_path / "training.json", judgement.to_dict())
    found = json.loads((tmp_path / "training.json").read_text())
    assert found["threshold"] == 0.5
    assert found["threshold_budget"] == {"budget": "alerts_a_day", "asked": 10, "kept_on_calibration": 9.5}
    assert found["slices"][0]["recall"] == "too few" or set(found["slices"][0]["recall"]) == {"value", "low", "high"}
