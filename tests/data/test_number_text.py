"""Amounts and numbers in the separators of their country, each compared with what was written."""

from __future__ import annotations

from decimal import Decimal

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from sentinel.config import Source
from tests.data.test_readings import connection, read, texts

__all__ = ["connection"]

US = Source(thousands_separator=",")
GERMAN = Source(decimal_separator=",", thousands_separator=".", currency_signs=("€", "EUR"))
FRENCH = Source(decimal_separator=",", thousands_separator=" ")
SWISS = Source(thousands_separator="'", currency_signs=("CHF", "Fr."))
COMMA = Source(decimal_separator=",")
NO_NUMBER = (None, "amount_not_a_number")
AMBIGUOUS = (None, "amount_ambiguous")


@pytest.mark.parametrize(
    ("source", "text", "minor"),
    [
        (US, "1,234.56", 123_456),
        (US, "1234.56", 123_456),
        (US, "1,234,567.8", 123_456_780),
        (US, "1,234", 123_400),
        (US, "0.125", 12),
        (US, "1,234.567", 123_457),
        (GERMAN, "1.234,56 €", 123_456),
        (GERMAN, "EUR 1.234", 123_400),
        (GERMAN, "-12,5 eur", -1250),
        (GERMAN, "€ -12,50", -1250),
        (GERMAN, "(12,50 €)", -1250),
        (GERMAN, "12,50- €", -1250),
        (FRENCH, "1 234,56", 123_456),
        (FRENCH, "1\u202f234,56", 123_456),
        (FRENCH, "1\u00a0234", 123_400),
        (SWISS, "1'234.50", 123_450),
        (SWISS, "1\u2019234.50 CHF", 123_450),
        (SWISS, "Fr. -5", -500),
        (COMMA, "12,34", 1234),
        (Source(), "12.50-", -1250),
        (Source(), "(12.50)", -1250),
        (Source(), "\u221212.50", -1250),
    ],
)
def test_amount_in_its_countrys_way(
    connection: duckdb.DuckDBPyConnection, source: Source, text: str, minor: int
) -> None:
    assert read(connection, "amount", texts(text), source) == [(minor, None)]


@pytest.mark.parametrize(
    ("source", "text", "expected"),
    [
        (US, "1,23", NO_NUMBER),
        (US, "12,34.5", NO_NUMBER),
        (US, "1,2345", NO_NUMBER),
        (US, "1.234", AMBIGUOUS),
        (US, "$5", NO_NUMBER),
        (GERMAN, "1.23", NO_NUMBER),
        (GERMAN, "1,234", AMBIGUOUS),
        (GERMAN, "1,234.56", NO_NUMBER),
        (GERMAN, "5 USD", NO_NUMBER),
        (GERMAN, "€", NO_NUMBER),
        (FRENCH, "1.5", NO_NUMBER),
        (FRENCH, "12 34", NO_NUMBER),
        (COMMA, "1.234,56", NO_NUMBER),
        (Source(), "--5", NO_NUMBER),
        (Source(), "(5-)", NO_NUMBER),
        (Source(), "()", NO_NUMBER),
    ],
)
def test_amount_that_does_not_fit_is_set_aside(
    connection: duckdb.DuckDBPyConnection, source: Source, text: str, expected: tuple[None, str]
) -> None:
    assert read(connection, "amount", texts(text), source) == [expected]


def test_three_decimals_are_no_doubt_where_the_currency_has_them(connection: duckdb.DuckDBPyConnection) -> None:
    dinar = Source(decimal_separator=",", minor_digits=3)
    assert read(connection, "amount", texts("1,234"), dinar) == [(1234, None)]


@given(
    st.lists(st.decimals(-(10**12), 10**12, places=2), max_size=20),
    st.sampled_from([(",", "."), (".", ","), (" ", ","), ("'", "."), ("", ",")]),
    st.sampled_from(["", "€", "EUR "]),
    st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_every_written_amount_reads_back(
    connection: duckdb.DuckDBPyConnection, amounts: list[Decimal], marks: tuple[str, str], sign: str, grouped: bool
) -> None:
    thousands, decimal = marks
    source = Source.model_validate({
        "decimal_separator": decimal, "thousands_separator": thousands, "currency_signs": ["€", "EUR"]
    })  # fmt: skip

    def written(amount: Decimal) -> str:
        plain = f"{abs(amount):,.2f}" if grouped and thousands else f"{abs(amount):.2f}"
        turned = plain.replace(",", "\0").replace(".", decimal).replace("\0", thousands)
        return f"{'-' if amount < 0 else ''}{sign}{turned}"

    found = read(connection, "amount", texts(*map(written, amounts)), source)
    assert found == [(int(amount.scaleb(2)), None) for amount in amounts]


def test_declared_numbers_have_the_same_separators(connection: duckdb.DuckDBPyConnection) -> None:
    found = read(connection, "number", texts("1.234,5", "0,125", "1,234", "1.5", "nan", ""), GERMAN)
    bad = (None, "number_not_a_number")
    assert found == [(1234.5, None), (0.125, None), (1.234, None), bad, (None, None), (None, None)]


def test_typed_numbers_know_no_separators(connection: duckdb.DuckDBPyConnection) -> None:
    assert read(connection, "amount", pa.array([1.25, 1234.567]), GERMAN) == [(125, None), (123_457, None)]


def test_words_for_nothing_are_nothing_in_every_column_but_the_label(connection: duckdb.DuckDBPyConnection) -> None:
    source = Source(missing_words=("k.A.", "N/A"))
    assert read(connection, "category", texts("K.A.", " n/a ", "x"), source) == [
        (None, None),
        (None, None),
        ("x", None),
    ]
    assert read(connection, "id", texts("N/A"), source, is_key=True) == [(None, "null_key")]
    assert read(connection, "number", texts("n/a"), source) == [(None, None)]
    assert read(connection, "time", texts("n/a"), source) == [(None, None)]
    assert read(connection, "label", texts("n/a"), source) == [(None, "unknown_label")]


def test_separators_must_differ() -> None:
    with pytest.raises(ValidationError, match="both ','"):
        Source(decimal_separator=",", thousands_separator=",")
    with pytest.raises(ValidationError, match="currency_signs"):
        Source(currency_signs=("5",))
