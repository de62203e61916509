"""A large point-in-time join as many small ones: each range of the keys is joined and sorted in memory on its own.

One plan for all would sort every wide row twice, by key and moment and back, and spill; its time grows faster than the
rows. Here each range writes its answers, sorted by row number, to a file; blocks of rows are then read across the
files. Sources whose row groups cover few keys each, as those sorted by key do, are read once in all.
"""

# DuckDB carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import itertools
import math
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sentinel.features.asof_sql import ENTITIES, ROW, KeyRange, Lookup, Questions, range_sql
from sentinel.features.sql_text import literal, quoted

_SAMPLE = 100_000  # keys that are looked at to cut them into ranges of about equal rows
_ROW_GROUP = 20_480  # of a range's file, so that a block reads little more than its own rows


@dataclass(frozen=True)
class Group:
    """Lookups by one entity column, which is cut into `ranges`; None: by no column that can be cut."""

    entity_key: str | None
    lookups: tuple[Lookup, ...]
    ranges: tuple[KeyRange, ...] = (KeyRange(),)


def find_ranges(
    connection: duckdb.DuckDBPyConnection,
    asked: Questions,
    lookups: Sequence[Lookup],
    types: Mapping[str, Mapping[str, str]],
    range_rows: int,
) -> tuple[Group, ...] | None:
    """The groups, each range with about `range_rows` rows; None when a single range would do. `types`: by source."""
    if asked.rows == 0:
        return None
    groups = [_cut(connection, asked, group, types, range_rows) for group in _by_first_key(lookups)]
    return tuple(groups) if any(len(group.ranges) > 1 for group in groups) else None


class KeyRanges:
    """The answers of all ranges, in files of a folder below `scratch` until it is closed.

    `block`: how many rows are put together at once.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        asked: Questions,
        lookups: tuple[Lookup, ...],
        groups: tuple[Group, ...],
        block: int,
        scratch: Path | None,
    ) -> None:
        self._connection, self._asked, self._lookups, self._groups = connection, asked, lookups, groups
        self._block = block
        if scratch is not None:
            scratch.mkdir(parents=True, exist_ok=True)
        self._folder = Path(tempfile.mkdtemp(prefix="asof-", dir=scratch))
        self._is_joined = False
        self.close = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """The columns of the entity rows and the features, in the order of the entity rows."""
        if not self._is_joined:
            self._join_all()
            self._is_joined = True
        for start in range(1, self._asked.rows + 1, self._block):
            yield from self._connection.sql(self._block_sql(start, start + self._block)).to_arrow_reader(rows)

    def _join_all(self) -> None:
        for number, group in enumerate(self._groups):
            for position, within in enumerate(group.ranges):
                sql = range_sql(self._asked, group.lookups, group.entity_key, within)
                file = literal(str(self._folder / f"{number}-{position}.parquet"))
                self._connection.execute(
                    f"COPY ({sql}) TO {file} (FORMAT parquet, COMPRESSION snappy, ROW_GROUP_SIZE {_ROW_GROUP})"
                )

    def _block_sql(self, first: int, end: int) -> str:
        columns = [*self._asked.types, *(output for lookup in self._lookups for output in lookup.outputs)]
        within = f"WHERE {ROW} >= {first} AND {ROW} < {end}"
        files = [literal(str(self._folder / f"{number}-*.parquet")) for number in range(len(self._groups))]
        joins = [f"JOIN (SELECT * FROM read_parquet({group}) {within}) USING ({ROW})" for group in files]
        return (
            f"SELECT {', '.join(map(quoted, columns))} FROM (SELECT * FROM {ENTITIES} {within}) "
            f"{' '.join(joins)} ORDER BY {ROW}"
        )


def _by_first_key(lookups: Sequence[Lookup]) -> list[Group]:
    """Lookups whose first key is the same entity column; each that has no key stands alone."""
    groups: dict[str, Group] = {}
    alone: list[Group] = []
    for lookup in lookups:
        if not lookup.join.keys:
            alone.append(Group(None, (lookup,)))
            continue
        entity_key = lookup.join.keys[0][1]
        known = groups.get(entity_key, Group(entity_key, ()))
        groups[entity_key] = Group(entity_key, (*known.lookups, lookup))
    return [*groups.values(), *alone]


def _cut(
    connection: duckdb.DuckDBPyConnection,
    asked: Questions,
    group: Group,
    types: Mapping[str, Mapping[str, str]],
    range_rows: int,
) -> Group:
    if group.entity_key is None or not _is_one_order(asked, group, types):
        return group
    keys = {ENTITIES: group.entity_key} | {each.source: each.join.keys[0][0] for each in group.lookups}
    rows = {relation: _count(connection, relation) for relation in keys}
    largest = max(rows, key=lambda relation: rows[relation])
    parts = math.ceil(rows[largest] / range_rows)
    if parts < 2:
        return group
    bounds = [None, *_quantiles(connection, largest, keys[largest], parts), None]
    ranges = tuple(KeyRange(low, high) for low, high in itertools.pairwise(bounds))
    return Group(group.entity_key, group.lookups, ranges)


def _is_one_order(asked: Questions, group: Group, types: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether all keys are whole numbers or all are text of one type: a range then means the same on both sides."""
    kinds = {asked.types[group.entity_key or ""]}
    kinds |= {types[lookup.source][lookup.join.keys[0][0]] for lookup in group.lookups}
    return kinds in ({"BIGINT"}, {"INTEGER"}, {"VARCHAR"})


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    return _value(connection, f"SELECT count(*) FROM {relation}")


def _quantiles(connection: duckdb.DuckDBPyConnection, relation: str, key: str, parts: int) -> list[int | str]:
    """Different keys, ascending, between which lie about equal shares of the rows."""
    shares = [position / parts for position in range(1, parts)]
    sample = f"SELECT {quoted(key)} AS key FROM {relation} USING SAMPLE reservoir({_SAMPLE} ROWS) REPEATABLE (1)"
    return list(dict.fromkeys(_value(connection, f"SELECT quantile_disc(key, {shares}) FROM ({sample})") or []))


def _value(connection: duckdb.DuckDBPyConnection, sql: str) -> Any:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row[0]
