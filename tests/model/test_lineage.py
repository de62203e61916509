"""What each derived feature depends on, found from the formulas."""

from __future__ import annotations

from sentinel.config import Column, Features
from sentinel.features.spec import feature_set
from sentinel.model.lineage import derived_from
from tests.features.project import columns

WANTED = feature_set(
    columns(
        merchant_id=Column(source="merchant_id"),
        entities={"device": Column(source="device")},
        numeric={"age_of_card": Column(source="age")},
        categorical={"country": Column(source="country")},
    ),
    Features(),
)


def test_every_stored_feature_is_used_and_every_derived_one_comes_from_something() -> None:
    derived = derived_from(WANTED.to_dict())
    assert all(derived.values())
    used = {name for inputs in derived.values() for name in inputs}
    assert used == {*WANTED.columns, "amount_minor", "event_timestamp", "age_of_card"}


def test_inputs_of_a_formula_are_those_it_reads() -> None:
    derived = derived_from(WANTED.to_dict())
    assert derived["is_weekend"] == derived["is_night"] == ("event_timestamp",)
    assert derived["customer_spending_z_score_7d"] == (
        "amount_minor", "customer_count_7d", "customer_amount_sum_7d", "customer_amount_sum_of_squares_7d",
    )  # fmt: skip
    assert derived["device_labels_log_fraud_rate_1d"] == ("device_label_count_1d", "device_fraud_count_1d")
    assert derived["customer_merchant_spending_first_meeting"] == ("customer_merchant_spending_age_us",)
    assert derived["log_age_of_card"] == ("age_of_card",)
