"""Parquet files in blocks: the rows that hold certain values, and rows handed out in any number."""

# pyarrow carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingTypeArgument=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sentinel.features.audit.oracle import positions

BLOCK = 131_072  # rows


def rows_with(file: Any, values: Mapping[str, pa.ChunkedArray], columns: Sequence[str]) -> pa.Table:
    """`columns` of the rows of a ParquetFile that hold, in any column of `values`, one of its values; in order."""
    found: list[pa.Table] = []
    for batch in file.iter_batches(BLOCK, columns=list(dict.fromkeys([*columns, *values]))):
        block = pa.Table.from_batches([batch])
        is_wanted = np.zeros(block.num_rows, np.bool_)
        for name, chosen in values.items():
            is_wanted |= positions(block[name], chosen) >= 0
        found.append(block.filter(pa.array(is_wanted)).select(list(columns)))
    return pa.concat_tables(found) if found else file.schema_arrow.empty_table().select(list(columns))


class Rows:
    """The rows of a ParquetFile in order, as many at a time as are asked for; fewer at the end."""

    def __init__(self, file: Any, columns: Sequence[str]) -> None:
        self._batches = file.iter_batches(BLOCK, columns=list(columns))
        self._held = pa.schema([file.schema_arrow.field(name) for name in columns]).empty_table()

    def peek(self, rows: int) -> pa.Table:
        while self._held.num_rows < rows and (batch := next(self._batches, None)) is not None:
            self._held = pa.concat_tables([self._held, pa.Table.from_batches([batch])])
        return self._held.slice(0, rows)

    def take(self, rows: int) -> pa.Table:
        taken = self.peek(rows)
        self._held = self._held.slice(taken.num_rows)
        return taken
