"""Expectations that Great Expectations does not have, about a whole table of transactions.

Import this before a suite is loaded: without a word, Great Expectations drops expectations of unknown classes.
"""

# GX calls _validate by keyword alone; its decorators are open
# pyright: reportIncompatibleMethodOverride=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any, ClassVar, cast

from great_expectations.expectations.expectation import BatchExpectation
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider

from sentinel.data.table import TransactionTable, named
from sentinel.data.table_conditions import CannotAskError
from sentinel.data.table_engine import TableEngine

SAMPLES = 5
_DAY_S = 86_400
_DAY_US = _DAY_S * 1_000_000


def _moment(table: TransactionTable, name: str) -> str:
    """SQL for microseconds since 1970."""
    kind = table.types.get(name, "not there")
    if not kind.startswith("timestamp"):
        raise CannotAskError(f"{name} is {kind}, and no moment")
    return f"epoch_us({named(name)})"


class ColumnTypes(TableMetricProvider):
    """{column: type in the contract's words}."""

    metric_name = "table.contract_types"

    @metric_value(engine=TableEngine)
    def _table(
        cls,  # noqa: N805  # the decorator makes it a class method
        execution_engine: TableEngine,
        **_: Any,
    ) -> dict[str, str]:
        return execution_engine.table.types


class LabelsOfMatureRows(TableMetricProvider):
    """How many rows are older than the maturity, how many of them have no label, and the first of these."""

    metric_name = "table.labels_of_mature_rows"
    value_keys = ("label", "column", "maturity_days")

    @metric_value(engine=TableEngine)
    def _table(
        cls,  # noqa: N805  # the decorator makes it a class method
        execution_engine: TableEngine,
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> dict[str, Any]:
        table, label = execution_engine.table, named(metric_value_kwargs["label"])
        moment = _moment(table, metric_value_kwargs["column"])
        age_us = round(metric_value_kwargs["maturity_days"] * _DAY_US)
        mature = f"{moment} <= (SELECT max({moment}) - {age_us} FROM transactions)"
        unlabelled = f"{mature} AND {label} IS NULL"
        rows, without = table.counts([mature, unlabelled])
        query = f"SELECT file_row_number FROM placed WHERE {unlabelled} ORDER BY 1 LIMIT {SAMPLES}"
        first = [int(row) for (row,) in table.ask(query)] if without else []
        return {"mature": rows, "unlabelled": without, "first": first}


class TrueFraction(TableMetricProvider):
    """The share of true among the known values; None where nothing is known."""

    metric_name = "table.true_fraction"
    value_keys = ("column",)

    @metric_value(engine=TableEngine)
    def _table(
        cls,  # noqa: N805  # the decorator makes it a class method
        execution_engine: TableEngine,
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> float | None:
        column = named(metric_value_kwargs["column"])
        known, true = execution_engine.table.counts([f"{column} IS NOT NULL", column])
        return true / known if known else None


class Span(TableMetricProvider):
    """Days between the first and the last time, and how many calendar days (UTC) of these hold no row."""

    metric_name = "table.span"
    value_keys = ("column",)

    @metric_value(engine=TableEngine)
    def _table(
        cls,  # noqa: N805  # the decorator makes it a class method
        execution_engine: TableEngine,
        metric_value_kwargs: dict[str, Any],
        **_: Any,
    ) -> dict[str, float]:
        moment = _moment(execution_engine.table, metric_value_kwargs["column"])
        day = f"({moment} - (({moment} % {_DAY_US} + {_DAY_US}) % {_DAY_US})) // {_DAY_US}"  # rounds down before 1970
        query = f"SELECT min({moment}), max({moment}), min({day}), max({day}), count(DISTINCT {day}) FROM transactions"
        ((first, last, first_day, last_day, days),) = execution_engine.table.ask(query)
        if first is None:
            return {"days": 0.0, "calendar_days": 0, "empty_days": 0}
        calendar = last_day - first_day + 1
        return {"days": (last - first) / 1e6 / _DAY_S, "calendar_days": calendar, "empty_days": calendar - days}


class ExpectTableColumnTypes(BatchExpectation):
    """Each column that is there has one of its types."""

    types: dict[str, list[str]]
    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.contract_types",)
    success_keys: ClassVar[tuple[str, ...]] = ("types",)
    args_keys: ClassVar[tuple[str, ...]] = ("types",)

    def _validate(self, metrics: dict[str, Any], **_: Any) -> dict[str, Any]:
        found = cast(dict[str, str], metrics["table.contract_types"])
        wrong = {name: found[name] for name, right in self.types.items() if name in found and found[name] not in right}
        return {"success": not wrong, "result": {"observed_value": found, "details": {"wrong": wrong}}}


class ExpectColumnTrueFractionToBeBetween(BatchExpectation):
    """Of the known values of a boolean column, between `min_fraction` and `max_fraction` are true."""

    column: str
    min_fraction: float
    max_fraction: float
    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.true_fraction",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "min_fraction", "max_fraction")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    def _validate(self, metrics: dict[str, Any], **_: Any) -> dict[str, Any]:
        found = metrics["table.true_fraction"]
        inside = found is not None and self.min_fraction <= found <= self.max_fraction
        return {"success": inside, "result": {"observed_value": "unknown" if found is None else found}}


class ExpectMatureRowsToBeLabelled(BatchExpectation):
    """Of the rows older than `maturity_days` before the last one, at least `min_fraction` have a label."""

    label: str
    column: str
    maturity_days: float
    min_fraction: float
    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.labels_of_mature_rows",)
    success_keys: ClassVar[tuple[str, ...]] = ("label", "column", "maturity_days", "min_fraction")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    def _validate(self, metrics: dict[str, Any], **_: Any) -> dict[str, Any]:
        found = metrics["table.labels_of_mature_rows"]
        # data too short for any mature row are the fault that ExpectColumnSpanToExceed finds
        labelled = 1 - found["unlabelled"] / found["mature"] if found["mature"] else 1.0
        result = {
            "observed_value": labelled,
            "element_count": found["mature"],
            "unexpected_count": found["unlabelled"],
            "unexpected_percent": 100 * (1 - labelled),
            "partial_unexpected_index_list": found["first"],
        }
        return {"success": labelled >= self.min_fraction, "result": result}


class ExpectColumnSpanToExceed(BatchExpectation):
    """More than `days` lie between the first and the last time."""

    column: str
    days: float
    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.span",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "days")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    def _validate(self, metrics: dict[str, Any], **_: Any) -> dict[str, Any]:
        days = metrics["table.span"]["days"]
        return {"success": bool(days > self.days), "result": {"observed_value": days}}


class ExpectColumnToCoverDays(BatchExpectation):
    """At most `max_empty_fraction` of the calendar days between the first and the last time hold no row."""

    column: str
    max_empty_fraction: float
    metric_dependencies: ClassVar[tuple[str, ...]] = ("table.span",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "max_empty_fraction")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    def _validate(self, metrics: dict[str, Any], **_: Any) -> dict[str, Any]:
        span = metrics["table.span"]
        empty = span["empty_days"] / span["calendar_days"] if span["calendar_days"] else 1.0
        return {"success": bool(empty <= self.max_empty_fraction), "result": {"observed_value": empty, "details": span}}
