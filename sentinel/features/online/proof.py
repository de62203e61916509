"""Whether the online store holds what a materialization wrote: sampled rows are read back and compared.

A row that is newer than the table's came with a stream and is no fault; anything else that differs is one.
"""

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel.features.online.rows import Key, OnlineRow, OnlineRows

SAMPLE = "sample.json"
ONLINE = "online.json"

_ABSENT_KEYS = 20


@dataclass(frozen=True)
class Sample:
    """`rows`: of each view (Feast's name), as the table has them; `absent`: keys that no view may know."""

    end_us: int
    rows: Mapping[str, list[OnlineRow]]
    absent: Mapping[str, list[Key]]

    def to_dict(self) -> dict[str, Any]:
        return {"end_us": self.end_us, "rows": dict(self.rows), "absent": dict(self.absent)}

    @classmethod
    def from_dict(cls, stored: dict[str, Any]) -> Sample:
        rows = {
            view: [OnlineRow(tuple(key), moment, tuple(values)) for key, moment, values in found]
            for view, found in stored["rows"].items()
        }
        absent: dict[str, list[Key]] = {view: [tuple(key) for key in keys] for view, keys in stored["absent"].items()}
        return cls(stored["end_us"], rows, absent)

    @property
    def size(self) -> int:
        return sum(map(len, (*self.rows.values(), *self.absent.values())))


@dataclass(frozen=True)
class OnlineState:
    """`reason`: a sentence, whatever the verdict. `mismatches`: of the `sampled` keys."""

    is_online: bool
    reason: str
    sampled: int
    mismatches: int


def subject(feature_set_hash: str) -> str:
    """Of the note that a complete materialization leaves beside the rows."""
    return f"materialized:{feature_set_hash}"


def absent_keys(found: list[OnlineRow], seed: int) -> list[Key]:
    """Keys of the same shape that no data have: other numbers, other words, and a number's digits as a word."""
    drawn = random.Random(seed)  # seeded: the proof is to be the same again
    keys: list[Key] = []
    for row in found[:_ABSENT_KEYS]:
        keys.append(tuple(_other(value, drawn) for value in row.key))
        if all(isinstance(value, int) for value in row.key):
            keys.append(tuple(map(str, row.key)))
    return keys


def find_mismatches(rows: OnlineRows, sample: Sample) -> list[str]:
    """A sentence for each sampled key that the store answers otherwise than the table."""
    expected: list[tuple[str, Key, OnlineRow | None]] = [
        *((view, row.key, row) for view, found in sample.rows.items() for row in found),
        *((view, key, None) for view, keys in sample.absent.items() for key in keys),
    ]
    stored = rows.read([(view, key) for view, key, _ in expected])
    return [
        f"{view} {list(key)}: the table has {_said(wanted)}, the store {_said(held)}"
        for (view, key, wanted), held in zip(expected, stored, strict=True)
        if held != wanted and not _is_newer(held, sample.end_us if wanted is None else wanted.known_at_us)
    ]


def is_online(folder: Path, rows: OnlineRows) -> OnlineState:
    """Whether the store holds, now, the feature set that `folder` (of an OnlineFeatures) says was written.

    Raises ServiceUnavailable when the store does not answer.
    """
    written: dict[str, Any] = json.loads((folder / ONLINE).read_text())
    version = written["feature_set_hash"][:12]
    sample = Sample.from_dict(json.loads((folder / SAMPLE).read_text()))
    noted = rows.noted(subject(written["feature_set_hash"]))
    if not noted or json.loads(noted)["end_us"] < written["end_us"]:
        reason = f"The online store does not hold the feature set {version} up to the end of its data."
        return OnlineState(False, f"{reason} Run `sentinel features materialize`.", 0, 0)
    mismatches = find_mismatches(rows, sample)
    if mismatches:
        reason = f"{len(mismatches)} of {sample.size} sampled keys of {version} differ online, first {mismatches[0]}."
        return OnlineState(False, reason, sample.size, len(mismatches))
    reason = f"The online store holds the feature set {version}: {sample.size} sampled keys are equal to the table."
    return OnlineState(True, reason, sample.size, 0)


def _is_newer(held: OnlineRow | None, moment_us: int) -> bool:
    return held is not None and held.known_at_us > moment_us


def _other(value: int | str, drawn: random.Random) -> int | str:
    noise = drawn.getrandbits(60)
    return -(2**60) - noise if isinstance(value, int) else f"{value}\x1f{noise:x}"


def _said(row: OnlineRow | None) -> str:
    return "no row" if row is None else f"{list(row.values)} as of {row.known_at_us}"
