"""The point-in-time join as SQL: for each entity row `e` the latest row of a source at or before its moment.

The entity rows stand in the engine as ENTITIES, numbered by ROW; a source as `<table>_source`. Views of one source and
key share one join.
"""

# Feast and DuckDB carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from feast.feature_view import DUMMY_ENTITY_ID

from sentinel.features.sql_text import literal, quoted

ENTITIES = "__entities"
ROW = "__row"


@dataclass(frozen=True)
class Join:
    """One ASOF join: the feature views that read the same source by the same keys."""

    source: Any
    keys: tuple[tuple[str, str], ...]  # (column of the source, column of the entity rows)
    views: tuple[Any, ...]

    @property
    def longest_ttl(self) -> timedelta | None:
        """Older rows answer nothing; None when some view has no ttl."""
        ttls = [view.ttl for view in self.views]
        return max(ttls) if all(ttls) else None


def group_joins(feature_views: Iterable[Any]) -> list[Join]:
    groups: dict[Any, Join] = {}
    for view in feature_views:
        source = view.batch_source
        if source is None:
            raise ValueError(f"Feature view {view.name} has no batch source and cannot be queried.")
        mapped = view.projection.join_key_map
        keys = tuple(
            (column.name, mapped.get(column.name, column.name))
            for column in view.entity_columns
            if column.name != DUMMY_ENTITY_ID
        )
        same = (source.to_proto().SerializeToString(deterministic=True), keys)
        known = groups.get(same, Join(source, keys, ()))
        groups[same] = Join(source, keys, (*known.views, view))
    return list(groups.values())


def requested_features(
    join: Join, feature_refs: Sequence[str], full: bool
) -> tuple[tuple[str, timedelta | None, str], ...]:
    """(column of the source, ttl, column of the result) of what is asked of the join's views."""
    found: list[tuple[str, timedelta | None, str]] = []
    for view in join.views:
        prefix = f"{view.projection.name_to_use()}:"
        base = view.projection.name_alias or view.name
        for reference in feature_refs:
            if reference.startswith(prefix):
                feature = reference.removeprefix(prefix)
                found.append((feature, view.ttl or None, f"{base}__{feature}" if full else feature))
    return tuple(found)


@dataclass(frozen=True)
class Questions:
    """The entity rows: their columns with types, the one that holds the moment, its span, and how many there are."""

    types: dict[str, str]
    moment: str
    first: Any
    last: Any
    rows: int


@dataclass(frozen=True)
class Lookup:
    """What is asked of one join, and how the engine calls it. `features`: as from `requested_features`."""

    join: Join
    table: str
    features: tuple[tuple[str, timedelta | None, str], ...]
    by_creation: bool = False

    @property
    def source(self) -> str:
        return f"{self.table}_source"

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(output for _, _, output in self.features)


@dataclass(frozen=True)
class KeyRange:
    """`low` <= key < `high`; None is open. Rows without a key belong to the range that has no `low`."""

    low: int | str | None = None
    high: int | str | None = None

    def condition(self, column: str) -> str:
        if self.low is None:
            return "true" if self.high is None else f"({column} < {_constant(self.high)} OR {column} IS NULL)"
        from_low = f"{column} >= {_constant(self.low)}"
        return from_low if self.high is None else f"{from_low} AND {column} < {_constant(self.high)}"


def whole_sql(asked: Questions, lookups: Sequence[Lookup]) -> str:
    """Every column of every entity row, then every feature, in the order of the entity rows."""
    columns = [f"e.{quoted(column)}" for column in asked.types]
    return f"{_select(asked, lookups, columns, f'{ENTITIES} e')} ORDER BY e.{ROW}"


def range_sql(asked: Questions, lookups: Sequence[Lookup], entity_key: str | None, within: KeyRange) -> str:
    """ROW and the features of the entity rows whose `entity_key`, the first key of all `lookups`, lies `within`."""
    keys = dict.fromkeys(key for lookup in lookups for _, key in lookup.join.keys)
    columns = ", ".join(quoted(column) for column in dict.fromkeys([ROW, asked.moment, *keys]))
    rows = within.condition(quoted(entity_key)) if entity_key else "true"
    entities = f"(SELECT {columns} FROM {ENTITIES} WHERE {rows}) e"
    return f"{_select(asked, lookups, [f'e.{ROW}'], entities, within)} ORDER BY e.{ROW}"


def _select(
    asked: Questions, lookups: Sequence[Lookup], columns: list[str], entities: str, within: KeyRange | None = None
) -> str:
    values = [_value(lookup.table, asked.moment, *feature) for lookup in lookups for feature in lookup.features]
    joins = [_join(lookup, asked, within or KeyRange()) for lookup in lookups]
    return f"SELECT {', '.join([*columns, *values])} FROM {entities} {' '.join(joins)}"


def _join(lookup: Lookup, asked: Questions, within: KeyRange) -> str:
    join, table, source = lookup.join, lookup.table, lookup.join.source
    keys = [quoted(key) for key, _ in join.keys]
    columns = [f"{key} AS __key{position}" for position, key in enumerate(keys)]
    columns += [quoted(feature) for feature in dict.fromkeys(feature for feature, _, _ in lookup.features)]
    columns.append(f"CAST({quoted(source.timestamp_field)} AS TIMESTAMPTZ) AS __moment")
    if source.created_timestamp_column:
        columns.append(f"CAST({quoted(source.created_timestamp_column)} AS TIMESTAMPTZ) AS __created")
    useful = _useful(join, asked) + (f" AND {within.condition(keys[0])}" if keys else "")
    rows = f"SELECT {', '.join(columns)} FROM {lookup.source} WHERE {useful}"
    if source.created_timestamp_column:
        partition = [f"__key{position}" for position in range(len(keys))]
        rows = _by_arrival(rows, partition) if lookup.by_creation else _latest_created(rows, partition)
    else:
        rows = f"SELECT *, __moment AS __known FROM ({rows})"
    matches = [f"e.{quoted(entity)} = {table}.__key{position}" for position, (_, entity) in enumerate(join.keys)]
    matches.append(f"e.{quoted(asked.moment)} >= {table}.__known")
    return f"ASOF LEFT JOIN ({rows}) {table} ON {' AND '.join(matches)}"


def _useful(join: Join, asked: Questions) -> str:
    """Leave out rows that no entity row can see: after the last one, or expired before the first."""
    if asked.first is None:
        return "false"
    stamp = f"CAST({quoted(join.source.timestamp_field)} AS TIMESTAMPTZ)"
    conditions = [f"{stamp} <= TIMESTAMPTZ {literal(asked.last.isoformat())}"]
    if join.longest_ttl is not None:
        conditions.append(f"{stamp} >= TIMESTAMPTZ {literal((asked.first - join.longest_ttl).isoformat())}")
    return " AND ".join(conditions)


def _latest_created(rows: str, partition: Sequence[str]) -> str:
    """Of rows about one moment the last created counts, as in Feast's own stores."""
    return (
        f"SELECT *, __moment AS __known FROM ({rows}) QUALIFY row_number() OVER "
        f"(PARTITION BY {', '.join([*partition, '__moment'])} ORDER BY __created DESC NULLS LAST) = 1"
    )


def _by_arrival(rows: str, partition: Sequence[str]) -> str:
    """A row counts from its arrival on. One that arrives after a row about a later moment never counts: dropped."""
    known = "greatest(__moment, __created)"
    per_key = f"PARTITION BY {', '.join(partition)} " if partition else ""
    return (
        f"SELECT *, {known} AS __known FROM ({rows}) WHERE __created IS NOT NULL "
        f"QUALIFY row(__moment, __created) >= max(row(__moment, __created)) OVER ({per_key}ORDER BY {known}, __moment, "
        "__created ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AND row_number() OVER "
        f"(PARTITION BY {', '.join([*partition, known])} ORDER BY __moment DESC, __created DESC) = 1"
    )


def _value(table: str, moment: str, column: str, ttl: timedelta | None, output: str) -> str:
    value = f"{table}.{quoted(column)}"
    if ttl is not None:
        lifetime = f"to_microseconds({ttl // timedelta(microseconds=1)})"
        value = f"CASE WHEN {table}.__moment + {lifetime} >= e.{quoted(moment)} THEN {value} END"
    return f"{value} AS {quoted(output)}"


def _constant(value: int | str) -> str:
    return literal(value) if isinstance(value, str) else str(value)
