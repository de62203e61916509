from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs
from tests.model.raw import DAY_US, HOUR_US, START_US, feature_set, features_table

FEATURES = feature_set(categorical=())
INPUTS = ModelInputs.from_feature_set(FEATURES)
DERIVE = DerivedFeatures(INPUTS, FEATURES, fraud_rate=0.01)


def derived(**values: float) -> dict[str, float]:
    """The derived features of one row in which everything else is missing."""
    row = np.full(len(INPUTS.numeric), np.nan)
    for name, value in values.items():
        row[INPUTS.numeric.index(name)] = value
    return dict(zip(DERIVE.names, DERIVE(torch.from_numpy(row)[None])[0].tolist(), strict=True))


def test_each_derived_column_has_one_name() -> None:
    numeric, _ = INPUTS.encode(features_table(50))
    assert DERIVE(torch.from_numpy(numeric)).shape == (50, len(DERIVE.names))
    assert len(set(DERIVE.names)) == len(DERIVE.names)


def test_spending_against_a_plain_numpy_computation() -> None:
    table = features_table(500)
    numeric, _ = INPUTS.encode(table)
    found = DERIVE(torch.from_numpy(numeric)).double().numpy()
    raw = {name: numeric[:, position] for position, name in enumerate(INPUTS.numeric)}
    count, total = raw["customer_count_7d"], raw["customer_amount_sum_7d"]
    amount, mean = raw["amount_minor"], total / count
    deviation = np.sqrt(np.maximum(raw["customer_amount_sum_of_squares_7d"] / count - mean**2, 0))
    score = (amount - mean) / (deviation + 100)
    expected = {
        "log_amount": np.log1p(amount),
        "customer_spending_log_mean_7d": np.log1p(mean),
        "customer_spending_amount_to_mean_7d": np.log1p(amount) - np.log1p(mean),
        "customer_spending_log_deviation_7d": np.log1p(deviation),
        "customer_spending_z_score_7d": np.sign(score) * np.log1p(np.abs(score)),
        "customer_spending_pace_1d": np.log1p(raw["customer_count_1d"]) - np.log1p(count / 7),
        "merchant_labels_log_fraud_rate_7d": np.log(
            (raw["merchant_fraud_count_7d"] + 0.1) / (raw["merchant_label_count_7d"] + 10)
        ),
        "log_merchant_labels_age_us": np.log1p(raw["merchant_labels_age_us"] / 1e6),
        "log_distance_km": np.sign(raw["distance_km"]) * np.log1p(np.abs(raw["distance_km"])),
    }
    for name, values in expected.items():
        np.testing.assert_allclose(found[:, DERIVE.names.index(name)], values, rtol=2e-6, atol=1e-5, err_msg=name)


def test_deviation_survives_sums_that_cancel_in_float32() -> None:
    # 1,000 amounts of 1,000,000 +- 3: the squares agree in their first ten digits
    values = 1_000_000 + np.tile([-3, 3], 500)
    found = derived(
        customer_count_7d=1000,
        customer_amount_sum_7d=float(values.sum()),
        customer_amount_sum_of_squares_7d=float((values**2).sum()),
    )
    assert found["customer_spending_log_deviation_7d"] == pytest.approx(math.log1p(3), rel=1e-6)


def test_calendar_of_a_known_moment() -> None:
    saturday_noon = START_US + 2 * DAY_US + 12 * HOUR_US
    found = derived(event_timestamp=saturday_noon)
    assert found["hour"] == 12 and found["is_weekend"] == 1 and found["is_night"] == 0
    assert found["weekday_sine"] == pytest.approx(math.sin(2 * math.pi * 5 / 7), abs=1e-6)
    assert derived(event_timestamp=START_US + 3 * HOUR_US)["is_night"] == 1
    assert derived(event_timestamp=START_US + 4 * DAY_US)["is_weekend"] == 0  # a Monday


def test_what_is_missing_stays_missing() -> None:
    found = derived(event_timestamp=START_US, amount_minor=100)
    known = {name for name, value in found.items() if not math.isnan(value)}
    assert known == {"log_amount", "hour", "hour_sine", "hour_cosine", "weekday_sine", "weekday_cosine", "is_weekend",
                     "is_night", "customer_merchant_spending_first_meeting"}  # fmt: skip


def test_a_pair_that_has_no_row_meets_for_the_first_time() -> None:
    name = "customer_merchant_spending_first_meeting"
    assert derived(amount_minor=100)[name] == 1
    assert derived(customer_merchant_spending_age_us=5_000_000)[name] == 0


def test_payments_are_compared_with_the_merchants_they_went_to() -> None:
    found = derived(customer_count_7d=9, customer_distinct_merchants_7d=4)
    assert found["customer_spending_payments_a_merchant_7d"] == pytest.approx(math.log(10 / 5))


@pytest.mark.parametrize(
    "statistics",
    [{"count"}, {"amount_sum"}, {"amount_max"}, {"amount_sum_of_squares", "count"}, {"distinct_merchants"},
     {"amount_sum", "count"}, {"label_count"}, {"fraud_count"}],
)  # fmt: skip
def test_a_spec_may_ask_for_any_of_the_statistics(statistics: set[str]) -> None:
    kept = [entry for entry in FEATURES["aggregates"] if entry["statistic"] in statistics]
    asked = {**FEATURES, "aggregates": kept, "ages": []}
    inputs = ModelInputs.from_feature_set(asked)
    derive = DerivedFeatures(inputs, asked)
    numeric, _ = inputs.encode(features_table(20))
    assert derive(torch.from_numpy(numeric)).shape == (20, len(derive.names))


def test_a_rate_of_no_labels_is_the_general_one() -> None:
    found = derived(merchant_label_count_7d=0, merchant_fraud_count_7d=0)
    assert found["merchant_labels_log_fraud_rate_7d"] == pytest.approx(math.log(0.01))


def test_moments_of_known_frauds_become_ages_and_say_whether_a_genuine_payment_came_after() -> None:
    statistics = ("first_fraud_at", "last_fraud_at", "last_genuine_at")
    entries = [
        {
            "name": f"merchant_{statistic}_30d", "entity": "merchant", "kind": "labels", "statistic": statistic,
            "window_us": 30 * DAY_US, "view": "merchant_labels",
        }
        for statistic in statistics
    ]  # fmt: skip
    asked = {**FEATURES, "aggregates": entries, "ages": [], "numeric": []}
    inputs = ModelInputs.from_feature_set(asked)
    derive = DerivedFeatures(inputs, asked)

    def found(**days_ago: float) -> dict[str, float]:
        raw = dict.fromkeys(inputs.numeric, math.nan) | {"event_timestamp": float(START_US)}
        raw |= {f"merchant_{name}_at_30d": START_US - days * DAY_US for name, days in days_ago.items()}
        values = derive(torch.tensor([[raw[name] for name in inputs.numeric]], dtype=torch.float64))
        return dict(zip(derive.names, values[0].tolist(), strict=True))

    taken_over = found(first_fraud=12, last_fraud=8, last_genuine=20)
    for name, days in {"first_fraud": 12, "last_fraud": 8, "last_genuine": 20}.items():
        assert taken_over[f"merchant_labels_log_{name}_age_30d"] == pytest.approx(math.log1p(days * 86_400))
    assert taken_over["merchant_labels_genuine_after_first_fraud_30d"] < 0
    assert found(first_fraud=12, last_fraud=12, last_genuine=8)["merchant_labels_genuine_after_first_fraud_30d"] > 0
    assert math.isnan(found(last_genuine=8)["merchant_labels_genuine_after_first_fraud_30d"])


@settings(deadline=None)
@given(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=3, max_size=3))
def test_nothing_that_comes_in_becomes_infinite(values: list[float]) -> None:
    numeric = torch.tensor([[value] * len(INPUTS.numeric) for value in values], dtype=torch.float64)
    assert not DERIVE(numeric).isinf().any()
