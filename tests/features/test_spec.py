from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from sentinel.config import Column, Features
from sentinel.features.spec import DAY, Aggregate, FeatureSet, feature_set
from tests.features.project import columns

MERCHANT = {"merchant_id": Column(source="shop")}


def with_window(wanted: FeatureSet, window: timedelta) -> FeatureSet:
    first = wanted.views[0]
    added = Aggregate(first.entity, "count", window)
    return replace(wanted, views=(replace(first, aggregates=(*first.aggregates, added)), *wanted.views[1:]))


def test_names_say_entity_statistic_and_window() -> None:
    wanted = feature_set(columns(**MERCHANT), Features())
    assert {"customer_amount_sum_of_squares_1d", "merchant_fraud_count_30d", "merchant_labels_age_us"} <= set(
        wanted.columns
    )
    assert len(set(wanted.columns)) == len(wanted.columns) == 57
    assert Aggregate("customer", "count", timedelta(minutes=90)).name == "customer_count_90m"
    assert Aggregate("customer", "count", timedelta(seconds=61)).name == "customer_count_61s"


def test_a_view_lives_as_long_as_its_longest_window() -> None:
    wanted = with_window(feature_set(columns(), Features()), 40 * DAY)
    assert [view.ttl for view in wanted.views] == [40 * DAY, 30 * DAY]


def test_hash_is_the_same_for_the_same_features_wherever_columns_come_from() -> None:
    one = feature_set(columns(merchant_id=Column(source="shop")), Features())
    other = feature_set(columns(merchant_id=Column(source="terminal", optional=True)), Features())
    assert one.hash == other.hash
    sliced = feature_set(columns(**MERCHANT, categorical={"kind": Column(source="x", use="slice")}), Features())
    assert sliced.hash == one.hash


@pytest.mark.parametrize(
    "other",
    [
        feature_set(columns(**MERCHANT), Features(ingestion_lag=timedelta(seconds=2))),
        feature_set(columns(**MERCHANT), Features(label_delay=timedelta(days=8))),
        feature_set(columns(), Features()),
        feature_set(columns(**MERCHANT, recorded_at=Column(source="arrived")), Features()),
        feature_set(columns(**MERCHANT, label_available_at=Column(source="told")), Features()),
        feature_set(columns(**MERCHANT, numeric={"distance": Column(source="x")}), Features()),
        feature_set(columns(**MERCHANT, categorical={"country": Column(source="x")}), Features()),
        with_window(feature_set(columns(**MERCHANT), Features()), 2 * DAY),
    ],
    ids=["lag", "label delay", "no merchant", "arrival", "label time", "numeric", "categorical", "window"],
)
def test_hash_changes_with_what_a_value_means(other: FeatureSet) -> None:
    assert other.hash != feature_set(columns(**MERCHANT), Features()).hash


def test_hash_changes_with_a_statistic() -> None:
    wanted = feature_set(columns(), Features())
    first = wanted.views[0]
    swapped = (replace(first.aggregates[0], statistic="amount_sum"), *first.aggregates[1:])
    assert replace(wanted, views=(replace(first, aggregates=swapped), *wanted.views[1:])).hash != wanted.hash


def test_label_delay_is_no_rule_where_labels_have_a_time() -> None:
    mapped = columns(label_available_at=Column(source="told"))
    assert feature_set(mapped, Features(label_delay=DAY)).hash == feature_set(mapped, Features()).hash
