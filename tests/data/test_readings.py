"""Amounts, times, labels and numbers, each compared with an independent reading by Python."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sentinel.config import Clock, LabelWords, Source
from sentinel.data.contract import ContractColumn, Kind
from sentinel.data.readings import read_column
from sentinel.data.staging import LAYERS

EUROS = Source()
CENTS = Source(amount_unit="minor")
BERLIN = Source(time_zone="Europe/Berlin")


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 1")
    return connection


def read(
    connection: duckdb.DuckDBPyConnection, kind: Kind, cells: pa.Array, source: Source = EUROS, *, is_key: bool = False
) -> list[tuple[Any, str | None]]:
    """(value, reason) of each cell."""
    column = ContractColumn("x", kind, "columns.x", "x", is_key, may_be_absent=False)
    reading = read_column(column, cells.type, source)
    query = "SELECT place, cell_x FROM cells"
    for layer in LAYERS:
        query = f"SELECT *, {getattr(reading, layer)} AS {layer}_x FROM ({query})"
    faults = " ".join(f"WHEN {condition} THEN '{reason}'" for condition, reason in reading.faults)
    fault = f"CASE {faults} END" if faults else "NULL"
    connection.register("cells", pa.table({"place": np.arange(len(cells)), "cell_x": cells}))
    return connection.execute(f"SELECT value_x, {fault} FROM ({query}) ORDER BY place").fetchall()


def texts(*cells: str | None) -> pa.Array:
    return pa.array(cells, pa.string())


def cents(amount: Decimal, digits: int = 2) -> int:
    return int(amount.scaleb(digits).to_integral_value(ROUND_HALF_EVEN))


def microseconds(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


# Amounts


@pytest.mark.parametrize(
    ("text", "minor"),
    [
        ("0.29", 29),
        ("12.34", 1234),
        ("+12.3", 1230),
        (" 7 ", 700),
        ("-0.01", -1),
        (".5", 50),
        ("5.", 500),
        ("1e2", 10_000),
        ("1.5E-2", 2),
        ("0.005", 0),
        ("0.015", 2),
        ("0.0250000000000000000000000001", 3),
        ("-0.025", -2),
        ("007", 700),
        ("92233720368547758.07", 2**63 - 1),
        ("-92233720368547758.08", -(2**63)),
        ("1e-9999", 0),
    ],
)
def test_amount_in_major_units_is_exact(connection: duckdb.DuckDBPyConnection, text: str, minor: int) -> None:
    assert read(connection, "amount", texts(text)) == [(minor, None)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "amount_not_a_number"),
        ("", "amount_not_a_number"),
        ("nan", "amount_not_a_number"),
        ("inf", "amount_not_a_number"),
        ("12,34", "amount_not_a_number"),
        ("1_000", "amount_not_a_number"),
        ("1 000", "amount_not_a_number"),
        ("€5", "amount_not_a_number"),
        (".", "amount_not_a_number"),
        ("-", "amount_not_a_number"),
        ("1e", "amount_not_a_number"),
        ("0x10", "amount_not_a_number"),
        ("92233720368547758.08", "amount_out_of_range"),
        ("1e400", "amount_out_of_range"),
        ("9" * 50, "amount_out_of_range"),
    ],
)
def test_what_is_no_amount_has_a_reason(connection: duckdb.DuckDBPyConnection, text: str | None, reason: str) -> None:
    assert read(connection, "amount", texts(text)) == [(None, reason)]


def test_fraction_of_a_minor_unit_is_refused_not_rounded(connection: duckdb.DuckDBPyConnection) -> None:
    """Where the config says cents, 12.34 are euros: rounding would lose them in silence."""
    found = read(connection, "amount", texts("12.34", "12.0", "12"), CENTS)
    assert found == [(None, "amount_not_whole"), (12, None), (12, None)]


def test_digits_of_the_minor_unit_are_configurable(connection: duckdb.DuckDBPyConnection) -> None:
    for digits, minor in ((0, 12), (3, 12_340), (4, 123_400)):
        assert read(connection, "amount", texts("12.34"), Source(minor_digits=digits)) == [(minor, None)]


@given(st.lists(st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**14), max_value=10**14), max_size=30))
@settings(max_examples=60, deadline=None)
def test_every_decimal_text_is_rounded_half_to_even(
    connection: duckdb.DuckDBPyConnection, amounts: list[Decimal]
) -> None:
    found = read(connection, "amount", texts(*(str(amount) for amount in amounts)))
    assert found == [(cents(amount), None) for amount in amounts]


@given(
    st.lists(st.floats(-1e12, 1e12) | st.integers(-(10**12), 10**12).map(lambda n: n / 100), max_size=30),
    st.integers(0, 4),
)
@settings(max_examples=60, deadline=None)
def test_every_double_is_read_by_its_digits(
    connection: duckdb.DuckDBPyConnection, amounts: list[float], digits: int
) -> None:
    found = read(connection, "amount", pa.array(amounts, pa.float64()), Source(minor_digits=digits))
    assert found == [(cents(Decimal(repr(amount)), digits), None) for amount in amounts]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=30))
@settings(max_examples=30, deadline=None)
def test_integers_overflow_into_a_reason(connection: duckdb.DuckDBPyConnection, amounts: list[int]) -> None:
    found = read(connection, "amount", pa.array(amounts, pa.int64()))
    fits = [-(2**63) <= amount * 100 < 2**63 for amount in amounts]
    assert found == [
        (amount * 100, None) if fit else (None, "amount_out_of_range")
        for amount, fit in zip(amounts, fits, strict=True)
    ]


@given(st.lists(st.decimals(-(10**9), 10**9, places=2), max_size=30), st.sampled_from([(18, 2), (38, 2), (18, 6)]))
@settings(max_examples=30, deadline=None)
def test_decimal_columns_are_exact(
    connection: duckdb.DuckDBPyConnection, amounts: list[Decimal], form: tuple[int, int]
) -> None:
    found = read(connection, "amount", pa.array(amounts, pa.decimal128(*form)))
    assert found == [(cents(amount), None) for amount in amounts]


def test_single_precision_is_read_by_its_own_digits(connection: duckdb.DuckDBPyConnection) -> None:
    assert read(connection, "amount", pa.array([57.16, 0.29], pa.float32())) == [(5716, None), (29, None)]


def test_double_that_is_no_number_is_none(connection: duckdb.DuckDBPyConnection) -> None:
    found = read(connection, "amount", pa.array([math.nan, math.inf, None, 1e20]))
    assert [reason for _, reason in found] == [
        "amount_not_a_number", "amount_not_a_number", "amount_not_a_number", "amount_out_of_range"
    ]  # fmt: skip


# Times


@pytest.mark.parametrize(
    "text",
    [
        "2025-06-01 12:00:00", "2025-06-01T12:00:00", "2025-06-01 12:00", "2025-06-01T12:00:00Z",
        "2025-06-01 12:00:00.000000", "2025-06-01 12:00:00,000", "2025-06-01T12:00:00.000000000+00:00",
        "2025-06-01T14:00:00+02:00", "2025-06-01T14:00:00+0200", "2025-06-01 14:00:00+02", "2025-06-01 02:30:00-09:30",
        "2025-06-01 12:00:00 UTC", " 2025-6-1 12:00 ",
    ],
)  # fmt: skip
def test_ways_to_write_one_moment(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert read(connection, "time", texts(text)) == [(microseconds(datetime(2025, 6, 1, 12, tzinfo=UTC)), None)]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("31/12/2025", "unparsable_time"),
        ("1735689600", "unparsable_time"),
        ("soon", "unparsable_time"),
        ("2025-01-01 12:00 Europe/Berlin", "unparsable_time"),
        ("2025-02-30 12:00:00", "impossible_time"),
        ("2025-13-01", "impossible_time"),
        ("2025-01-01 25:00:00", "impossible_time"),
        ("1989-12-31 23:59:59", "impossible_time"),
        ("2100-01-01", "impossible_time"),
        (None, "null_key"),
        ("  ", "null_key"),
    ],
)
def test_what_is_no_time_has_a_reason(connection: duckdb.DuckDBPyConnection, text: str | None, reason: str) -> None:
    assert read(connection, "time", texts(text), is_key=True) == [(None, reason)]


def test_missing_time_that_is_no_key_is_no_fault(connection: duckdb.DuckDBPyConnection) -> None:
    assert read(connection, "time", texts(None, "")) == [(None, None), (None, None)]


def test_hour_that_the_clock_change_skips_is_impossible(connection: duckdb.DuckDBPyConnection) -> None:
    for cells in (texts("2025-03-30 02:30:00"), pa.array([datetime(2025, 3, 30, 2, 30)], pa.timestamp("us"))):
        assert read(connection, "time", cells, BERLIN) == [(None, "impossible_time")]


def test_hour_that_occurs_twice_is_the_later_one(connection: duckdb.DuckDBPyConnection) -> None:
    expected = microseconds(datetime(2025, 10, 26, 1, 30, tzinfo=UTC))
    assert read(connection, "time", texts("2025-10-26 02:30:00"), BERLIN) == [(expected, None)]


def test_offset_wins_over_the_configured_zone(connection: duckdb.DuckDBPyConnection) -> None:
    summer_and_winter = texts("2025-10-26 02:30:00+02:00", "2025-10-26 02:30:00+01:00")
    hours = [datetime(2025, 10, 26, hour, 30, tzinfo=UTC) for hour in (0, 1)]
    assert read(connection, "time", summer_and_winter, BERLIN) == [(microseconds(hour), None) for hour in hours]


@given(st.lists(st.datetimes(datetime(1990, 1, 2), datetime(2030, 12, 30)), max_size=30))
@settings(max_examples=60, deadline=None)
def test_local_times_agree_with_the_zone_database(
    connection: duckdb.DuckDBPyConnection, moments: list[datetime]
) -> None:
    zone = ZoneInfo("Europe/Berlin")
    expected: list[tuple[int | None, str | None]] = []
    for moment in moments:
        there = moment.replace(tzinfo=zone, fold=1)
        exists = there.astimezone(UTC).astimezone(zone).replace(tzinfo=None) == moment
        expected.append((microseconds(there.astimezone(UTC)), None) if exists else (None, "impossible_time"))
    written = texts(*(moment.isoformat(" ") for moment in moments))
    for cells in (written, pa.array(moments, pa.timestamp("us"))):
        assert read(connection, "time", cells, BERLIN) == expected


def test_typed_times_of_every_unit(connection: duckdb.DuckDBPyConnection) -> None:
    moment = datetime(2025, 6, 1, 12)
    expected = [(microseconds(moment.replace(tzinfo=UTC)), None)]
    for unit in ("s", "ms", "us", "ns"):
        assert read(connection, "time", pa.array([moment], pa.timestamp(unit))) == expected
    assert read(connection, "time", pa.array([moment], pa.timestamp("us", "Asia/Tokyo")), BERLIN) == expected
    day = [(microseconds(datetime(2025, 6, 1, tzinfo=UTC)), None)]
    assert read(connection, "time", pa.array([moment.date()], pa.date32())) == day


def clock(unit: str, origin: str = "2023-01-01T00:00:00Z") -> Source:
    return Source(clock=Clock.model_validate({"unit": unit, "origin": origin}))


MICROSECONDS = {"us": 1, "ms": 10**3, "s": 10**6, "m": 60 * 10**6, "h": 3600 * 10**6, "d": 86_400 * 10**6}


@given(st.sampled_from(sorted(MICROSECONDS)), st.lists(st.integers(0, 50 * 365 * 86_400 * 10**6), max_size=20))
@settings(max_examples=40, deadline=None)
def test_count_of_a_clock_is_exact(connection: duckdb.DuckDBPyConnection, unit: str, spans: list[int]) -> None:
    counts = [span // MICROSECONDS[unit] for span in spans]
    origin = microseconds(datetime(2023, 1, 1, tzinfo=UTC))
    expected = [(origin + count * MICROSECONDS[unit], None) for count in counts]
    for cells in (pa.array(counts, pa.int64()), texts(*map(str, counts))):
        assert read(connection, "time", cells, clock(unit)) == expected


def test_count_may_have_decimals(connection: duckdb.DuckDBPyConnection) -> None:
    expected = [(microseconds(datetime(2023, 1, 1, 1, 30, tzinfo=UTC)), None)]
    for cells in (texts("1.5"), pa.array([1.5]), pa.array([Decimal("1.5")], pa.decimal128(10, 2))):
        assert read(connection, "time", cells, clock("h")) == expected
    days = Source(clock=clock("d", "1899-12-30T00:00:00Z").clock, decimal_separator=",")
    found = read(connection, "time", texts("44927,5"), days)
    assert found == [(microseconds(datetime(2023, 1, 1, 12, tzinfo=UTC)), None)]


def test_origin_keeps_its_own_zone(connection: duckdb.DuckDBPyConnection) -> None:
    found = read(connection, "time", pa.array([0]), clock("s", "2023-01-01T01:00:00+01:00"))
    assert found == [(microseconds(datetime(2023, 1, 1, tzinfo=UTC)), None)]


def test_what_no_clock_shows_has_a_reason(connection: duckdb.DuckDBPyConnection) -> None:
    found = read(connection, "time", texts("-2e9", "1e12", "noon", "9" * 30, None), clock("s"), is_key=True)
    impossible = (None, "impossible_time")
    assert found == [impossible, impossible, (None, "unparsable_time"), impossible, (None, "null_key")]
    numbers = pa.array([2**62, None], pa.int64())
    assert read(connection, "time", numbers, clock("d")) == [impossible, (None, None)]
    assert read(connection, "time", pa.array([math.nan, 1e300]), clock("s")) == [(None, None), impossible]


def test_written_time_beside_a_clock_is_still_a_time(connection: duckdb.DuckDBPyConnection) -> None:
    """A label may arrive on a calendar day where the events are counted; no text can mean both."""
    found = read(connection, "time", texts("2023-05-01 00:00:00"), clock("s"))
    assert found == [(microseconds(datetime(2023, 5, 1, tzinfo=UTC)), None)]


@pytest.mark.parametrize("origin", ["2023-01-01T00:00:00", "2023-01-01", "soon", 0])
def test_origin_must_be_a_moment(origin: object) -> None:
    with pytest.raises(ValidationError, match="moment with its zone"):
        Clock.model_validate({"unit": "s", "origin": origin})


def test_declared_format_of_a_time(connection: duckdb.DuckDBPyConnection) -> None:
    source = Source(time_format="%d.%m.%Y %H:%M:%S", time_zone="Europe/Berlin")
    cells = texts("31.12.2025 14:05:00", "2025-12-31T13:05:00Z", "30.03.2025 02:30:00", "31.02.2025 00:00:00", "x", "")
    moment = (microseconds(datetime(2025, 12, 31, 13, 5, tzinfo=UTC)), None)
    unparsable = (None, "unparsable_time")
    expected = [moment, moment, (None, "impossible_time"), unparsable, unparsable, (None, None)]
    assert read(connection, "time", cells, source) == expected


# Labels, numbers and ids


@pytest.mark.parametrize(
    "cells",
    [
        pa.array([True, False, None]),
        pa.array([1, 0, None], pa.int8()),
        pa.array([1.0, 0.0, math.nan], pa.float64()),
        pa.array(["1", "0", ""]),
        pa.array(["1.0", "0.00", None]),
        pa.array([" TRUE", "False", " "]),
    ],
)
def test_forms_of_a_label(connection: duckdb.DuckDBPyConnection, cells: pa.Array) -> None:
    assert read(connection, "label", cells) == [(True, None), (False, None), (None, None)]


def test_label_words_of_the_config(connection: duckdb.DuckDBPyConnection) -> None:
    source = Source(labels=LabelWords(fraud=("Betrug", "it's fraud"), genuine=("ok", ""), unknown=("?",)))
    found = read(connection, "label", texts("BETRUG ", "It's Fraud", "OK", "", "?", None, "maybe"), source)
    values = [True, True, False, False, None, None, None]
    assert found == [*((value, None) for value in values[:-1]), (None, "unknown_label")]


@given(st.lists(st.text(max_size=8), min_size=1, max_size=20))
@settings(max_examples=60, deadline=None)
def test_label_that_is_no_word_is_always_found(connection: duckdb.DuckDBPyConnection, cells: list[str]) -> None:
    cells = [cell.replace("\x00", "") for cell in cells]
    known = {"1": True, "0": False, "": None}
    for cell, (value, reason) in zip(cells, read(connection, "label", texts(*cells)), strict=True):
        if reason is None:
            assert value in (True, False, None)
        if cell in known:
            assert (value, reason) == (known[cell], None)
        elif cell.isalpha() and cell.lower() not in ("true", "false"):
            assert reason == "unknown_label"


def test_declared_numbers(connection: duckdb.DuckDBPyConnection) -> None:
    bad = "number_not_a_number"
    found = read(connection, "number", texts("1.5", "-2e3", "", "nan", None, "abc", "inf", "1_0", "1e999"))
    assert found[:5] == [(1.5, None), (-2000.0, None), (None, None), (None, None), (None, None)]
    assert found[5:] == [(None, bad)] * 4
    assert read(connection, "number", pa.array([1.5, math.nan, math.inf])) == [(1.5, None), (None, None), (None, bad)]
    assert read(connection, "number", pa.array([1e300, -1e29])) == [(None, "number_out_of_range"), (-1e29, None)]
    assert read(connection, "number", pa.array([True, False])) == [(1.0, None), (0.0, None)]


def test_ids_keep_their_text(connection: duckdb.DuckDBPyConnection) -> None:
    assert [value for value, _ in read(connection, "id", texts("007", " A1 ", ""))] == ["007", "A1", None]
    assert [value for value, _ in read(connection, "id", pa.array([596.0, math.nan, 0.5]))] == ["596", None, "0.5"]
    assert [value for value, _ in read(connection, "id", pa.array([2**64 - 1], pa.uint64()))] == [str(2**64 - 1)]
