"""Every rule of time on tables small enough to count by hand, through the real build and Feast."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from sentinel.config import Column
from sentinel.errors import DataContractError
from sentinel.features.record import Summary
from sentinel.storage import sha256_file, sha256_json
from tests.features.project import LAG, START, Project, columns, row, table_of
from tests.tables import canonical_table

SECOND = timedelta(seconds=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
US = timedelta(microseconds=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def test_a_transaction_never_sees_itself(project: Project) -> None:
    (only,) = project.features([row(1, 0 * DAY)])
    assert only["customer_count_30d"] is None
    assert only["customer_spending_age_us"] is None


def test_earlier_transaction_is_seen_once_the_lag_has_passed(project: Project) -> None:
    found = project.features([row(1, 0 * DAY), row(2, LAG - US), row(3, LAG)])
    assert [each["customer_count_1h"] for each in found] == [None, None, 1]
    assert found[2]["customer_spending_age_us"] == 0


def test_window_is_open_at_its_old_end_and_closed_at_its_new_end(project: Project) -> None:
    found = project.features([row(1, 0 * DAY), row(2, HOUR), row(3, HOUR + DAY - US), row(4, 3 * DAY)])
    # as of the second event the first is exactly one hour old: out; as of the third it is a day and an hour old,
    # and the second one microsecond less than a day: in
    assert found[2]["customer_count_1h"] == 1
    assert found[2]["customer_count_1d"] == 2
    assert found[3]["customer_count_1d"] == 2
    assert found[3]["customer_count_7d"] == 3


def test_sums_squares_and_maximum_of_the_hand_counted_window(project: Project) -> None:
    found = project.features(
        [row(1, 0 * DAY, amount_minor=300), row(2, HOUR / 2, amount_minor=-50), row(3, DAY, amount_minor=7)]
    )
    assert found[2]["customer_amount_sum_1h"] == 250
    assert found[2]["customer_amount_sum_of_squares_1d"] == 92_500
    assert found[2]["customer_amount_max_1d"] == 300


def test_value_speaks_as_of_the_last_event_however_long_ago(project: Project) -> None:
    found = project.features([row(1, 0 * DAY), row(2, 20 * DAY)])
    assert found[1]["customer_count_1h"] == 1
    assert found[1]["customer_spending_age_us"] == (20 * DAY - LAG) // US


@pytest.mark.parametrize(("late", "count"), [(0 * US, 1), (US, None)])
def test_expired_row_reads_as_missing(project: Project, late: timedelta, count: int | None) -> None:
    found = project.features([row(1, 0 * DAY), row(2, LAG + 30 * DAY + late)])
    assert found[1]["customer_count_30d"] == count
    assert (found[1]["customer_spending_age_us"] is None) == (count is None)


def test_events_of_one_moment_become_one_row(project: Project) -> None:
    rows = [row(1, 0 * DAY, amount_minor=1), row(2, 0 * DAY, amount_minor=2), row(3, HOUR, amount_minor=4)]
    found = project.features(rows)
    assert found[2]["customer_count_1h"] == 2
    assert found[2]["customer_amount_sum_1h"] == 3
    views = parquet.read_table(project.paths.home / "out" / "views" / "customer_spending")
    assert views.num_rows == 2


def test_colliding_keys_stay_apart(project: Project) -> None:
    rows = [
        row(1, 0 * DAY, customer_id=1, merchant_id=23),
        row(2, HOUR, customer_id=12, merchant_id=3),
        row(3, 2 * HOUR, customer_id=1, merchant_id=3),
    ]
    found = project.features(rows)
    assert found[1]["customer_count_1d"] is None
    assert found[1]["merchant_count_1d"] is None
    assert (found[2]["customer_count_1d"], found[2]["merchant_count_1d"]) == (1, 1)


def test_string_keys(project: Project) -> None:
    rows = [
        row(number, number * HOUR, customer_id=key, merchant_id="m'1") for number, key in enumerate(["a", "A", "a"])
    ]
    found = project.features(rows)
    assert [each["customer_count_1d"] for each in found] == [None, None, 1]
    assert [each["merchant_count_1d"] for each in found] == [None, 1, 2]


def test_without_a_merchant_there_are_only_customer_features(project: Project) -> None:
    found = project.features([row(1, 0 * DAY), row(2, HOUR)])
    assert not [name for name in found[0] if name.startswith("merchant")]


def test_null_merchant_is_no_entity(project: Project) -> None:
    found = project.features(
        [row(1, 0 * DAY, merchant_id=None), row(2, HOUR, merchant_id=None), row(3, 2 * HOUR, merchant_id=5)]
    )
    assert [each["merchant_count_30d"] for each in found] == [None, None, None]
    assert found[1]["customer_count_30d"] == 1


def test_label_is_unseen_before_its_delay(project: Project) -> None:
    rows = [row(1, 0 * DAY, is_fraud=True), row(2, 7 * DAY - US), row(3, 7 * DAY)]
    found = project.features(rows)
    assert found[1]["customer_label_count_30d"] is None
    assert (found[2]["customer_label_count_30d"], found[2]["customer_fraud_count_30d"]) == (1, 1)
    assert found[2]["customer_labels_age_us"] == 0


def test_late_label_is_unseen_before_its_arrival(project: Project) -> None:
    arrival = START + 20 * DAY
    rows = [
        row(1, 0 * DAY, is_fraud=True, label_available_at=arrival),
        row(2, 1 * DAY, is_fraud=False, label_available_at=START + 2 * DAY),
        row(3, 19 * DAY, is_fraud=None, label_available_at=None),
        row(4, 21 * DAY, is_fraud=None, label_available_at=None),
    ]
    found = project.features(rows)
    assert (found[2]["customer_label_count_30d"], found[2]["customer_fraud_count_30d"]) == (1, 0)
    assert (found[3]["customer_label_count_30d"], found[3]["customer_fraud_count_30d"]) == (2, 1)
    assert found[3]["customer_labels_age_us"] == DAY // US


def test_label_said_to_be_early_waits_for_its_transaction(project: Project) -> None:
    rows = [
        row(1, 0 * DAY, is_fraud=True, label_available_at=START - DAY),
        row(2, LAG, is_fraud=None, label_available_at=None),
    ]
    found = project.features(rows)
    assert [each["customer_fraud_count_1d"] for each in found] == [None, 1]


def test_label_without_a_time_of_arrival_is_never_seen(project: Project) -> None:
    rows = [row(1, 0 * DAY, is_fraud=True, label_available_at=None), row(2, 29 * DAY, label_available_at=None)]
    assert project.features(rows)[1]["customer_label_count_30d"] is None


def test_known_frauds_stay_out_of_the_genuine_amounts_and_the_first_of_them_is_remembered(project: Project) -> None:
    def judged(
        number: int, after: timedelta, amount: int, fraud: bool | None, known_after: timedelta
    ) -> dict[str, Any]:
        known_at = START + known_after
        return row(
            number, after, merchant_id=7, amount_minor=amount, is_fraud=fraud, label_available_at=known_at,
            recorded_at=START + after,
        )  # fmt: skip

    late, early = judged(1, 0 * DAY, 9000, True, 6 * DAY), judged(2, DAY, 8000, True, 2 * DAY)
    genuine = [judged(3, DAY, 300, False, 3 * DAY), judged(4, DAY, -50, False, 3 * DAY)]
    taken_back = {**early, "is_fraud": False, "recorded_at": START + 8 * DAY}
    asked = [judged(10 + day, day * DAY, 1, None, 99 * DAY) for day in (2, 4, 7, 9)]
    found = project.features([late, early, *genuine, taken_back, *asked])[-4:]
    assert [each["merchant_first_fraud_at_30d"] for each in found] == [
        (START + after - EPOCH) // US for after in (DAY, DAY, 0 * DAY, 0 * DAY)
    ]
    assert [each["merchant_last_fraud_at_30d"] for each in found] == [
        (START + after - EPOCH) // US for after in (DAY, DAY, DAY, 0 * DAY)
    ]
    assert [each["merchant_last_genuine_at_30d"] for each in found] == [
        None, *[(START + DAY - EPOCH) // US] * 3
    ]  # fmt: skip
    assert [each["customer_genuine_amount_sum_30d"] for each in found] == [0, 250, 250, 8250]
    assert [each["customer_genuine_amount_max_30d"] for each in found] == [None, 300, 300, 8000]
    assert found[3]["customer_genuine_amount_sum_of_squares_30d"] == 64_092_500


def test_row_is_unseen_before_it_was_recorded(project: Project) -> None:
    rows = [
        row(1, 0 * DAY, recorded_at=START + 5 * HOUR),
        row(2, 4 * HOUR, recorded_at=START + 4 * HOUR),
        row(3, 6 * HOUR, recorded_at=START + 6 * HOUR),
    ]
    found = project.features(rows)
    assert [each["customer_count_1d"] for each in found] == [None, None, 2]
    assert found[2]["customer_spending_age_us"] == (HOUR - LAG) // US


def test_correction_replaces_the_earlier_version_from_its_arrival_on(project: Project) -> None:
    rows = [
        row(1, 0 * DAY, amount_minor=500, recorded_at=START),
        row(1, 0 * DAY, amount_minor=80, recorded_at=START + 3 * HOUR),
        row(2, 2 * HOUR, amount_minor=10, recorded_at=START + 2 * HOUR),
        row(3, 4 * HOUR, amount_minor=20, recorded_at=START + 4 * HOUR),
    ]
    found = project.features(rows)
    assert [each["customer_amount_sum_1d"] for each in found] == [None, 500, 90]
    assert [each["customer_amount_max_1d"] for each in found] == [None, 500, 80]
    assert [each["customer_count_1d"] for each in found] == [None, 1, 2]
    assert [each["customer_amount_sum_of_squares_1d"] for each in found] == [None, 250_000, 6_500]


def test_transaction_stands_once_as_first_recorded_with_its_last_known_label(project: Project) -> None:
    late = {"is_fraud": True, "label_available_at": START + 3 * DAY}
    unlabelled = {"is_fraud": None, "label_available_at": None}
    rows = [
        row(1, 0 * DAY, amount_minor=500, recorded_at=START, **unlabelled),
        row(2, HOUR, recorded_at=START + HOUR, **unlabelled),
        row(1, 2 * HOUR, amount_minor=80, recorded_at=START + 3 * DAY, **late),
        row(1, 0 * DAY, amount_minor=90, recorded_at=START + 4 * DAY, **unlabelled),
    ]
    found = project.features(rows)
    assert [each["transaction_id"] for each in found] == [1, 2]
    assert (found[0]["amount_minor"], found[0]["event_timestamp"], found[0]["recorded_at"]) == (500, START, START)
    assert (found[0]["is_fraud"], found[0]["label_available_at"]) == (True, START + 3 * DAY)
    assert (found[1]["is_fraud"], found[1]["label_available_at"]) == (None, None)


def test_transaction_does_not_see_a_correction_of_itself_that_came_before_its_event(project: Project) -> None:
    rows = [
        row(1, HOUR, recorded_at=START + 2 * HOUR),
        row(2, 3 * HOUR, recorded_at=START + 3 * HOUR),
        row(1, 4 * HOUR, recorded_at=START),
    ]
    found = {each["transaction_id"]: each for each in project.features(rows)}
    assert found[2]["customer_count_1d"] == 1  # the correction, once
    # asked just before the correction was known: of neither itself nor the later transaction does it know
    assert found[1]["event_timestamp"] == START + 4 * HOUR and found[1]["customer_count_1d"] is None


def test_version_is_replaced_by_whichever_later_one_is_known_first(project: Project) -> None:
    rows = [
        row(1, 0 * DAY, recorded_at=START),
        row(1, 2 * HOUR, recorded_at=START + 3 * HOUR),
        row(9, 4 * HOUR, recorded_at=START + 4 * HOUR),
        row(1, 5 * HOUR, recorded_at=START + 2 * HOUR),
    ]
    # the second version of 1 lies in its own future, so the third is known before it and nothing counts twice
    assert project.features(rows)[1]["customer_count_1d"] == 1


def test_correction_of_the_key_takes_the_amount_from_the_wrong_customer(project: Project) -> None:
    rows = [
        row(1, 0 * DAY, customer_id=1, recorded_at=START),
        row(1, 0 * DAY, customer_id=2, recorded_at=START + HOUR),
        row(2, 2 * HOUR, customer_id=1, recorded_at=START + 2 * HOUR),
        row(3, 2 * HOUR, customer_id=2, recorded_at=START + 2 * HOUR),
    ]
    found = project.features(rows)
    assert (found[1]["customer_count_1d"], found[1]["customer_amount_max_1d"]) == (0, None)
    assert found[2]["customer_count_1d"] == 1


def test_sums_saturate_at_what_int64_holds(project: Project) -> None:
    largest = 2**63 - 1
    rows = [row(1, 0 * DAY, amount_minor=largest), row(2, HOUR / 2, amount_minor=largest), row(3, HOUR)]
    last = project.features(rows)[2]
    assert (last["customer_amount_sum_1h"], last["customer_amount_sum_of_squares_1d"]) == (largest, largest)


def test_transactions_come_back_unchanged_and_in_order(project: Project) -> None:
    table = canonical_table(3000, seed=3, with_recorded_at=True)
    mapped = columns(
        merchant_id=Column(source="merchant_id"), recorded_at=Column(source="recorded_at"),
        label_available_at=Column(source="label_available_at"), numeric={"distance_km": Column(source="distance_km")},
        categorical={"country": Column(source="country"), "channel": Column(source="channel", use="slice")},
    )  # fmt: skip
    made = project.build(table, mapped)
    folder = made.locate(project.paths.home)
    stored = parquet.read_table(folder / "features.parquet")
    assert stored.select(table.column_names).equals(table)
    description = json.loads((folder / "feature_set.json").read_text())
    added = [entry["name"] for kind in ("aggregates", "ages") for entry in description[kind]]
    assert stored.column_names == [*table.column_names, *added]
    assert (description["numeric"], description["categorical"], description["slices"]) == (
        ["distance_km"],
        ["country"],
        ["channel"],
    )
    assert made.rows == 3000 and made.holds(project.paths.home) and made.feature_set_hash == description["hash"]
    record = json.loads((folder / "features.json").read_text())
    column = stored.column("customer_amount_sum_7d")
    known = [value for value in column.to_pylist() if value is not None]
    assert record["features"]["customer_amount_sum_7d"] == {
        "type": "int64", "window": "7d", "knowable": "1s after recorded_at", "nulls": column.null_count,
        "null_rate": column.null_count / 3000, "min": min(known), "max": max(known), "mean": sum(known) / len(known),
    }  # fmt: skip
    assert list(record["features"]) == added and record["feature_set_hash"] == made.feature_set_hash
    assert record["validation"] == {"status": "passed", "expectations": 0, "warnings": [], "sha256": "0"}
    assert record["transactions_sha256"] == sha256_file(project.paths.home / "transactions.parquet")
    types = [[column.name, str(column.type)] for column in stored.schema]
    assert record["schema_sha256"] == sha256_json(types)


def test_optional_column_may_be_absent_and_a_required_one_may_not(project: Project) -> None:
    table = table_of([row(1, 0 * DAY), row(2, HOUR)])
    made = project.build(table, columns(merchant_id=Column(source="x", optional=True)))
    names = parquet.read_schema(made.locate(project.paths.home) / "features.parquet").names
    assert not [name for name in names if name.startswith("merchant")]
    with pytest.raises(DataContractError, match="lacks the column merchant_id"):
        project.build(table, columns(merchant_id=Column(source="x")))


def test_summary_of_huge_values_is_exact() -> None:
    summary = Summary()
    summary.add(pa.chunked_array([[2**63 - 1, 2**63 - 1, None]]))
    summary.add(pa.chunked_array([[-5], [None]], pa.int64()))
    assert (summary.nulls, summary.total, summary.extremes) == (2, 2**64 - 7, [-5, 2**63 - 1])
    assert Summary().to_dict()["mean"] is None
