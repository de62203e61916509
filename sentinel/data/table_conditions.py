"""Great Expectations' map conditions over a table on disk: which rows are unexpected, as SQL.

A condition counts its unexpected rows and gives the first of them. GX's own verdicts, percentages and pages are made
from these counts as from those of its pandas engine; a test holds both engines to the same results.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sentinel.data.readings import quoted
from sentinel.data.table import FLOATS, TransactionTable, is_present, named


class CannotAskError(Exception):
    """The column is not there, or its type does not fit the question."""


@dataclass(frozen=True)
class RowWise:
    """Of the `considered` rows those that fulfil `unexpected`."""

    columns: tuple[str, ...]
    considered: str
    unexpected: str

    @property
    def condition(self) -> str:
        return f"({self.considered}) AND ({self.unexpected})"

    def count(self, table: TransactionTable) -> int:
        return table.counts([self.condition])[0]

    def first(self, table: TransactionTable, most: int) -> list[int]:
        return _positions(table, f"SELECT file_row_number FROM placed WHERE {self.condition}", most)


@dataclass(frozen=True)
class Repeated:
    """Of the `considered` rows those that share the values of `columns` with another row."""

    columns: tuple[str, ...]
    considered: str

    def count(self, table: TransactionTable) -> int:
        return int(table.ask_one(f"SELECT coalesce(sum(copies), 0) FROM ({self._groups('count(*) AS copies')})"))

    def first(self, table: TransactionTable, most: int) -> list[int]:
        same = " AND ".join(f"placed.{key} IS NOT DISTINCT FROM groups.{key}" for key in map(named, self.columns))
        groups = self._groups(", ".join(map(named, self.columns)))
        return _positions(table, f"SELECT file_row_number FROM placed SEMI JOIN ({groups}) AS groups ON {same}", most)

    def _groups(self, chosen: str) -> str:
        keys = ", ".join(map(named, self.columns))
        return f"SELECT {chosen} FROM transactions WHERE {self.considered} GROUP BY {keys} HAVING count(*) > 1"


@dataclass(frozen=True)
class Falling:
    """Of the `considered` rows those whose value is less than that of the row before."""

    columns: tuple[str, ...]
    considered: str

    def count(self, table: TransactionTable) -> int:
        return int(table.ask_one(f"SELECT count(*) FROM ({self._rows()})"))

    def first(self, table: TransactionTable, most: int) -> list[int]:
        return _positions(table, self._rows(), most)

    def _rows(self) -> str:
        # without ORDER BY, DuckDB streams the window over the rows in the order of the file
        value = named(self.columns[0])
        pairs = f"SELECT file_row_number, {value}, lag({value}) OVER () AS earlier FROM placed WHERE {self.considered}"
        return f"SELECT file_row_number FROM ({pairs}) WHERE {value} < earlier"


MapCondition = RowWise | Repeated | Falling


def _positions(table: TransactionTable, query: str, most: int) -> list[int]:
    return [int(position) for (position,) in table.ask(f"{query} ORDER BY file_row_number LIMIT {most}")]


def map_condition(
    name: str, domain: Mapping[str, Any], values: Mapping[str, Any], types: Mapping[str, str]
) -> MapCondition:
    """`name`: GX's, such as column_values.between. Raises CannotAskError."""
    columns = _columns(domain, types)
    considered = _considered(name, columns, domain, types)
    if name == "column_values.nonnull":
        return RowWise(columns, considered, f"NOT {is_present(columns[0], types[columns[0]])}")
    if name == "column_values.between":
        return RowWise(columns, considered, _outside(columns[0], types[columns[0]], values))
    if name in ("column_values.in_set", "column_values.not_in_set"):
        return RowWise(columns, considered, _in_set(columns[0], values["value_set"], wanted=name.endswith(".in_set")))
    if name == "column_pair_values.a_greater_than_b":
        return RowWise(columns, considered, _not_after(columns, types, values))
    if name in ("column_values.unique", "compound_columns.unique"):
        return Repeated(columns, considered)
    if name == "column_values.increasing" and not values["strictly"]:
        return Falling(columns, considered)
    raise CannotAskError(f"{name} is not known for a table on disk")


def row_filter(domain: Mapping[str, Any], types: Mapping[str, str]) -> str:
    """The condition of the rows that an expectation with a row_condition looks at: a column has a value."""
    wanted = domain.get("row_condition")
    if wanted is None:
        return "true"
    if wanted.get("type") != "nullity" or wanted.get("is_null"):
        raise CannotAskError(f"the row condition {wanted} is not known for a table on disk")
    name = wanted["column"]["name"]
    return is_present(name, _kind(name, types))


def _columns(domain: Mapping[str, Any], types: Mapping[str, str]) -> tuple[str, ...]:
    single: list[Any] = [domain.get(key) for key in ("column", "column_A", "column_B")]
    columns: tuple[str, ...] = tuple(name for name in (*single, *(domain.get("column_list") or ())) if name)
    for name in columns:
        _kind(name, types)
    return columns


def _kind(name: str, types: Mapping[str, str]) -> str:
    if name not in types:
        raise CannotAskError(f"the column {name} is not there")
    return types[name]


def _considered(name: str, columns: Sequence[str], domain: Mapping[str, Any], types: Mapping[str, str]) -> str:
    """What GX leaves out: rows beside the row condition, and missing values as the expectation says."""
    present = [is_present(column, types[column]) for column in columns]
    if name == "column_values.nonnull":
        ignored = "true"
    elif domain.get("ignore_row_if") == "all_values_are_missing":
        ignored = "(" + " OR ".join(present) + ")"
    else:
        ignored = " AND ".join(present)
    return f"{row_filter(domain, types)} AND {ignored}"


def _outside(name: str, kind: str, values: Mapping[str, Any]) -> str:
    if values["strict_min"] or values["strict_max"]:
        raise CannotAskError("strict bounds are not known for a table on disk")
    bounds = ((values["min_value"], "<"), (values["max_value"], ">"))
    return " OR ".join(
        f"{named(name)} {sign} {_bound(name, kind, bound)}" for bound, sign in bounds if bound is not None
    )


def _bound(name: str, kind: str, bound: Any) -> str:
    if isinstance(bound, datetime):
        if not (kind.startswith("timestamp") and "," in kind):  # a zone
            raise CannotAskError(f"{name} is {kind}, which is compared with a moment")
        return f"TIMESTAMPTZ {quoted(bound.isoformat())}"
    if kind not in FLOATS and not re.fullmatch(r"u?int\d+", kind):
        raise CannotAskError(f"{name} is {kind}, which is compared with a number")
    return f"{float(bound)!r}::DOUBLE"


def _in_set(name: str, listed: Sequence[str], *, wanted: bool) -> str:
    words = ", ".join(quoted(word) for word in listed)
    return f"CAST({named(name)} AS VARCHAR) {'NOT IN' if wanted else 'IN'} ({words})"


def _not_after(columns: Sequence[str], types: Mapping[str, str], values: Mapping[str, Any]) -> str:
    later, earlier = columns
    if types[later] != types[earlier]:
        raise CannotAskError(f"{later} is {types[later]} and {earlier} is {types[earlier]}: they cannot be compared")
    return f"{named(later)} {'<' if values['or_equal'] else '<='} {named(earlier)}"
