from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.artifacts import FeatureTable
from sentinel.config import SplitTimes
from sentinel.errors import DataContractError
from sentinel.training.data.splits import PARTS, plan_parts, read_splits, split
from tests.model.raw import features_table
from tests.training.conftest import DAY, TIMES, store_table
from tests.training.parts import read_part

START = datetime(2026, 1, 1, tzinfo=UTC)
lengths = st.integers(1, 20).map(lambda days: days * DAY)
none = st.just(timedelta(0))  # labels known at once


@settings(deadline=None)
@given(
    st.builds(
        SplitTimes,
        history=lengths,
        validation=lengths,
        calibration=lengths,
        test=lengths,
        label_maturity=lengths | none,
    ),
    st.integers(1, 400 * 86_400),
)
def test_parts_are_apart_by_the_maturity_and_none_is_immature(times: SplitTimes, seconds: int) -> None:
    last = START + timedelta(seconds=seconds)
    try:
        parts = plan_parts(START, last, times)
    except DataContractError:
        assert (
            last - START <= times.history + times.validation + times.calibration + times.test + 4 * times.label_maturity
        )
        return
    assert list(parts) == list(PARTS)
    assert all(part.start < part.end for part in parts.values())
    assert parts["train"].start == START + times.history
    for earlier, later in pairwise(parts.values()):
        assert later.start - earlier.end == times.label_maturity
    # the youngest transaction that counts is as old as the maturity at the table's end
    assert last - (parts["test"].end - timedelta(microseconds=1)) == times.label_maturity


def test_parts_hold_the_rows_of_their_days(home: Path, table: FeatureTable) -> None:
    made = split(table, TIMES, home=home, out=home / "splits")
    stored = read_splits(home / "splits")
    rows = features_table(6000)
    moments = rows["event_timestamp"].to_pylist()
    seen: set[int] = set()
    for name in PARTS:
        start, end = (datetime.fromisoformat(stored[name][bound]) for bound in ("start", "end"))
        expected = [number for number, moment in enumerate(moments) if start <= moment < end]
        found = read_part(home / made.table, stored, name, ["transaction_id", "is_fraud"])
        assert found["transaction_id"].to_pylist() == expected
        assert made.rows[name] == stored[name]["rows"] == len(expected)
        assert made.frauds[name] == sum(found["is_fraud"].to_pylist())
        assert not seen & set(expected)
        seen |= set(expected)
    assert made.holds(home)


def with_unlabelled(rows: pa.Table) -> pa.Table:
    labels = [None if number % 10 == 0 else label for number, label in enumerate(rows["is_fraud"].to_pylist())]
    return rows.set_column(rows.schema.get_field_index("is_fraud"), "is_fraud", pa.array(labels, pa.bool_()))


@pytest.mark.parametrize("genuine", [True, False])
def test_old_rows_without_a_label_count_as_the_config_says(tmp_path: Path, genuine: bool) -> None:
    table = store_table(tmp_path, with_unlabelled(features_table(6000)))
    times = TIMES.model_copy(update={"unlabelled_is_genuine": genuine})
    made = split(table, times, home=tmp_path, out=tmp_path / "splits")
    train = read_part(tmp_path / made.table, read_splits(tmp_path / "splits"), "train", ["transaction_id", "is_fraud"])
    unlabelled = [row for row in train.to_pylist() if row["transaction_id"] % 10 == 0]
    assert train["is_fraud"].null_count == 0
    assert bool(unlabelled) is genuine
    assert not any(row["is_fraud"] for row in unlabelled)
    assert made.rows["train"] == train.num_rows


def with_label_times(rows: pa.Table, delays: list[timedelta]) -> pa.Table:
    moments = rows["event_timestamp"].to_pylist()
    arrivals = [moment + delays[number % len(delays)] for number, moment in enumerate(moments)]
    return rows.append_column("label_available_at", pa.array(arrivals, pa.timestamp("us", "UTC")))


def test_label_that_came_a_gap_after_its_part_is_unknown_but_where_it_is_judged(tmp_path: Path) -> None:
    rows = with_label_times(features_table(6000), [timedelta(days=1), timedelta(days=8)])
    table = store_table(tmp_path, rows)
    made = split(table, TIMES, home=tmp_path, out=tmp_path / "splits")
    stored = read_splits(tmp_path / "splits")
    for name in PARTS:
        found = read_part(tmp_path / made.table, stored, name, ["transaction_id", "is_fraud", "label_available_at"])
        known_by = datetime.fromisoformat(stored[name]["end"]) + TIMES.label_maturity
        truth = rows.take(found["transaction_id"])["is_fraud"].to_pylist()
        arrivals = found["label_available_at"].to_pylist()
        knew = [fraud and (name == "test" or at <= known_by) for fraud, at in zip(truth, arrivals, strict=True)]
        assert found["is_fraud"].to_pylist() == knew
        assert (knew == truth) is (name == "test")
        assert made.frauds[name] == sum(knew)


def ids_by_part(home: Path, rows: pa.Table, name: str) -> dict[str, list[int]]:
    """The transactions of every part that is made of `rows`."""
    table = store_table(home / name, rows)
    made = split(table, TIMES, home=home / name, out=home / name / "splits")
    stored = read_splits(home / name / "splits")
    path = home / name / made.table
    return {part: read_part(path, stored, part, ["transaction_id"])["transaction_id"].to_pylist() for part in PARTS}


def test_no_part_has_a_transaction_younger_than_the_maturity_even_when_its_fraud_was_reported_at_once(
    tmp_path: Path,
) -> None:
    rows = with_label_times(features_table(6000), [timedelta(minutes=1)])
    moments = rows["event_timestamp"].to_pylist()
    training_moment = max(moments)
    known_and_too_young = {
        number
        for number, (moment, fraud) in enumerate(zip(moments, rows["is_fraud"].to_pylist(), strict=True))
        if fraud and training_moment - TIMES.label_maturity < moment < training_moment
    }
    assert len(known_and_too_young) > 5
    for found in ids_by_part(tmp_path, rows, "early").values():
        assert not known_and_too_young & set(found)
        assert all(training_moment - moments[number] >= TIMES.label_maturity for number in found)


def test_rows_are_chosen_by_age_whenever_their_label_came(tmp_path: Path) -> None:
    rows = features_table(6000)
    at_once = with_label_times(rows, [timedelta(minutes=1)])
    late = with_label_times(rows, [timedelta(minutes=1), timedelta(days=80)])
    frauds_at_once = with_label_times(
        rows, [timedelta(minutes=1) if fraud else timedelta(days=80) for fraud in rows["is_fraud"].to_pylist()]
    )
    chosen = ids_by_part(tmp_path, rows, "no arrivals")
    assert all(len(ids) > 100 for ids in chosen.values())
    for name, other in (
        ("early", at_once),
        ("late", late),
        ("frauds early", frauds_at_once),
        ("unlabelled", with_unlabelled(rows)),
    ):
        assert ids_by_part(tmp_path, other, name) == chosen


def test_too_few_days_are_told_with_every_length(tmp_path: Path) -> None:
    table = store_table(tmp_path, features_table(1000, days=6))
    with pytest.raises(DataContractError, match=r"spans 6 days.*need more than 52.*\[splits\]"):
        split(table, TIMES, home=tmp_path, out=tmp_path / "splits")
    assert not (tmp_path / "splits").exists()


def test_a_part_without_frauds_is_named(tmp_path: Path) -> None:
    rows = features_table(3000)
    end = datetime(2026, 2, 15, tzinfo=UTC)
    labels = [label and moment < end for label, moment in zip(
        rows["is_fraud"].to_pylist(), rows["event_timestamp"].to_pylist(), strict=True)]  # fmt: skip
    rows = rows.set_column(rows.schema.get_field_index("is_fraud"), "is_fraud", pa.array(labels))
    with pytest.raises(DataContractError, match="calibration, test lack them"):
        split(store_table(tmp_path, rows), TIMES, home=tmp_path, out=tmp_path / "splits")


def test_an_empty_table_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataContractError, match="has no rows"):
        split(store_table(tmp_path, features_table(10).slice(0, 0)), TIMES, home=tmp_path, out=tmp_path / "splits")


def test_splits_json_is_in_time_order_and_utc(home: Path, table: FeatureTable) -> None:
    split(table, TIMES, home=home, out=home / "ordered")
    stored = json.loads((home / "ordered" / "splits.json").read_text())
    assert list(stored) == list(PARTS)
    assert all(part["start"].endswith("+00:00") for part in stored.values())
