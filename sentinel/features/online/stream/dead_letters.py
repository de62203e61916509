"""Rejected events, for a person: one JSON object a line with reason, original line and position in the source.

The length of the file is committed with each batch. What a killed process wrote beyond it is cut off at the next
start, and written again when the batch is read again: so no rejected event is lost, and none stands there twice.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple


class DeadLetter(NamedTuple):
    position: str
    line: bytes
    reason: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.line).hexdigest()[:32]


class DeadLetters:
    def __init__(self, file: Path, committed_bytes: int | None) -> None:
        """`committed_bytes`: None when no journal remembers a length, and the file is left as it is."""
        self.path = file
        file.parent.mkdir(parents=True, exist_ok=True)
        if committed_bytes is not None and file.exists() and file.stat().st_size > committed_bytes:
            os.truncate(file, committed_bytes)

    def append(self, source: str, letters: Sequence[DeadLetter]) -> int:
        """Write the letters and wait until the disk has them. Returns the length of the file."""
        if letters:
            at = datetime.now(UTC).isoformat(timespec="seconds")
            with self.path.open("ab") as file:
                for letter in letters:
                    file.write(_line(source, letter, at))
                file.flush()
                os.fsync(file.fileno())
        return self.path.stat().st_size if self.path.exists() else 0


def _line(source: str, letter: DeadLetter, at: str) -> bytes:
    """What is no UTF-8 is written with \\x escapes, so that the file stays readable JSON."""
    document = {
        "reason": letter.reason,
        "source": source,
        "position": letter.position,
        "rejected_at": at,
        "line": letter.line.decode("utf-8", errors="backslashreplace"),
    }
    return json.dumps(document, ensure_ascii=False).encode("utf-8", errors="backslashreplace") + b"\n"
