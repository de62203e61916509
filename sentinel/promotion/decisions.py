"""Whether a version may serve, and the chain in which every such decision stands.

The chain is a file of canonical JSON lines; each entry holds the hash of the one before, so that none can be
altered, left out or put in between without breaking it. It lies outside the releases and is only ever appended to.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from sentinel.artifacts import GateReport
from sentinel.errors import RecordInvalid
from sentinel.storage import canonical_json, sha256_bytes

FIRST = "0" * 64  # the hash before the first entry
Promoted = Literal["promoted", "rejected", "waiting"]


class Verdict(NamedTuple):
    outcome: Promoted
    reason: str


def decide_promotion(report: GateReport, review: Literal["auto", "manual"]) -> Verdict:
    """Pure: a failed gate rejects, whoever reviews; else the review setting says who decides."""
    if report.failed or not report.passed:
        return Verdict("rejected", f"Failed: {', '.join(report.failed) or 'the gates did not pass'}.")
    if review == "manual":
        return Verdict("waiting", "Every gate passed; a reviewer decides.")
    return Verdict("promoted", "Every gate passed.")


def read_chain(file: Path) -> list[dict[str, Any]]:
    """All entries, oldest first. Raises RecordInvalid with the line at which the chain does not hold."""
    entries: list[dict[str, Any]] = []
    before = FIRST
    lines = file.read_bytes().split(b"\n") if file.is_file() else [b""]
    for number, line in enumerate(lines[:-1], start=1):
        entry = _parsed(file, number, line)
        if entry.get("before") != before:
            raise RecordInvalid(
                f"{file}:{number}: this decision does not follow the one before it: an entry was altered, removed or "
                "put in between. Restore the file from a copy; the alias in MLflow still says what serves."
            )
        before = sha256_bytes(line)
        entries.append(entry)
    return entries


def append_decision(file: Path, decision: dict[str, Any]) -> dict[str, Any]:
    """Add one entry and return it; on disk when this returns. The caller holds the registry's lock."""
    _cut_unfinished(file)
    read_chain(file)
    lines = file.read_bytes().splitlines() if file.is_file() else []
    entry = {**decision, "before": sha256_bytes(lines[-1]) if lines else FIRST}
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as chain:
        chain.write(canonical_json(entry).encode() + b"\n")
        chain.flush()
        os.fsync(chain.fileno())
    return entry


def _parsed(file: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
        if isinstance(entry, dict) and canonical_json(entry).encode() == line:
            return cast("dict[str, Any]", entry)
    except ValueError:
        pass
    raise RecordInvalid(f"{file}:{number}: this line is no entry of the decision chain. Restore the file from a copy.")


def _cut_unfinished(file: Path) -> None:
    """Drop what a killed writer left behind the last whole line: it was never a decision."""
    if file.is_file() and (content := file.read_bytes()) and not content.endswith(b"\n"):
        with file.open("r+b") as chain:
            chain.truncate(content.rfind(b"\n") + 1)
