"""Which keys are joined together: every key in one range, and only keys that both sides order alike."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.features.asof_sql import ENTITIES, Join, KeyRange, Lookup, Questions
from sentinel.features.key_ranges import Group, find_ranges


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as opened:
        yield opened


@given(
    keys=st.one_of(
        st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=30),
        st.lists(st.none() | st.text(st.characters(exclude_characters="\0", codec="utf-8")), min_size=1, max_size=30),
    ),
    cuts=st.integers(0, 5),
)
def test_every_key_lies_in_one_range(keys: list[Any], cuts: int) -> None:
    kind = pa.string() if any(isinstance(key, str) for key in keys) else pa.int64()
    with duckdb.connect() as connection:
        connection.register("given", pa.table({"key": pa.array(keys, kind)}))
        bounds = connection.execute(
            "SELECT list(DISTINCT key ORDER BY key) FROM (SELECT key FROM given WHERE key IS NOT NULL LIMIT ?)", [cuts]
        ).fetchall()[0][0]
        ends = [None, *(bounds or []), None]
        ranges = [KeyRange(low, high) for low, high in itertools.pairwise(ends)]
        found = [
            row[0]
            for within in ranges
            for row in connection.execute(f"SELECT key FROM given WHERE {within.condition('key')}").fetchall()
        ]
    assert sorted(found, key=repr) == sorted(keys, key=repr)


def look_up(connection: duckdb.DuckDBPyConnection, number: int, keys: str, *on: tuple[str, str]) -> Lookup:
    connection.execute(f"CREATE TABLE __view{number}_source AS SELECT {keys} FROM range(1000)")
    return Lookup(Join(SimpleNamespace(), on, ()), f"__view{number}", ())


def groups(connection: duckdb.DuckDBPyConnection, lookups: list[Lookup], range_rows: int) -> tuple[Group, ...] | None:
    connection.execute(f"CREATE TABLE {ENTITIES} AS SELECT range // 10 AS who, 'x' || range AS friend FROM range(300)")
    types = {
        lookup.source: {row[0]: row[1] for row in connection.execute(f"DESCRIBE {lookup.source}").fetchall()}
        for lookup in lookups
    }
    asked = Questions({"who": "BIGINT", "friend": "VARCHAR"}, "moment", None, None, 300)
    return find_ranges(connection, asked, lookups, types, range_rows)


def test_lookups_by_one_column_share_its_ranges_and_a_pair_goes_by_its_first(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    lookups = [
        look_up(connection, 0, "range AS who", ("who", "who")),
        look_up(connection, 1, "'x' || range AS name", ("name", "friend")),
        look_up(connection, 2, "range AS who, 'x' AS name", ("who", "who"), ("name", "friend")),
    ]
    by_who, by_friend = groups(connection, lookups, 260) or ()
    assert by_who.entity_key == "who" and by_who.lookups == (lookups[0], lookups[2])
    assert by_friend.entity_key == "friend" and by_friend.lookups == (lookups[1],)
    assert len(by_who.ranges) == len(by_friend.ranges) == 4  # by the largest relation, a source of 1000 rows
    lows = [within.low for within in by_who.ranges[1:]]
    assert all(isinstance(low, int) and abs(low - share) < 5 for low, share in zip(lows, (250, 500, 750), strict=True))


def test_one_range_is_no_range(connection: duckdb.DuckDBPyConnection) -> None:
    assert groups(connection, [look_up(connection, 0, "range AS who", ("who", "who"))], 1000) is None


def test_keys_that_the_two_sides_order_differently_are_not_cut(connection: duckdb.DuckDBPyConnection) -> None:
    lookups = [
        look_up(connection, 0, "CAST(range AS VARCHAR) AS who", ("who", "who")),
        look_up(connection, 1, "'x' || range AS friend", ("friend", "friend")),
        look_up(connection, 2, "range AS for_all"),
    ]
    found = groups(connection, lookups, 100) or ()
    assert {group.entity_key: len(group.ranges) for group in found} == {"who": 1, "friend": 10, None: 1}
    assert [lookup for group in found for lookup in group.lookups] == lookups


def test_key_that_most_rows_have_leaves_fewer_ranges(connection: duckdb.DuckDBPyConnection) -> None:
    lookup = look_up(connection, 0, "CASE WHEN range < 900 THEN 5 ELSE range END AS who", ("who", "who"))
    (group,) = groups(connection, [lookup], 250) or ()
    assert [(within.low, within.high) for within in group.ranges] == [(None, 5), (5, None)]
