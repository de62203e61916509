"""Hard cases made by hand: payments that the audit adds to what it builds on every run, and what it asks about them.

Keys and transaction ids are written as small numbers here; a tag turns them into ones that the data do not have.
"""

# pyarrow carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingTypeArgument=false

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from zoneinfo import ZoneInfo

import pyarrow as pa
from pyarrow import types

from sentinel.features.audit.oracle import positions
from sentinel.features.spec import FeatureSet

Tag = Callable[[str, int], int | str]  # column, number -> key

LOCAL_ZONE = "Europe/Berlin"  # in which the questions give their moments

_START = datetime(2025, 6, 2, 12, tzinfo=UTC)
_MICROSECOND, _SECOND = timedelta(microseconds=1), timedelta(seconds=1)
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_LARGEST = 2**63 - 1
_ROOT = 3_037_000_500  # its square is just beyond int64
_NUMBERS = 3000  # those below are smaller


@dataclass(frozen=True)
class Probes:
    """`questions`: the key columns and event_timestamp; `cases`: the name of the case of each question."""

    transactions: pa.Table
    questions: pa.Table
    cases: tuple[str, ...]


@dataclass(frozen=True)
class _Payment:
    number: int
    at: datetime
    customer: int | None
    merchant: int | None
    amount: int = 1000
    fraud: bool | None = False
    label_at: datetime | None = None
    recorded_at: datetime | None = None  # None: when it happened


@dataclass(frozen=True)
class _Question:
    at: datetime
    customer: int | None
    merchant: int | None


_Case = tuple[str, list[_Payment], list[_Question]]


def make_probes(wanted: FeatureSet, schema: pa.Schema, tag: Tag) -> Probes:
    """Payments in the columns of `schema`, that of transactions.parquet, and questions about their keys."""
    cases = list(_cases(wanted))
    payments = [payment for _, made, _ in cases for payment in made]
    questions = [(name, question) for name, _, asked in cases for question in asked]
    keys = {name: _tagged([question for _, question in questions], schema.field(name), tag) for name in wanted.keys}
    moments = pa.array([question.at.astimezone(UTC) for _, question in questions], pa.timestamp("us", LOCAL_ZONE))
    return Probes(
        transactions=_transactions(payments, {*wanted.keys, "customer_id", "merchant_id"}, schema, tag),
        questions=pa.table({**keys, "event_timestamp": moments}),
        cases=tuple(name for name, _ in questions),
    )


def free_tag(source: pa.Table, wanted: FeatureSet) -> Tag:
    """Keys and transaction ids that `source` does not have, for every number of a probe.

    The number stands last in a key, and first in the second key of a pair: (1, 23) and (12, 3) still read alike when
    one is written behind the other.
    """
    tags = (_salted(source.schema, wanted, salt) for salt in count(710_000_017))
    columns = ("transaction_id", *wanted.keys)
    return next(tag for tag in tags if all(_is_free(source[column], column, tag) for column in columns))


def _salted(schema: pa.Schema, wanted: FeatureSet, salt: int) -> Tag:
    seconds = {key for view in wanted.views for key in view.keys[1:]}

    def tag(column: str, number: int) -> int | str:
        is_number = types.is_int64(schema.field(column).type)
        before, after = (f"{salt}", f"{salt}") if is_number else (f"probe-{salt}-", f"-{salt}-probe")
        key = f"{number}{after}" if column in seconds else f"{before}{number}"
        return int(key) if is_number else key

    return tag


def _is_free(column: pa.ChunkedArray, name: str, tag: Tag) -> bool:
    taken = pa.array([tag(name, number) for number in range(_NUMBERS)], column.type)
    return bool((positions(column, pa.chunked_array([taken])) < 0).all())


def _transactions(payments: list[_Payment], keys: set[str], schema: pa.Schema, tag: Tag) -> pa.Table:
    """In the order of ingestion; what is no key and decides no feature is null."""
    payments = sorted(payments, key=lambda payment: (payment.at, payment.number, payment.recorded_at or payment.at))
    values: dict[str, list[Any]] = {
        "transaction_id": [tag("transaction_id", payment.number) for payment in payments],
        "event_timestamp": [payment.at for payment in payments],
        "recorded_at": [payment.recorded_at or payment.at for payment in payments],
        "amount_minor": [payment.amount for payment in payments],
        "is_fraud": [payment.fraud for payment in payments],
        "label_available_at": [payment.label_at for payment in payments],
    }
    columns: list[pa.Array] = []
    for field in schema:
        if field.name in values:
            columns.append(pa.array(values[field.name], field.type))
        elif field.name in keys:
            columns.append(_tagged(payments, field, tag))
        else:
            columns.append(pa.nulls(len(payments), field.type))
    return pa.table(columns, schema=schema)


def _tagged(rows: list[_Payment] | list[_Question], field: pa.Field, tag: Tag) -> pa.Array:
    """Further entities go with the customer."""
    numbers = [row.merchant if field.name == "merchant_id" else row.customer for row in rows]
    return pa.array([None if number is None else tag(field.name, number) for number in numbers], field.type)


def _cases(wanted: FeatureSet) -> Iterator[_Case]:
    """Each with transaction numbers and keys of its own."""
    known = wanted.ingestion_lag  # after a payment
    yield _colliding_keys()
    yield _same_moment(known)
    yield _null_and_unknown_keys()
    yield _huge_amounts()
    yield _clock_changes()
    yield _window_ends(wanted)
    yield _ends_of_ttl(wanted)
    yield _labels(wanted)
    if wanted.has_recorded_at:
        yield _corrections(wanted)


def _colliding_keys() -> _Case:
    made = [_Payment(10, _START, 1, 23), _Payment(11, _START + _SECOND, 12, 3), _Payment(12, _START + _HOUR, 1, 23)]
    asked = [_Question(_START + 2 * _HOUR, customer, merchant) for customer in (1, 12) for merchant in (23, 3)]
    return "colliding keys", made, asked


def _same_moment(known: timedelta) -> _Case:
    """Three payments at one microsecond, a fourth later in the same second; a question asked three times."""
    made = [_Payment(20 + number, _START, 20, 20 + number % 2, 100 * number) for number in range(3)]
    made.append(_Payment(23, _START + 7 * _MICROSECOND, 20, 20))
    moments = [known - _MICROSECOND, known, known + 7 * _MICROSECOND, _HOUR, _HOUR, _HOUR]
    return "same second and same question", made, [_Question(_START + after, 20, 20) for after in moments]


def _null_and_unknown_keys() -> _Case:
    made = [_Payment(30, _START, 30, None), _Payment(31, _START, None, 30), _Payment(32, _START + _HOUR, 30, 30)]
    keys = [(30, None), (None, 30), (None, None), (30, 39), (39, 30), (39, 39)]  # 39 never pays
    asked = [_Question(_START + 3 * _HOUR, *pair) for pair in keys]
    return "null and unknown keys", made, [*asked, _Question(_START - _DAY, 30, 30)]


def _huge_amounts() -> _Case:
    amounts = [_LARGEST, _LARGEST, -_LARGEST, -_LARGEST, -_LARGEST, _ROOT - 1, _ROOT]
    moments = [_START + each * 2 * _DAY for each in range(len(amounts))]
    made = [
        _Payment(40 + each, at, 40, 40, amount, label_at=at)
        for each, (at, amount) in enumerate(zip(moments, amounts, strict=True))
    ]
    return "huge amounts", made, [_Question(payment.at + _HOUR, 40, 40) for payment in made]


def _clock_changes() -> _Case:
    """Local times around the hours that are skipped or come twice; the second half past two is an hour later."""
    berlin, new_york = ZoneInfo(LOCAL_ZONE), ZoneInfo("America/New_York")
    moments = [
        datetime(2025, 3, 30, 1, 59, 59, tzinfo=berlin),
        datetime(2025, 3, 30, 3, tzinfo=berlin),
        datetime(2025, 10, 26, 2, 30, tzinfo=berlin),
        datetime(2025, 10, 26, 2, 30, fold=1, tzinfo=berlin),
        datetime(2025, 3, 9, 1, 59, 59, tzinfo=new_york),
        datetime(2025, 3, 9, 3, tzinfo=new_york),
        datetime(2025, 11, 2, 1, 30, tzinfo=new_york),
        datetime(2025, 11, 2, 1, 30, fold=1, tzinfo=new_york),
    ]
    instants = [moment.astimezone(UTC) for moment in moments]
    made = [_Payment(50 + number, at, 50, 50) for number, at in enumerate(instants)]
    asked = [_Question(at + after, 50, 50) for at in instants for after in (timedelta(0), _HOUR)]
    return "changes of the clock", made, asked


def _window_ends(wanted: FeatureSet) -> _Case:
    """Of two payments just a window apart the first has left it; a microsecond less, and it is still in."""
    lengths = sorted({aggregate.window for view in wanted.views for aggregate in view.aggregates})
    made: list[_Payment] = []
    asked: list[_Question] = []
    for length in lengths:
        for apart in (length - _MICROSECOND, length):
            number = 2000 + len(made)
            pair = [_Payment(number + place, at, number, number) for place, at in enumerate((_START, _START + apart))]
            made += pair
            asked.append(_Question(_START + apart + wanted.ingestion_lag, number, number))
    return "ends of windows", made, asked


def _ends_of_ttl(wanted: FeatureSet) -> _Case:
    """A value is given up to its ttl after it became knowable, and no microsecond longer."""
    made = [_Payment(300, _START, 300, 300, label_at=_START + _DAY)]
    labelled = _DAY if wanted.has_label_available_at else max(wanted.label_delay, wanted.ingestion_lag)
    knowable = {"spending": wanted.ingestion_lag, "labels": max(labelled, wanted.ingestion_lag)}
    last_moments = {_START + knowable[view.kind] + view.ttl for view in wanted.views}
    asked = [_Question(at + after, 300, 300) for at in sorted(last_moments) for after in (timedelta(0), _MICROSECOND)]
    return "ends of the ttl", made, asked


def _labels(wanted: FeatureSet) -> _Case:
    """Before the payment itself, late, never, unknown, and two at one moment; or all after the label delay.

    The fraud that is known last is the earliest that a window holds, and the largest amounts are frauds.
    """
    late = _START + 40 * _DAY
    made = [
        _Payment(400, _START, 400, 400, fraud=True, label_at=_START - _DAY),
        _Payment(401, _START, 400, 400, 9000, fraud=True, label_at=late),
        _Payment(402, _START, 400, 400, fraud=True, label_at=None),
        _Payment(403, _START, 400, 400, fraud=None, label_at=_START + _HOUR),
        _Payment(404, _START + _DAY, 400, 400, fraud=False, label_at=late),
        _Payment(405, _START + 12 * _DAY, 400, 400, 8000, fraud=True, label_at=_START + 13 * _DAY),
        _Payment(406, _START + 12 * _DAY, 400, 400, -30, fraud=False, label_at=_START + 13 * _DAY),
    ]
    early, delayed = _START + wanted.ingestion_lag, _START + max(wanted.label_delay, wanted.ingestion_lag)
    between = _START + 20 * _DAY
    moments = [at + after for at in (early, delayed, between, late) for after in (-_MICROSECOND, timedelta(0))]
    return "labels early, late and never", made, [_Question(at, 400, 400) for at in moments]


def _corrections(wanted: FeatureSet) -> _Case:
    """Of amount (twice), customer, merchant, moment and label; one arrives before its payment, one after the ttl.

    What was known as a fraud becomes genuine, and the other way round.
    """
    known = wanted.ingestion_lag
    judged_anew = max(wanted.label_delay, 2 * _DAY) + _DAY

    def first(number: int) -> _Payment:
        return _Payment(number, _START, number, 500, label_at=_START + 2 * _DAY)

    def again(number: int, arrives: timedelta, **changed: Any) -> _Payment:
        return replace(first(number), recorded_at=_START + arrives, **changed)

    made = [
        *(first(number) for number in range(500, 509)),
        again(500, _HOUR, amount=7),
        again(500, 26 * _HOUR, amount=70, fraud=True),
        again(501, _HOUR, customer=502),
        again(503, _HOUR, merchant=501),
        again(504, _HOUR, at=_START + 2 * _HOUR, amount=8),
        again(505, -_HOUR, amount=9),
        again(506, 3 * _DAY, fraud=None),
        again(507, 41 * _DAY, amount=11, customer=502),
        again(508, _HOUR, at=_START + 10 * _HOUR, amount=2),  # replaced before it is knowable
        again(508, 2 * _HOUR, amount=4),
        replace(first(509), fraud=True),
        again(509, judged_anew, fraud=False),
        replace(first(510), amount=-5),
        again(510, judged_anew, fraud=True),
    ]
    moments = [known - _MICROSECOND, known, _HOUR + known - _MICROSECOND, _HOUR + known, 3 * _HOUR, 27 * _HOUR]
    asked = [_Question(_START + after, customer, 500) for customer in range(500, 509) for after in moments]
    asked += [_Question(_START + after, customer, 501) for customer in (503, 506) for after in (2 * _HOUR, 4 * _DAY)]
    asked += [_Question(_START + 41 * _DAY + known, customer, 500) for customer in (502, 507)]
    of_labels = [judged_anew - _HOUR, judged_anew + known - _MICROSECOND, judged_anew + known]
    asked += [_Question(_START + after, customer, 500) for customer in (509, 510) for after in of_labels]
    for number, ttl in enumerate(sorted({view.ttl for view in wanted.views}), 520):
        # taken back just as it leaves the last window, or just before: only then is that an event
        for moved, arrives in ((2 * number, ttl), (2 * number + 1, ttl - _MICROSECOND)):
            made += [first(moved), again(moved, arrives, customer=502)]
            asked.append(_Question(_START + ttl + known, moved, 500))
    return "corrections", made, asked
