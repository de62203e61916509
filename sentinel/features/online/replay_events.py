"""The events of a table's last days, as a bank's systems would have sent them, in the order of their arrival."""

# duckdb carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import msgspec

from sentinel.errors import RecordInvalid
from sentinel.features.online.stream.admission import admit
from sentinel.features.online.stream.base import Base
from sentinel.features.online.stream.engine import Engine
from sentinel.features.online.stream.journal import Journal
from sentinel.features.online.stream.schema import EventSchema, Fields
from sentinel.features.spec import FeatureSet, microseconds
from sentinel.features.sql_text import literal, quoted

_BATCH = 2_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_NO_LIMIT = 2**63 - 1


class Sent(NamedTuple):
    arrived_us: int
    line: bytes


class Feed:
    """Hands the events on in micro-batches, through the strict schema and the journal, each before it is knowable."""

    def __init__(
        self, database: duckdb.DuckDBPyConnection, base: Base, wanted: FeatureSet, fields: Fields, start_us: int
    ) -> None:
        self._schema = EventSchema(fields)
        self._wanted = wanted
        self._sent = sent_events(database, base.file, wanted, tuple(fields.keys), start_us)
        self._next = next(self._sent, None)
        self._batch = 0

    def take_until(self, moment_us: int, journal: Journal, engine: Engine) -> None:
        """Hand on every event that had arrived by then, and some that come after it: they wait for their moment."""
        while self._next is not None and self._next.arrived_us <= moment_us:
            lines: list[bytes] = []
            while self._next is not None and len(lines) < _BATCH:
                lines.append(self._next.line)
                self._next = next(self._sent, None)
            self._take(lines, journal, engine)

    def _take(self, lines: Sequence[bytes], journal: Journal, engine: Engine) -> None:
        events = [self._schema.read(line, _NO_LIMIT) for line in lines]
        admitted = admit(journal, events, has_label_available_at=self._wanted.has_label_available_at)
        for place, reason in admitted.rejected.items():
            raise RecordInvalid(f"The replay's own event {lines[place].decode()} was rejected: {reason}.")
        self._batch += 1
        with journal.transaction():
            admitted.store(journal, self._batch)
        admitted.announce(engine)


def asked_moment(file: Path, wanted: FeatureSet) -> str:
    """SQL of transaction_id and at_us, the moment as of which its features are asked: its event, or before its own."""
    happened = "epoch_us(event_timestamp)"
    source = f"read_parquet({literal(str(file))})"
    if not wanted.has_recorded_at:
        return f"SELECT transaction_id, {happened} AS at_us FROM {source}"
    before = microseconds(wanted.ingestion_lag) - 1
    known = f"greatest(epoch_us(recorded_at), {happened})"
    return (
        f"SELECT transaction_id, least(arg_min({happened}, recorded_at), min({known}) + {before}) AS at_us "
        f"FROM {source} GROUP BY transaction_id"
    )


def sent_events(
    database: duckdb.DuckDBPyConnection, file: Path, wanted: FeatureSet, keys: Sequence[str], start_us: int
) -> Iterator[Sent]:
    """Transactions when they were recorded, labels when they came, those of the start's past left out."""
    happened = "epoch_us(event_timestamp)"
    recorded = "epoch_us(recorded_at)" if wanted.has_recorded_at else happened
    label = (
        "epoch_us(label_available_at)"
        if wanted.has_label_available_at
        else f"{happened} + {microseconds(wanted.label_delay)}"
    )
    entities = ", ".join(map(quoted, keys))
    known = f"greatest({recorded}, {happened})"
    source = f"FROM read_parquet({literal(str(file))})"
    found = database.cursor().execute(
        f"SELECT {known} AS arrived, 0 AS kind, transaction_id, {happened} AS happened, {recorded} AS recorded, "
        f"amount_minor, NULL AS is_fraud, NULL AS label_at, {entities} {source} WHERE {known} > {start_us} "
        f"UNION ALL SELECT greatest({label}, {known}), 1, transaction_id, {happened}, {recorded}, amount_minor, "
        f"is_fraud, {label}, {entities} {source} WHERE is_fraud IS NOT NULL AND {label} IS NOT NULL "
        f"AND greatest({label}, {known}) > {start_us} ORDER BY 1, 2, 3, 5"
    )
    encode = msgspec.json.Encoder().encode
    while rows := found.fetchmany(_BATCH):
        for row in rows:
            yield Sent(row[0], encode(_event(row, wanted, keys)))


def _event(row: tuple[Any, ...], wanted: FeatureSet, keys: Sequence[str]) -> dict[str, Any]:
    _, kind, transaction_id, happened, recorded, amount, is_fraud, label_at = row[:8]
    event: dict[str, Any] = {"type": "label" if kind else "transaction", "transaction_id": transaction_id}
    if wanted.has_recorded_at:
        event["recorded_at"] = _moment(recorded)
    if kind:
        return {**event, "is_fraud": is_fraud, "label_available_at": _moment(label_at)}
    event["event_timestamp"] = _moment(happened)
    return {**event, "amount_minor": amount, **dict(zip(keys, row[8:], strict=True))}


def _moment(microseconds_since_1970: int) -> datetime:
    return _EPOCH + microseconds_since_1970 * _MICROSECOND
