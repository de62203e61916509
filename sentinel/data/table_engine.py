"""Great Expectations on a table of any size: its own expectations and pages, with metrics that DuckDB computes on disk.

GX hands an engine a data frame. Here it is an empty one that names its file (`whole_table`), and the engine answers
each metric from the file. What it cannot answer that way it refuses: an empty frame would pass every expectation.
"""

# GX's metrics are untyped
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ClassVar, Literal, cast

import duckdb
import pandas as pd
from great_expectations.datasource.fluent.pandas_datasource import PandasDatasource
from great_expectations.exceptions.exceptions import MetricResolutionError
from great_expectations.execution_engine.pandas_execution_engine import PandasExecutionEngine
from great_expectations.validator.metric_configuration import MetricConfiguration

from sentinel.data.table import TransactionTable, is_present, named
from sentinel.data.table_conditions import CannotAskError, MapCondition, RowWise, map_condition, row_filter

# Metrics of sentinel/data/expectations.py, which ask the table themselves.
OWN_METRICS = frozenset({
    "table.contract_types", "table.labels_of_mature_rows", "table.true_fraction", "table.span",
})  # fmt: skip
_FILE, _SCRATCH = "file", "scratch"


def whole_table(file: Path, scratch: Path | None = None) -> pd.DataFrame:
    """What stands for the rows of `file` in a batch; `scratch` takes what does not fit in memory."""
    frame = pd.DataFrame()
    frame.attrs.update({_FILE: str(file), _SCRATCH: str(scratch or tempfile.gettempdir())})
    return frame


class TableEngine(PandasExecutionEngine):
    """Every metric is computed once, and the counts of all row-wise conditions of a suite in one pass."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._table: TransactionTable | None = None
        self._counted: dict[MapCondition, int] = {}
        self._first: dict[MapCondition, list[int]] = {}

    @property
    def table(self) -> TransactionTable:
        if self._table is None:
            stands_for = cast("pd.DataFrame", cast(Any, self.batch_manager.active_batch_data).dataframe).attrs
            self._table = TransactionTable(Path(stands_for[_FILE]), Path(stands_for[_SCRATCH]))
        return self._table

    def resolve_metrics(
        self,
        metrics_to_resolve: Iterable[MetricConfiguration],
        metrics: dict[Any, Any] | None = None,
        runtime_configuration: dict[str, Any] | None = None,
    ) -> dict[Any, Any]:
        """GX asks in waves: conditions first, then what depends on them."""
        wanted = list(metrics_to_resolve)
        found: dict[Any, Any] = {}
        for metric in wanted:
            try:
                self._count_together(wanted)
                if metric.metric_name in OWN_METRICS:
                    found |= super().resolve_metrics([metric], metrics, runtime_configuration)
                else:
                    found[metric.id] = self._answer(metric)
            except (CannotAskError, duckdb.Error) as error:
                raise MetricResolutionError(message=str(error), failed_metrics=(metric,)) from error
        return found

    def _count_together(self, wanted: list[MetricConfiguration]) -> None:
        asked = {self._condition(metric) for metric in wanted if metric.metric_name.endswith(".unexpected_count")}
        new = [condition for condition in asked - self._counted.keys() if isinstance(condition, RowWise)]
        self._counted |= dict(zip(new, self.table.counts([one.condition for one in new]), strict=True))

    def _answer(self, metric: MetricConfiguration) -> Any:
        name, _, asked = metric.metric_name.rpartition(".")
        if metric.metric_name in _TABLE_METRICS:
            return _TABLE_METRICS[metric.metric_name](self.table, metric)
        if metric.metric_name == "column.distinct_values.count":
            return self._distinct(metric)
        if asked == "condition":
            return self._condition(metric, name)
        if asked in _MAP_METRICS:
            return _MAP_METRICS[asked](self, metric)
        raise CannotAskError(f"the metric {metric.metric_name} is not known for a table on disk")

    def _condition(self, metric: MetricConfiguration, name: str | None = None) -> MapCondition:
        name = name or metric.metric_name.rpartition(".")[0]
        return map_condition(name, metric.metric_domain_kwargs, metric.metric_value_kwargs, self.table.types)

    def _distinct(self, metric: MetricConfiguration) -> int:
        column = cast(str, metric.metric_domain_kwargs["column"])
        if column not in self.table.types:
            raise CannotAskError(f"the column {column} is not there")
        present = is_present(column, self.table.types[column])
        return self.table.ask_one(f"SELECT count(DISTINCT {named(column)}) FROM transactions WHERE {present}")

    def count(self, metric: MetricConfiguration) -> int:
        condition = self._condition(metric)
        if condition not in self._counted:
            self._counted[condition] = condition.count(self.table)
        return self._counted[condition]

    def count_considered(self, metric: MetricConfiguration) -> int:
        return self.table.counts([self._condition(metric).considered])[0]

    def first(self, metric: MetricConfiguration) -> list[int]:
        """The positions of the first unexpected rows."""
        condition = self._condition(metric)
        if condition not in self._first:
            most = metric.metric_value_kwargs["result_format"]["partial_unexpected_count"]
            self._first[condition] = condition.first(self.table, most) if self.count(metric) else []
        return self._first[condition]

    def values(self, metric: MetricConfiguration) -> list[Any]:
        """The unexpected values of the first such rows, in the form that GX has for one, two or more columns."""
        columns = self._condition(metric).columns
        frame = self.table.frame(self.first(metric), columns)
        if "column" in metric.metric_domain_kwargs:
            return list(frame[columns[0]])
        if "column_A" in metric.metric_domain_kwargs:
            return list(zip(*(frame[name].values for name in columns), strict=True))  # as GX does
        return frame.to_dict("records")


class TableDatasource(PandasDatasource):
    """A pandas data source whose frames are those of `whole_table`."""

    type: Literal["sentinel_table"] = "sentinel_table"  # pyright: ignore[reportIncompatibleVariableOverride]
    execution_engine_override: ClassVar[Any] = TableEngine


def _row_count(table: TransactionTable, metric: MetricConfiguration) -> int:
    if metric.metric_domain_kwargs.get("row_condition") is None:
        return table.rows
    return table.counts([row_filter(metric.metric_domain_kwargs, table.types)])[0]


_TABLE_METRICS: dict[str, Callable[[TransactionTable, MetricConfiguration], Any]] = {
    "table.row_count": _row_count,
    "table.columns": lambda table, _: list(table.types),
    "table.column_types": lambda table, _: [{"name": name, "type": kind} for name, kind in table.types.items()],
}
_MAP_METRICS: dict[str, Callable[[TableEngine, MetricConfiguration], Any]] = {
    "unexpected_count": TableEngine.count,
    "filtered_row_count": TableEngine.count_considered,
    "unexpected_index_list": TableEngine.first,
    "unexpected_values": TableEngine.values,
    "unexpected_index_query": lambda _engine, _metric: None,  # would list millions of rows, and is not shown
}
