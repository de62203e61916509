"""One parquet file of transactions, asked out of core: it never lies in memory as a whole, however long it is."""

# pyarrow carries no types
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUnknownLambdaType=false

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self, cast

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from sentinel.data.readings import quoted

MEMORY_LIMIT = "2GB"
FLOATS = ("float64", "float", "halffloat")


class TransactionTable:
    """A row's position is its number in the file, from 0. Conditions are SQL over the columns, each name quoted."""

    def __init__(self, file: Path, scratch: Path, *, threads: int | None = None) -> None:
        """`scratch` takes what does not fit in memory; `threads` = 1 makes sums of floats the same on every run."""
        self._parquet = pq.ParquetFile(file)
        config: dict[str, Any] = {
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(scratch),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
        self._connection = duckdb.connect(config=config | ({"threads": threads} if threads else {}))
        self._connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")  # its own, on stdout
        source = quoted(str(file))
        self._connection.execute(f"CREATE VIEW transactions AS FROM read_parquet({source})")
        self._connection.execute(f"CREATE VIEW placed AS FROM read_parquet({source}, file_row_number = true)")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    @property
    def rows(self) -> int:
        return self._parquet.metadata.num_rows

    @property
    def types(self) -> dict[str, str]:
        """Each column's type in the words of the column contract."""
        return {field.name: contract_type(field.type) for field in self._parquet.schema_arrow}

    def ask(self, query: str) -> list[tuple[Any, ...]]:
        """Any query over `transactions`, or `placed` with file_row_number."""
        return self._connection.execute(query).fetchall()

    def ask_one(self, query: str) -> Any:
        ((answer,),) = self.ask(query)
        return answer

    def counts(self, conditions: Sequence[str]) -> list[int]:
        """How many rows fulfil each condition, in one pass."""
        listed = ", ".join(f"count(*) FILTER (WHERE {condition})" for condition in conditions)
        return list(self.ask(f"SELECT {listed} FROM transactions")[0]) if conditions else []

    def value_counts(self, column: str, condition: str = "true") -> list[tuple[str, int]]:
        """Each value of a categorical column as text with its rows, the most frequent first."""
        value = f"CAST({named(column)} AS VARCHAR)"
        chosen = f"FROM transactions WHERE {value} IS NOT NULL AND {condition}"
        found = self.ask(f"SELECT {value}, count(*) {chosen} GROUP BY 1 ORDER BY 2 DESC, 1")
        return [(str(word), int(rows)) for word, rows in found]

    def frame(self, positions: Sequence[int], columns: Sequence[str]) -> pd.DataFrame:
        """A few rows, named by their positions."""
        ends = np.cumsum([
            self._parquet.metadata.row_group(group).num_rows for group in range(self._parquet.num_row_groups)
        ])  # fmt: skip
        found = [self._parquet.schema_arrow.empty_table().select(list(columns))]
        for position in positions:
            group = int(np.searchsorted(ends, position, side="right"))
            first = int(ends[group - 1]) if group else 0
            found.append(self._parquet.read_row_group(group, columns=list(columns)).slice(position - first, 1))
        return as_frame(pa.concat_tables(found)).set_axis(list(positions))


def scratch_beside(out: Path) -> Path:
    """A folder for what does not fit in memory; what a killed run leaves of it is removed with its other leftovers."""
    return out.with_name(f".{out.name}.{os.getpid()}.spilled.partial")


def as_frame(table: pa.Table) -> pd.DataFrame:
    """Plain numpy columns, masked where integers or labels are null."""
    series = {name: _series(table.column(name)) for name in table.column_names}
    return pd.DataFrame(series, copy=False)


def _series(column: pa.ChunkedArray[Any]) -> pd.Series[Any]:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        mapped: Any = pd.ArrowDtype(pa.string())
    elif column.null_count and pa.types.is_integer(kind):
        mapped = pd.Int64Dtype()
    elif column.null_count and pa.types.is_boolean(kind):
        mapped = pd.BooleanDtype()
    else:
        mapped = None
    return cast("pd.Series[Any]", column.to_pandas(types_mapper=lambda _: mapped))


def contract_type(kind: pa.DataType) -> str:
    words = {"double": "float64", "large_string": "string", "timestamp[us, tz=UTC]": "timestamp[us, UTC]"}
    return words.get(str(kind), str(kind))


def is_present(name: str, kind: str) -> str:
    """The condition that a row has a value; NaN is none."""
    column = named(name)
    return f"({column} IS NOT NULL AND NOT isnan({column}))" if kind in FLOATS else f"{column} IS NOT NULL"


def named(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
