"""Where events come from, and the first of the places: standard input.

A source hands out micro-batches: what is there now, at most so many, an empty one when nothing came for a while.
`Batch.position` is where the source goes on after the batch; it is committed with the batch, by us, so that no
server's idea of what was consumed counts.
"""

from __future__ import annotations

import os
import select
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

from sentinel.errors import DataDamaged

BATCH = 2000  # events
PATIENCE_S = 0.1  # how long is waited for an event before others that are due are written

_READ_BYTES = 1 << 20
_LONGEST_LINE = 1 << 22  # what goes on longer is cut, and rejected


class Batch(NamedTuple):
    """`lines`: of each event its place in the source and its bytes. `position`: None where none can be returned to."""

    lines: list[tuple[str, bytes]]
    position: Any


class Source(Protocol):
    @property
    def name(self) -> str:
        """What the position is remembered under, and a person sees."""
        ...

    def batches(self, position: Any) -> Iterator[Batch]:
        """Micro-batches from `position` on; None: from the start. Raises SentinelError when it cannot be read."""
        ...

    def close(self) -> None: ...


class StandardInput:
    """Newline JSON. It cannot be returned to: sent again from the start, known events are skipped by their ids."""

    name = "stdin"

    def __init__(self, descriptor: int = 0) -> None:
        self._descriptor = descriptor

    def batches(self, position: Any) -> Iterator[Batch]:
        rest, number, waiting = b"", 0, list[tuple[str, bytes]]()
        while True:
            if not self._has_more(0 if waiting else PATIENCE_S):
                yield Batch(waiting, None)
                waiting = []
                continue
            read = self._read()
            *lines, rest = (rest + read).split(b"\n")
            if rest and (not read or len(rest) > _LONGEST_LINE):
                lines, rest = [*lines, rest], b""
            for line in lines:
                number += 1
                if line.strip():
                    waiting.append((f"line {number}", line))
            while len(waiting) >= BATCH or (waiting and not read):
                yield Batch(waiting[:BATCH], None)
                waiting = waiting[BATCH:]
            if not read:
                return

    def close(self) -> None:
        """Standard input is not ours to close."""

    def _has_more(self, wait_s: float) -> bool:
        return bool(select.select([self._descriptor], [], [], wait_s)[0])

    def _read(self) -> bytes:
        try:
            return os.read(self._descriptor, _READ_BYTES)
        except OSError as error:
            raise DataDamaged(f"Standard input cannot be read: {error.strerror}. Pipe newline JSON into it.") from error
