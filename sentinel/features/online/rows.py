"""The latest row of each key, as an online store holds it, and what every such store can do.

A row is kept as one value: its knowable moment (8 bytes that sort as the moment does), a bitmap of the nulls, and
the aggregates as int64, all big-endian. A key is written as JSON, so that (1, 23), (12, 3), ("1", "23") and ("12", "3")
are four keys, that 1 is not "1", and that a person can read it.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from functools import cache
from typing import NamedTuple, Protocol

Key = tuple[int | str, ...]

MOMENT_BYTES = 8

_SIGN = 1 << 63  # added to an int64, so that its bytes sort as the number does
_write_key = json.JSONEncoder(separators=(",", ":")).encode


class OnlineRow(NamedTuple):
    """`key`: the values of the view's key columns; `values`: its aggregates; both in the view's order."""

    key: Key
    known_at_us: int
    values: tuple[int | None, ...]


class OnlineRows(Protocol):
    """A store of the latest row of each view and key. `view` is Feast's name, which ends in the set's short hash.

    Every method raises ServiceUnavailable when the store does not answer.
    """

    def write(self, view: str, rows: Sequence[OnlineRow]) -> None:
        """Keep each row unless a later one of its key is held; of equal moments the row written last stays."""

    def read(self, asked: Sequence[tuple[str, Key]]) -> list[OnlineRow | None]:
        """The row of each view and key, in order; one round trip."""
        ...

    def held(self, view: str) -> Iterator[list[tuple[Key, int]]]:
        """Every key of a view with its row's moment, in batches; what is written meanwhile may be missing."""
        ...

    def remove(self, view: str, keys: Sequence[Key], until_us: int) -> None:
        """Forget the rows of these keys that became knowable up to then."""

    def note(self, subject: str, text: str) -> None:
        """Keep a text beside the rows: it is lost when they are."""

    def noted(self, subject: str) -> str | None: ...

    def close(self) -> None: ...


def pack_key(key: Key) -> str:
    return _write_key(key)


def unpack_key(written: str | bytes) -> Key:
    return tuple(json.loads(written))


def pack_moment(moment_us: int) -> bytes:
    return (moment_us + _SIGN).to_bytes(MOMENT_BYTES, "big")


def pack_row(row: OnlineRow) -> bytes:
    """Raises struct.error or TypeError for a value that is no int64."""
    nulls = 0
    values: list[int] = []
    for position, value in enumerate(row.values):
        if value is None:
            nulls |= 1 << position
            values.append(0)
        else:
            values.append(value)
    form = _form(len(values))
    return form.pack(row.known_at_us + _SIGN, nulls.to_bytes(_bitmap_bytes(len(values)), "big"), *values)


def unpack_moment(packed: bytes) -> int:
    return int.from_bytes(packed[:MOMENT_BYTES], "big") - _SIGN


def unpack_row(key: Key, packed: bytes) -> OnlineRow:
    moment, bitmap, *values = _form(_count(len(packed))).unpack(packed)
    nulls = int.from_bytes(bitmap, "big")
    if nulls:
        values = [None if nulls >> position & 1 else value for position, value in enumerate(values)]
    return OnlineRow(key, moment - _SIGN, tuple(values))


@cache
def _form(values: int) -> struct.Struct:
    return struct.Struct(f">Q{_bitmap_bytes(values)}s{values}q")


@cache
def _count(size: int) -> int:
    """How many values a packed row of `size` bytes holds."""
    count = 8 * (size - MOMENT_BYTES) // 65
    if _form(count).size != size:
        raise ValueError(f"{size} bytes are no packed row")
    return count


def _bitmap_bytes(values: int) -> int:
    return (values + 7) // 8
