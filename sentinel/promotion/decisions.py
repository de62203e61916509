"""Whether a version may serve, and the chain in which every such decision stands.

The chain is a file of canonical JSON lines; each entry is signed and holds the hash of the one before, so that none can
be altered, left out or put in between without breaking it. The file beside it, `.head`, is signed too and says how long
the chain is, so that its end cannot be cut off. It lies outside the releases and is only ever appended to.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from sentinel.artifacts import GateReport
from sentinel.errors import RecordInvalid
from sentinel.promotion.keys import fingerprint, is_signed, sign
from sentinel.storage import canonical_json, sha256_bytes, write_json

FIRST = "0" * 64  # the hash before the first entry
Promoted = Literal["promoted", "rejected", "waiting"]


class Verdict(NamedTuple):
    outcome: Promoted
    reason: str


def decide_promotion(report: GateReport, review: Literal["auto", "manual"]) -> Verdict:
    """Pure: a failed gate rejects, whoever reviews; an undecided one waits; else `review` says who decides."""
    if report.failed or not report.passed:
        return Verdict("rejected", f"Failed: {', '.join(report.failed) or 'the gates did not pass'}.")
    if report.undecided:
        return Verdict(
            "waiting", f"The data do not suffice to tell: {', '.join(report.undecided)}; a reviewer decides."
        )
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


def append_decision(file: Path, decision: dict[str, Any], private: Path) -> dict[str, Any]:
    """Add one entry, signed with the key `private`, and return it; on disk when this returns.

    The caller holds the registry's lock.
    """
    _cut_unfinished(file)
    length = len(read_chain(file))
    lines = file.read_bytes().splitlines() if file.is_file() else []
    entry = _signed({**decision, "before": sha256_bytes(lines[-1]) if lines else FIRST}, private)
    line = canonical_json(entry).encode()
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("ab") as chain:
        chain.write(line + b"\n")
        chain.flush()
        os.fsync(chain.fileno())
    write_json(head_of(file), _signed({"entries": length + 1, "last": sha256_bytes(line)}, private))
    return entry


def head_of(file: Path) -> Path:
    return file.with_suffix(".head")


def sentences_against_chain(file: Path, publics: list[Path]) -> list[str]:
    """A sentence for each thing in the chain that does not hold by these public keys; none: it holds."""
    try:
        entries = read_chain(file)
    except RecordInvalid as error:
        return [str(error)]
    wrong = [
        f"{file}:{number}: the signature of this decision is of no trusted key, or not of this content."
        for number, entry in enumerate(entries, start=1)
        if not _is_signed(entry, publics)
    ]
    return wrong + _against_head(file, publics)


def _against_head(file: Path, publics: list[Path]) -> list[str]:
    """A killed writer may leave one entry that the head does not know yet; one that is missing was cut off."""
    content = file.read_bytes() if file.is_file() else b""
    if not content and not head_of(file).is_file():
        return []
    try:
        text = head_of(file).read_text()
        head = json.loads(text)
        entries, last = int(head["entries"]), str(head["last"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return [f"{head_of(file)}: does not say how long the chain is ({error!r})."]
    if not _is_signed(head, publics) or json.dumps(head, indent=2, ensure_ascii=False) + "\n" != text:
        return [f"{head_of(file)}: is not as it was signed."]
    lines = content.split(b"\n")
    if lines[-1]:
        return [f"{file}:{len(lines)}: the last line is cut short; the next decision removes it."]
    hashes = [sha256_bytes(line) for line in lines[:-1]]
    if not 0 < entries <= len(hashes) <= entries + 1 or hashes[entries - 1] != last:
        return [f"{file}: holds {len(hashes)} decisions, and its head speaks of {entries}: some were cut off."]
    return []


def _signed(document: dict[str, Any], private: Path) -> dict[str, Any]:
    signed = {**document, "key": fingerprint(private)}
    return {**signed, "signature": sign(canonical_json(signed).encode(), private)}


def _is_signed(document: dict[str, Any], publics: list[Path]) -> bool:
    content = {key: value for key, value in document.items() if key != "signature"}
    signature, signer = str(document.get("signature", "")), document.get("key")
    return any(
        fingerprint(public) == signer and is_signed(canonical_json(content).encode(), signature, public)
        for public in publics
    )


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
