"""What served when, and why, read from the chain of decisions."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sentinel.errors import DecisionRefused
from sentinel.promotion.entries import Entry, is_about_serving, told

_ZONED = re.compile(r"^(?P<moment>.*\d)\s+(?P<zone>[A-Za-z][\w/+-]*)$")


@dataclass(frozen=True)
class Served:
    """What served at a moment. `entry` made it champion; None: nothing served. `note`: what makes it doubtful."""

    at: datetime
    entry: Entry | None
    note: str | None

    @property
    def sentence(self) -> str:
        when = f"{self.at:%Y-%m-%d %H:%M:%S} UTC"
        if self.entry is None or self.entry["champion_after"] is None:
            why = f", since the champion was taken away {told(self.entry)}" if self.entry else ""
            return f"At {when} no version served{why}.{self._more()}"
        release = self.entry["release"][:16]
        how = self.entry["outcome"].replace("_", " ")
        return (
            f"At {when} version {self.entry['champion_after']} served (release {release}), {how} {told(self.entry)}."
            f"{self._more()}"
        )

    def as_dict(self) -> dict[str, Any]:
        return {
            "at": self.at.isoformat(timespec="seconds"),
            "version": self.entry["champion_after"] if self.entry else None,
            "decision": self.entry,
            "note": self.note,
            "sentence": self.sentence,
        }

    def _more(self) -> str:
        return f" {self.note}" if self.note else ""


def served_at(chain: Sequence[Entry], at: datetime, now: datetime) -> Served:
    """Raises DecisionRefused for a moment that has not come yet."""
    if at > now:
        raise DecisionRefused(f"{at:%Y-%m-%d %H:%M} UTC has not come yet; history speaks of what was.")
    about = [entry for entry in chain if is_about_serving(entry)]
    before = [entry for entry in about if _moment(entry) <= at]
    after = about[len(before) :] if before == about[: len(before)] else [one for one in about if _moment(one) > at]
    return Served(at, before[-1] if before else None, _doubt(after[0]) if after else None)


def parse_moment(text: str) -> datetime:
    """2026-03-03 14:05, with Z, an offset or the name of a zone behind it; without one UTC is meant."""
    found = _ZONED.match(text.strip())
    zone_name, moment = (found["zone"], found["moment"]) if found else ("UTC", text.strip())
    try:
        zone = ZoneInfo(zone_name)
        read = datetime.fromisoformat(moment)
        return (read if read.tzinfo else read.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OSError, OverflowError, KeyError) as error:
        raise DecisionRefused(
            f"{text!r} is no moment. Write it as 2026-03-03 14:05, with a zone behind it (+01:00, Europe/Berlin) when "
            "it is not UTC."
        ) from error


def _moment(entry: Entry) -> datetime:
    return datetime.fromisoformat(entry["decided_at"])


def _doubt(following: Entry) -> str | None:
    """What somebody set by hand served until the guard saw it; nobody knows since when."""
    if following["outcome"] == "put_back" and following.get("put_back_from"):
        hand = following["put_back_from"]
    elif following["outcome"] == "adopted":
        hand = following["champion_after"]
    else:
        return None
    return (
        f"At some time before {following['decided_at']} somebody set version {hand} by hand in MLflow, which then "
        f"served until or beyond that moment ({following['reason']})"
    )
