"""What the features of a small table must be, counted row by row in plain Python from the rules of time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

LARGEST = 2**63 - 1
MICROSECOND = timedelta(microseconds=1)
DAY = timedelta(days=1)
WINDOWS = {"1h": timedelta(hours=1), "1d": DAY, "7d": 7 * DAY, "30d": 30 * DAY}
TTL = 30 * DAY


@dataclass(frozen=True)
class Spoken:
    """One version of a transaction: what it says, from when, until when."""

    key: Any
    value: int
    since: datetime
    until: datetime | None

    def speaks_at(self, moment: datetime) -> bool:
        return self.since <= moment and (self.until is None or moment < self.until)


def expected(rows: list[dict[str, Any]], *, lag: timedelta, label_delay: timedelta) -> list[dict[str, int | None]]:
    """For each transaction its aggregates and ages, in the order of `scored(rows)`."""
    entities = [entity for entity in ("customer", "merchant") if f"{entity}_id" in rows[0]]
    asked = scored(rows)
    answers: list[dict[str, int | None]] = [{} for _ in asked]
    for entity in entities:
        for kind, find in (("spending", _amounts), ("labels", _labels)):
            spoken = [said for said in find(rows, f"{entity}_id", lag, label_delay) if said.key is not None]
            spoken = [said for said in spoken if said.until is None or said.since < said.until]
            for row, answer in zip(asked, answers, strict=True):
                mine = [said for said in spoken if said.key == row[f"{entity}_id"]]
                answer |= _as_of(_asked_at(row, rows, lag), mine, entity, kind)
    return answers


def scored(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each transaction once: its first version, with the label that its last labelled version has."""
    if "recorded_at" not in rows[0]:
        return rows
    found: list[dict[str, Any]] = []
    for row in rows:
        versions = [other for other in rows if other["transaction_id"] == row["transaction_id"]]
        versions.sort(key=lambda version: version["recorded_at"])
        if row is versions[0]:
            label = next((said for said in reversed(versions) if said["is_fraud"] is not None), row)
            at = "label_available_at"
            time = {at: label[at] if label[at] is not None else row[at]} if at in row else {}
            found.append({**row, "is_fraud": label["is_fraud"], **time})
    return found


def _asked_at(row: dict[str, Any], rows: list[dict[str, Any]], lag: timedelta) -> datetime:
    """When it happened; just before any version of it was known, should that come earlier."""
    own = [other for other in rows if other["transaction_id"] == row["transaction_id"]]
    return min([row["event_timestamp"], *(_known(other, lag) - MICROSECOND for other in own)])


def _known(row: dict[str, Any], lag: timedelta) -> datetime:
    return max(row.get("recorded_at", row["event_timestamp"]), row["event_timestamp"]) + lag


def _as_of(event: datetime, spoken: list[Spoken], entity: str, kind: str) -> dict[str, int | None]:
    moments = [said.since for said in spoken]
    moments += [said.until for said in spoken if said.until is not None and said.until < said.since + TTL]
    past = [moment for moment in moments if moment <= event]
    last = max(past, default=None)
    if last is not None and event - last > TTL:
        last = None
    answer: dict[str, int | None] = {f"{entity}_{kind}_age_us": None if last is None else (event - last) // MICROSECOND}
    names = ["1h", "1d", "7d", "30d"] if (entity, kind) == ("customer", "spending") else ["1d", "7d", "30d"]
    for name in names:
        alive = (
            []
            if last is None
            else [said.value for said in spoken if said.speaks_at(last) and said.since > last - WINDOWS[name]]
        )
        found: dict[str, int | None]
        if kind == "labels":
            found = {"label_count": len(alive), "fraud_count": sum(alive)}
        else:
            found = {"count": len(alive), "amount_sum": max(-LARGEST, min(LARGEST, sum(alive)))}
            if entity == "customer":
                found["amount_sum_of_squares"] = min(LARGEST, sum(value * value for value in alive))
                found["amount_max"] = max(alive, default=None)
        answer |= {f"{entity}_{what}_{name}": None if last is None else value for what, value in found.items()}
    return answer


def _versions(rows: list[dict[str, Any]], lag: timedelta) -> Iterator[tuple[dict[str, Any], datetime, datetime | None]]:
    """Each row with the moment it became knowable and the first at which a later version was."""

    for row in rows:
        later = [
            other
            for other in rows
            if "recorded_at" in row
            and other["transaction_id"] == row["transaction_id"]
            and other["recorded_at"] > row["recorded_at"]
        ]
        yield row, _known(row, lag), min((_known(other, lag) for other in later), default=None)


def _amounts(rows: list[dict[str, Any]], key: str, lag: timedelta, label_delay: timedelta) -> Iterator[Spoken]:
    for row, since, until in _versions(rows, lag):
        yield Spoken(row[key], row["amount_minor"], since, until)


def _labels(rows: list[dict[str, Any]], key: str, lag: timedelta, label_delay: timedelta) -> Iterator[Spoken]:
    for row, since, until in _versions(rows, lag):
        arrived = row.get("label_available_at", row["event_timestamp"] + label_delay)
        if row["is_fraud"] is not None and arrived is not None:
            yield Spoken(row[key], int(row["is_fraud"]), max(arrived, since), until)
