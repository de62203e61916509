"""What holds for the whole output: every transaction once, as first recorded, in the order of the source, unchanged.

A corrected transaction keeps everything of its first version but the label: that is the last that was known.
"""

# pyarrow carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingTypeArgument=false

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet, types

from sentinel.features.audit.blocks import BLOCK, Rows, rows_with
from sentinel.features.audit.oracle import NEVER, Ints, microseconds_of, positions
from sentinel.features.spec import FeatureSet
from sentinel.progress import Progress, silent

_ID = "transaction_id"
_LABEL = ("is_fraud", "label_available_at")


@dataclass(frozen=True)
class Comparison:
    """`fault`: the first difference in a sentence, None when there is none. `corrected`: ids with several versions."""

    rows: int
    fault: str | None
    corrected: pa.ChunkedArray


class _DifferenceError(Exception):
    """The first difference, in a sentence."""


def compare_with_source(
    transactions: Path, features: Path, wanted: FeatureSet, *, progress: Progress = silent
) -> Comparison:
    """Hold every row of features.parquet against transactions.parquet, in blocks."""
    source, made = parquet.ParquetFile(transactions), parquet.ParquetFile(features)
    corrected: pa.ChunkedArray = pa.chunked_array([], source.schema_arrow.field(_ID).type)
    fault = None
    try:
        _require_columns(source.schema_arrow, made.schema_arrow, wanted)
        walk = _Walk(source, made, wanted)
        walk.go(progress)
        corrected = walk.later
        if wanted.has_recorded_at:
            _require_first_versions(source, made, walk)
    except _DifferenceError as difference:
        fault = str(difference)
    return Comparison(made.metadata.num_rows, fault, corrected)


def _require_columns(source: pa.Schema, made: pa.Schema, wanted: FeatureSet) -> None:
    expected = pa.schema([*source, *(pa.field(name, pa.int64()) for name in wanted.columns)])
    if (made.names, made.types) != (expected.names, expected.types):
        raise _DifferenceError(
            f"features.parquet has the columns {', '.join(made.names)}; the source and the feature set together have "
            f"{', '.join(expected.names)}."
        )


class _Walk:
    """Source and output side by side. `later`: ids of source rows that have no row of their own in the output."""

    def __init__(self, source: Any, made: Any, wanted: FeatureSet) -> None:
        self._source, self._made = source, made
        self._has_versions = wanted.has_recorded_at
        columns: list[str] = source.schema_arrow.names
        self._labels = [name for name in _LABEL if name in columns] if self._has_versions else []
        self._columns = [name for name in columns if name not in self._labels]
        kind = source.schema_arrow.field(_ID).type
        self.later: pa.ChunkedArray = pa.chunked_array([], kind)
        self.relabelled: pa.ChunkedArray = pa.chunked_array([], kind)

    def go(self, progress: Progress) -> None:
        output = Rows(self._made, [*self._columns, *self._labels])
        done, total = 0, self._source.metadata.num_rows
        for batch in self._source.iter_batches(BLOCK):
            progress(done, total, "output against source")
            block = pa.Table.from_batches([batch])
            first = self._first_versions(block, output) if self._has_versions else block
            self._compare(first, output.take(first.num_rows))
            done += block.num_rows
        if output.peek(1).num_rows:
            raise _DifferenceError(f"The output goes on after the source's last row, with {_name(output.peek(1), 0)}.")

    def _first_versions(self, block: pa.Table, output: Rows) -> pa.Table:
        """The rows that the output has: the same transaction, recorded at the same moment."""
        expected = output.peek(block.num_rows)
        place = positions(block[_ID], expected[_ID])
        is_first = place >= 0
        recorded = microseconds_of(expected, "recorded_at")
        is_first[is_first] = recorded[place[is_first]] == microseconds_of(block, "recorded_at")[is_first]
        self.later = _joined(self.later, block.filter(pa.array(~is_first)))
        return block.filter(pa.array(is_first))

    def _compare(self, given: pa.Table, found: pa.Table) -> None:
        if given.num_rows != found.num_rows:
            raise _DifferenceError(f"The output ends before the source's row of {_name(given, found.num_rows)}.")
        for name in self._columns:
            if not _bits(given[name]).equals(_bits(found[name])):
                raise _DifferenceError(_first_difference(given, found, name))
        is_relabelled = np.zeros(given.num_rows, np.bool_)
        for name in self._labels:
            is_relabelled |= _label(given, name) != _label(found, name)
        self.relabelled = _joined(self.relabelled, given.filter(pa.array(is_relabelled)))


def _require_first_versions(source: Any, made: Any, walk: _Walk) -> None:
    """The output has the first version of what was corrected, and its last label."""
    ids = pa.chunked_array([pa.chunked_array([*walk.later.chunks, *walk.relabelled.chunks], walk.later.type).unique()])
    if not len(ids):
        return
    columns = [_ID, "recorded_at", *(name for name in _LABEL if name in source.schema_arrow.names)]
    versions, found = rows_with(source, {_ID: ids}, columns), rows_with(made, {_ID: ids}, columns)
    is_absent = positions(ids, found[_ID]) < 0
    if is_absent.any():
        raise _DifferenceError(f"The output has no row of transaction {ids[int(is_absent.argmax())]}.")
    of = positions(versions[_ID], ids)
    order = np.lexsort((microseconds_of(versions, "recorded_at"), of))
    versions, of, row = versions.take(pa.array(order)), of[order], positions(found[_ID], ids)
    first = np.searchsorted(of, row)
    expected = {"recorded_at": _label(versions, "recorded_at")[first]}
    said = _last_labelled(of, _label(versions, "is_fraud"), row, first)
    for name in columns[2:]:
        values = _label(versions, name)
        expected[name] = np.where(values[said] == NEVER, values[first], values[said])
    for name, values in expected.items():
        differs = _label(found, name) != values
        if differs.any():
            raise _DifferenceError(
                f"In the output {name} of {_name(found, int(differs.argmax()))} is not that of its "
                f"{'first' if name == 'recorded_at' else 'last labelled'} version."
            )


def _last_labelled(of: Ints, fraud: Ints, row: Ints, first: Ints) -> Ints:
    """Where the last version with a label stands, of each `row`; its first version when none has one."""
    last = np.full(int(of.max()) + 1, -1)
    labelled = np.flatnonzero(fraud != NEVER)
    np.maximum.at(last, of[labelled], labelled)
    return np.where(last[row] < 0, first, last[row])


def _label(table: pa.Table, name: str) -> Ints:
    """As integers; a null is NEVER."""
    if name == "is_fraud":
        return table[name].cast(pa.int64()).fill_null(NEVER).to_numpy()
    return microseconds_of(table, name)


def _bits(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A float by its bits, so that NaN equals itself."""
    if not types.is_float64(column.type):
        return column
    return pa.chunked_array([chunk.view(pa.int64()) for chunk in column.chunks], pa.int64())


def _joined(ids: pa.ChunkedArray, rows: pa.Table) -> pa.ChunkedArray:
    return pa.chunked_array([*ids.chunks, *rows[_ID].chunks], ids.type)


def _name(rows: pa.Table, place: int) -> str:
    return f"transaction {rows[_ID][place]}"


def _first_difference(given: pa.Table, found: pa.Table, name: str) -> str:
    same = [one.equals(other) for one, other in zip(_bits(given[name]), _bits(found[name]), strict=True)]
    place = same.index(False)
    return (
        f"Where the source has {_name(given, place)}, {name} is {given[name][place]} there and {found[name][place]} in "
        "the output."
    )
