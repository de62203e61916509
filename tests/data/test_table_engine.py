"""The same suite on the file as on the whole table in pandas: the same results, to the byte."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import great_expectations as gx
import great_expectations.expectations as gxe
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from great_expectations.core.expectation_suite import ExpectationSuite

from sentinel.data.checkpoint import RESULT_FORMAT
from sentinel.data.suite import contract_suite
from sentinel.data.table import TransactionTable, as_frame
from sentinel.data.table_engine import TableDatasource, whole_table
from tests.data.test_validation import COLUMNS, FAULTS, MATURITY, SETTINGS, WARNINGS, setting
from tests.tables import canonical_table

OWN = {"types", "fraud_rate", "labels_mature", "span", "no_gaps"}  # expectations that GX does not have


def suite() -> ExpectationSuite:
    return contract_suite("shop", COLUMNS, SETTINGS, MATURITY)


def results(batch: Any, whole: ExpectationSuite) -> dict[str, dict[str, Any]]:
    found = batch.validate(whole, result_format=RESULT_FORMAT).to_json_dict()["results"]
    return {one["expectation_config"]["meta"]["name"]: {"success": one["success"], **one["result"]} for one in found}


def both(table: pa.Table, file: Path, rows_per_group: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """What our engine finds in the file, and GX's pandas engine in the frame."""
    pq.write_table(table, file, row_group_size=rows_per_group)
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    ours = context.add_datasource(datasource=TableDatasource(name="file")).add_dataframe_asset("t")
    theirs = context.data_sources.add_pandas("frame").add_dataframe_asset("t")
    on_disk = ours.add_batch_definition_whole_dataframe("t").get_batch({"dataframe": whole_table(file)})
    in_memory = theirs.add_batch_definition_whole_dataframe("t").get_batch({"dataframe": as_frame(pq.read_table(file))})
    known = suite()
    gx_only = ExpectationSuite(
        name="gx", expectations=[one for one in known.expectations if one.meta["name"] not in OWN]
    )
    return {k: v for k, v in results(on_disk, known).items() if k not in OWN}, results(in_memory, gx_only)


@pytest.fixture(scope="module")
def good() -> pa.Table:
    return canonical_table(with_recorded_at=True)


DAMAGES = [damage for name, damage, _ in (*FAULTS, *WARNINGS) if name not in OWN | {"columns"}]


@pytest.mark.parametrize("first", range(4))
def test_faults_found_on_disk_are_those_that_pandas_finds(first: int, good: pa.Table, tmp_path: Path) -> None:
    table = good
    for damage in DAMAGES[first::4]:
        table = damage(table)
    on_disk, in_memory = both(table, tmp_path / "table.parquet", rows_per_group=170)
    assert sum(not one["success"] for one in on_disk.values()) >= 4
    assert on_disk == in_memory


def test_an_empty_table_is_judged_as_by_pandas(good: pa.Table, tmp_path: Path) -> None:
    on_disk, in_memory = both(good.slice(0, 0), tmp_path / "table.parquet", rows_per_group=10)
    assert on_disk == in_memory


def test_a_metric_that_is_not_known_on_disk_is_refused_rather_than_asked_of_nothing(
    good: pa.Table, tmp_path: Path
) -> None:
    pq.write_table(good, tmp_path / "table.parquet")
    context = gx.get_context(mode="ephemeral")
    asset = context.add_datasource(datasource=TableDatasource(name="file")).add_dataframe_asset("t")
    batch = asset.add_batch_definition_whole_dataframe("t").get_batch(
        {"dataframe": whole_table(tmp_path / "table.parquet")}
    )
    result = batch.validate(gxe.ExpectColumnMeanToBeBetween(column="amount_minor", min_value=0))
    assert result.success is False
    assert "column.mean is not known for a table on disk" in str(result.exception_info)


@pytest.mark.parametrize("rows_per_group", [1, 7, 1000])
def test_rows_are_found_by_position_across_row_groups(rows_per_group: int, good: pa.Table, tmp_path: Path) -> None:
    file = tmp_path / "table.parquet"
    pq.write_table(good.slice(0, 50), file, row_group_size=rows_per_group)
    with TransactionTable(file, tmp_path) as table:
        frame = table.frame([49, 0, 7], ["transaction_id", "country"])
    assert frame["transaction_id"].to_dict() == {49: 49, 0: 0, 7: 7}


def test_the_frame_keeps_what_the_table_holds(good: pa.Table) -> None:
    table = setting(good.slice(0, 100), "amount_minor", pa.array([None, *range(2**53 + 1, 2**53 + 100)]))
    assert pa.Table.from_pandas(as_frame(table), schema=table.schema, preserve_index=False).equals(table)
