from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from pyarrow import parquet

from sentinel.features.audit import oracle_check
from sentinel.features.audit.oracle_check import OracleVerdict, check_against_oracle
from sentinel.features.audit.sample import choose_sample
from tests.features.audit.built import Built, build

WITHOUT_CORRECTIONS = pa.chunked_array([], pa.int64())


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("built"))


def check(built: Built, table: Path) -> OracleVerdict:
    return check_against_oracle(built.transactions, table, built.wanted, seed=3)


def test_production_output_holds_and_every_kind_of_row_was_looked_at(built: Built) -> None:
    verdict = check(built, built.table)
    assert verdict.holds
    assert (verdict.fault, verdict.mismatches) == (None, ())
    assert verdict.rows == built.rows().num_rows
    assert min(verdict.strata.values()) > 0, verdict.strata
    assert verdict.values_checked == verdict.rows_checked * len(built.wanted.columns)


def test_same_seed_checks_the_same_rows_and_another_seed_others(built: Built) -> None:
    file = built.table / "features.parquet"
    chosen = [choose_sample(file, built.wanted, WITHOUT_CORRECTIONS, seed).rows for seed in (3, 3, 4)]
    assert chosen[0].equals(chosen[1])
    assert not chosen[0].equals(chosen[2])


@pytest.mark.parametrize("feature", ["customer_amount_sum_7d", "merchant_fraud_count_30d", "device_labels_age_us"])
def test_wrong_value_is_found_with_its_row_and_window(built: Built, tmp_path: Path, feature: str) -> None:
    rows = built.rows()
    place = rows.column_names.index(feature)
    wrong = rows.set_column(place, feature, pc.add(rows[feature], 1))
    verdict = check(built, built.with_rows(wrong, tmp_path))
    assert not verdict.holds
    assert {mismatch.feature for mismatch in verdict.mismatches} == {feature}
    mismatch = verdict.mismatches[0]
    assert (mismatch.found, mismatch.window is None) == ((mismatch.expected or 0) + 1, feature.endswith("_age_us"))
    assert mismatch.transaction_id in rows["transaction_id"].to_pylist()


def test_value_kept_after_its_ttl_is_found(built: Built, tmp_path: Path) -> None:
    rows, feature = built.rows(), "customer_merchant_count_30d"
    filled = rows.set_column(rows.column_names.index(feature), feature, rows[feature].fill_null(0))
    verdict = check(built, built.with_rows(filled, tmp_path))
    assert {(mismatch.feature, mismatch.expected) for mismatch in verdict.mismatches} == {(feature, None)}


def changed(rows: pa.Table, name: str, row: int, value: object) -> pa.Table:
    values = rows[name].to_pylist()
    values[row] = value
    return rows.set_column(rows.column_names.index(name), name, pa.array(values, rows[name].type))


def one_twice(rows: pa.Table) -> pa.Table:
    return pa.concat_tables([rows.slice(0, 10), rows.slice(9)])


def two_swapped(rows: pa.Table) -> pa.Table:
    order = np.arange(rows.num_rows)
    order[[100, 2000]] = order[[2000, 100]]
    return rows.take(pa.array(order))


FAULTS = {
    "a row is missing": lambda rows: pa.concat_tables([rows.slice(0, 700), rows.slice(701)]),
    "the last row is missing": lambda rows: rows.slice(0, rows.num_rows - 1),
    "a row stands twice": one_twice,
    "two rows are swapped": two_swapped,
    "an amount differs": lambda rows: changed(rows, "amount_minor", 1234, -1),
    "a moment differs": lambda rows: changed(rows, "event_timestamp", 12, rows["event_timestamp"][13].as_py()),
    "a declared value differs": lambda rows: changed(rows, "distance_km", 4, 0.125),
    "a label differs": lambda rows: changed(rows, "is_fraud", 40, not rows["is_fraud"][40].as_py()),
    "a column is missing": lambda rows: rows.drop_columns(["customer_count_7d"]),
    "a column has another type": lambda rows: rows.set_column(
        rows.column_names.index("customer_count_7d"), "customer_count_7d", rows["customer_count_7d"].cast(pa.float64())
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_output_that_does_not_keep_its_source_is_told_in_a_sentence(built: Built, tmp_path: Path, fault: str) -> None:
    verdict = check(built, built.with_rows(FAULTS[fault](built.rows()), tmp_path))
    assert not verdict.holds
    assert verdict.fault is not None
    assert verdict.fault.endswith(".")


def test_later_version_in_place_of_the_first_is_told(built: Built, tmp_path: Path) -> None:
    rows, source = built.rows(), parquet.read_table(built.transactions)
    counted = source.group_by("transaction_id").aggregate([("recorded_at", "max"), ("recorded_at", "count")])
    one = counted.filter(pc.equal(counted["recorded_at_count"], 2)).slice(0, 1)
    place = rows["transaction_id"].index(one["transaction_id"][0]).as_py()
    other = changed(rows, "recorded_at", place, one["recorded_at_max"][0].as_py())
    assert check(built, built.with_rows(other, tmp_path)).fault is not None


def test_key_of_too_long_a_history_is_left_out_and_the_rest_checked(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(oracle_check, "HISTORY_ROWS", 1100)
    verdict = check(built, built.table)
    assert verdict.holds
    assert 0 < verdict.values_checked < verdict.rows_checked * len(built.wanted.columns)
