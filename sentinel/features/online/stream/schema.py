"""The events of a stream, one JSON object each, checked field by field before anything believes them.

    {"type": "transaction", "transaction_id": 7, "event_timestamp": "2026-03-01T12:00:00Z", "customer_id": 1,
     "merchant_id": 2, "amount_minor": 1999}
    {"type": "label", "transaction_id": 7, "is_fraud": true, "label_available_at": "2026-03-05T09:00:00+01:00"}

A transaction has the contract's columns; `recorded_at` where it is mapped, declared columns if the sender likes (no
aggregate is made of them), its label when it is known already. A label speaks of every version of its transaction,
or, with `recorded_at`, of that one.
"""

# what msgspec builds at run time carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple

import msgspec

KeyType = Literal["int64", "string"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_LONGEST_LINE = 1_000_000
_INT64: Any = Annotated[int, msgspec.Meta(ge=-(2**63), le=2**63 - 1)]
_MOMENT: Any = Annotated[datetime, msgspec.Meta(tz=True)]
_TYPES: dict[KeyType, Any] = {"int64": _INT64, "string": str}


class Transaction(NamedTuple):
    """One version of a transaction. `recorded_us`: 0 where arrivals are not mapped; `keys`: as `Fields.keys`."""

    transaction_id: int | str
    recorded_us: int
    happened_us: int
    keys: tuple[int | str | None, ...]
    amount: int
    is_fraud: bool | None
    available_us: int | None


class Label(NamedTuple):
    """`recorded_us`: of the version that is meant; None: of every version."""

    transaction_id: int | str
    recorded_us: int | None
    is_fraud: bool
    available_us: int | None


class Rejected(NamedTuple):
    reason: str


Event = Transaction | Label


@dataclass(frozen=True)
class Fields:
    """Which fields an event has. `keys`: every entity column of the data, customer_id first."""

    transaction_id: KeyType
    keys: Mapping[str, KeyType]
    numeric: Sequence[str] = ()
    categorical: Sequence[str] = ()
    has_recorded_at: bool = False
    has_label_available_at: bool = False


class EventSchema:
    """Reads lines into events."""

    def __init__(self, fields: Fields) -> None:
        self._has_recorded_at = fields.has_recorded_at
        transaction, label = _transaction(fields), _label(fields)
        self._decode: Callable[[bytes], Any] = msgspec.json.Decoder(transaction | label).decode
        self._label = label
        columns = tuple(fields.keys)
        if len(columns) == 1:
            only = attrgetter(columns[0])
            self._keys: Callable[[Any], tuple[Any, ...]] = lambda event: (only(event),)
        else:
            self._keys = attrgetter(*columns)

    def read(self, line: bytes, limit_us: int) -> Event | Rejected:
        """One event, or why the line is none. No transaction can lie after `limit_us`."""
        if len(line) > _LONGEST_LINE:
            return Rejected(f"the line has {len(line):,} bytes; an event has at most {_LONGEST_LINE:,}")
        try:
            event = self._decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            return Rejected(str(error))
        if type(event) is self._label:
            recorded = event.recorded_at if self._has_recorded_at else None
            return Label(
                event.transaction_id, _us_or_none(recorded), event.is_fraud, _us_or_none(event.label_available_at)
            )
        happened = moment_us(event.event_timestamp)
        recorded = moment_us(event.recorded_at) if self._has_recorded_at else 0
        if max(happened, recorded) > limit_us:
            name = "event_timestamp" if happened >= recorded else "recorded_at"
            return Rejected(f"{name} lies in the future: {getattr(event, name).isoformat()}")
        return Transaction(
            event.transaction_id, recorded, happened, self._keys(event), event.amount_minor, event.is_fraud,
            _us_or_none(event.label_available_at),
        )  # fmt: skip


def moment_us(moment: datetime) -> int:
    return (moment - _EPOCH) // _MICROSECOND


def _us_or_none(moment: datetime | None) -> int | None:
    return None if moment is None else moment_us(moment)


def _transaction(fields: Fields) -> type:
    """customer_id is never null; another entity may be unknown, but its field must be there."""
    arrival: list[Any] = [("recorded_at", _MOMENT)] if fields.has_recorded_at else []
    keys: list[Any] = [
        (name, _TYPES[kind] if name == "customer_id" else _TYPES[kind] | None) for name, kind in fields.keys.items()
    ]
    declared: list[Any] = [(name, float | None, None) for name in fields.numeric]
    declared += [(name, str | None, None) for name in fields.categorical]
    return _struct(
        "transaction",
        [
            ("transaction_id", _TYPES[fields.transaction_id]), ("event_timestamp", _MOMENT), *arrival, *keys,
            ("amount_minor", _INT64), ("is_fraud", bool | None, None), ("label_available_at", _MOMENT | None, None),
            *declared,
        ],
    )  # fmt: skip


def _label(fields: Fields) -> type:
    version: list[Any] = [("recorded_at", _MOMENT | None, None)] if fields.has_recorded_at else []
    known: Any = _MOMENT if fields.has_label_available_at else _MOMENT | None
    default = () if fields.has_label_available_at else (None,)
    return _struct(
        "label",
        [
            ("transaction_id", _TYPES[fields.transaction_id]),
            ("is_fraud", bool),
            ("label_available_at", known, *default),
            *version,
        ],
    )


def _struct(kind: str, fields: list[Any]) -> type:
    return msgspec.defstruct(
        kind.capitalize(), fields, tag=kind, tag_field="type", forbid_unknown_fields=True, kw_only=True, gc=False
    )
