from __future__ import annotations

import json
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

from sentinel.errors import DataContractError
from sentinel.model.inputs import MISSING, UNKNOWN, ModelInputs, Vocabulary
from tests.model.raw import feature_set, features_table

CHANNEL = Vocabulary("channel", ("chip", "online"))


def test_order_of_numeric_inputs_is_time_amount_aggregates_ages_declared() -> None:
    inputs = ModelInputs.from_feature_set(feature_set(), [CHANNEL])
    assert inputs.numeric[:3] == ("event_timestamp", "amount_minor", "customer_count_1d")
    assert inputs.numeric[-2:] == ("customer_merchant_spending_age_us", "distance_km")
    assert inputs.categorical == (CHANNEL,)


def test_null_is_nan_and_time_is_microseconds() -> None:
    inputs = ModelInputs(("event_timestamp", "amount_minor"))
    moment = datetime(2026, 1, 1, 0, 0, 0, 123456, tzinfo=UTC)
    table = pa.table(
        {
            "event_timestamp": pa.array([moment, moment], pa.timestamp("us", "UTC")),
            "amount_minor": pa.array([None, 2**40 + 1], pa.int64()),
        }
    )
    numeric, categorical = inputs.encode(table)
    assert numeric.dtype == np.float64 and categorical.shape == (2, 0)
    assert numeric[0, 0] == 1_767_225_600_123_456
    assert np.isnan(numeric[0, 1]) and numeric[1, 1] == 2**40 + 1


def test_codes_of_missing_unknown_and_known_values() -> None:
    column = pa.chunked_array([["online", None], ["phone", "chip"]])
    assert CHANNEL.encode(column).tolist() == [3, MISSING, UNKNOWN, 2]


def test_vocabulary_keeps_frequent_values_of_training() -> None:
    column = pa.chunked_array([["b"] * 3 + ["a"] * 2 + ["rare"] + [None] * 5])
    assert Vocabulary.from_column("letter", column, least_rows=2).values == ("a", "b")
    assert Vocabulary.from_column("letter", column, most_values=1).values == ("b",)


def test_a_table_without_an_input_is_refused_by_name() -> None:
    inputs = ModelInputs.from_feature_set(feature_set(), [CHANNEL])
    with pytest.raises(DataContractError, match="lacks the model's inputs customer_count_7d, channel"):
        inputs.encode(features_table(10).drop_columns(["customer_count_7d", "channel"]))


def test_a_missing_vocabulary_is_refused() -> None:
    with pytest.raises(DataContractError, match="channel"):
        ModelInputs.from_feature_set(feature_set(), [])


def test_inputs_survive_json() -> None:
    inputs = ModelInputs.from_feature_set(feature_set(), [CHANNEL])
    assert ModelInputs.from_dict(json.loads(json.dumps(inputs.to_dict()))) == inputs
