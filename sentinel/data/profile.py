"""What a table of transactions looks like, in a few numbers a column: the reference that drift is measured against.

Kept as JSON. The same rows give the same bytes: quantiles are values of the table, and one thread adds the floats.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from sentinel.config import Columns
from sentinel.data.table import TransactionTable, is_present, named
from sentinel.errors import RecordInvalid

PROFILE = "profile.json"
LARGEST = 1e150  # number whose square is one; what is beyond, or infinite, has no place in a distribution
STEPS = 1000  # of the quantiles; a distance between two distributions is right to 2 / STEPS
SAMPLED_ROWS = 1_000_000  # for the quantiles; more would not move them by a step
MOST_CATEGORIES = 500
_HOUR_US, _HOURS, _DAYS = 3_600_000_000, 24, 7
_MONDAY = 3  # 1970 began on a Thursday


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Numbers(_Record):
    """`quantiles`: STEPS + 1 values from the least to the greatest; none when no row has a value."""

    null_share: float
    mean: float | None
    std: float | None
    quantiles: tuple[float, ...]


class Categories(_Record):
    """`shares`: of the rows with a value, the largest first, MOST_CATEGORIES at most; `distinct` counts them all."""

    null_share: float
    shares: dict[str, float]
    distinct: int

    @property
    def is_complete(self) -> bool:
        return len(self.shares) == self.distinct


class Profile(_Record):
    """`hours`, `weekdays` (from Monday): shares of the rows, UTC. `fraud_rate`: of the labelled rows."""

    rows: int
    first: datetime | None
    last: datetime | None
    transactions_a_day: float | None
    labelled_share: float | None
    fraud_rate: float | None
    hours: tuple[float, ...]
    weekdays: tuple[float, ...]
    numbers: dict[str, Numbers]
    categories: dict[str, Categories]


def make_profile(
    file: Path, columns: Columns, scratch: Path, *, start: datetime | None = None, end: datetime | None = None
) -> Profile:
    """The profile of the rows with start <= event_timestamp < end. `scratch` takes what does not fit in memory.

    The amount and every declared input that the file has; not keys, and not slices, which may follow the labels.
    """
    with TransactionTable(file, scratch, threads=1) as table:
        within = " AND ".join(_within(start, end)) or "true"
        facts = _facts(table, within)
        return Profile(
            **facts,
            numbers={name: _numbers(table, name, within, facts["rows"]) for name in _inputs(columns, table, "numeric")},
            categories={
                name: _categories(table, name, within, facts["rows"]) for name in _inputs(columns, table, "categorical")
            },
        )


def read_profile(file: Path) -> Profile:
    """Raises RecordInvalid when the file is no profile."""
    try:
        return Profile.model_validate_json(file.read_text())
    except (OSError, ValidationError) as error:
        raise RecordInvalid(f"{file} is no profile of data: {error}. Run again; what made it is made anew.") from error


def _inputs(columns: Columns, table: TransactionTable, kind: str) -> Iterator[str]:
    if kind == "numeric":
        yield "amount_minor"
    declared = columns.numeric if kind == "numeric" else columns.categorical
    yield from (name for name, column in declared.items() if column.use == "input" and name in table.types)


def _within(start: datetime | None, end: datetime | None) -> Iterator[str]:
    for moment, sign in ((start, ">="), (end, "<")):
        if moment is not None:
            yield f"event_timestamp {sign} TIMESTAMPTZ '{moment.astimezone(UTC).isoformat()}'"


def _facts(table: TransactionTable, within: str) -> dict[str, Any]:
    query = (
        "SELECT count(*), min(epoch_us(event_timestamp)), max(epoch_us(event_timestamp)), count(is_fraud), "
        f"count(*) FILTER (WHERE is_fraud) FROM transactions WHERE {within}"
    )
    ((rows, first, last, labelled, frauds),) = table.ask(query)
    hour = f"epoch_us(event_timestamp) // {_HOUR_US}"
    days = max(1.0, (last - first) / (_HOURS * _HOUR_US)) if rows else None
    return {
        "rows": rows,
        "first": _moment(first),
        "last": _moment(last),
        "transactions_a_day": rows / days if days else None,
        "labelled_share": labelled / rows if rows else None,
        "fraud_rate": frauds / labelled if labelled else None,
        "hours": _rhythm(table, f"({hour}) % {_HOURS}", _HOURS, within),
        "weekdays": _rhythm(table, f"(({hour}) // {_HOURS} + {_MONDAY}) % {_DAYS}", _DAYS, within),
    }


def _moment(microseconds: int | None) -> datetime | None:
    return None if microseconds is None else datetime.fromtimestamp(microseconds / 1e6, UTC)


def _rhythm(table: TransactionTable, place: str, places: int, within: str) -> tuple[float, ...]:
    found = dict(table.ask(f"SELECT {place}, count(*) FROM transactions WHERE {within} GROUP BY 1"))
    rows = sum(found.values())
    return tuple(found.get(number, 0) / rows if rows else 0.0 for number in range(places))


def _numbers(table: TransactionTable, name: str, within: str, rows: int) -> Numbers:
    column = named(name)
    present = f"{is_present(name, table.types[name])} AND isfinite({column}::DOUBLE) AND {within}"
    query = f"SELECT count(*), avg({column}), stddev_pop({column}), min({column}), max({column}) FROM transactions"
    ((known, mean, std, least, greatest),) = table.ask(f"{query} WHERE {present}")
    return Numbers(
        null_share=1 - known / rows if rows else 0.0,
        mean=mean,
        std=std,
        quantiles=(float(least), *_inner_quantiles(table, column, present, known), float(greatest)) if known else (),
    )


def _inner_quantiles(table: TransactionTable, column: str, present: str, known: int) -> tuple[float, ...]:
    """Those between the extremes, of every row or of as many evenly spaced ones as suffice."""
    every = -(-known // SAMPLED_ROWS)
    steps = ", ".join(f"{step / STEPS!r}" for step in range(1, STEPS))
    sampled = f"SELECT {column}, row_number() OVER () AS place FROM transactions WHERE {present}"
    found = table.ask_one(f"SELECT quantile_disc({column}, [{steps}]) FROM ({sampled}) WHERE place % {every} = 0")
    return tuple(float(value) for value in found)


def _categories(table: TransactionTable, name: str, within: str, rows: int) -> Categories:
    counts = table.value_counts(name, within)
    known = sum(count for _, count in counts)
    return Categories(
        null_share=1 - known / rows if rows else 0.0,
        shares={value: count / known for value, count in counts[:MOST_CATEGORIES]},
        distinct=len(counts),
    )
