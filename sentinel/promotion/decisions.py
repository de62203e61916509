"""Whether a version may serve, and the chain in which every such decision stands.

The chain is a file of canonical JSON lines; each entry is signed and holds the hash of the one before, so that none can
be altered, left out or put in between without breaking it. The file beside it, `.head`, is signed too and says of which
chain it is and how long that is, so that its end cannot be cut off. It lies outside the releases and is only ever
appended to. Not told: that both files were put back together to an older state, as from a copy.

A killed writer leaves half a line, which was never a decision and which the next append removes; or an entry that the
head does not know yet, which is one, and which the next head counts.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

from sentinel.artifacts import GateReport
from sentinel.errors import RecordInvalid
from sentinel.promotion.keys import TrustedKey, fingerprint, public_keys, read_public, sign
from sentinel.storage import canonical_json, disk_full_in_a_sentence, sha256_bytes, write_json

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
    """All entries, oldest first. Raises RecordInvalid with the line at which the chain does not hold.

    Signatures and the chain's length are the affair of `sentences_against_chain`.
    """
    entries: list[dict[str, Any]] = []
    for _, entry, fault in _links(file, _whole_lines(file)):
        if fault or entry is None:
            raise RecordInvalid(f"{fault} Restore the file from a copy; the alias in MLflow still says what serves.")
        entries.append(entry)
    return entries


def append_decision(file: Path, decision: dict[str, Any], private: Path) -> dict[str, Any]:
    """Add one entry, signed with the key `private`, and return it; on disk when this returns.

    The caller holds the registry's lock. Raises RecordInvalid, and writes nothing, behind a chain that was shortened
    or altered: a new head would hide that. Trusted are the public keys beside `private`.
    """
    _cut_unfinished(file)
    read_chain(file)
    lines = _whole_lines(file)
    if not lines and not head_of(file).is_file():
        _write_head(file, [], private)  # a chain without a head has lost it: so the first one stands before an entry
    _require_whole_end(file, lines, [read_public(public) for public in public_keys(private.parent)])
    entry = _signed({**decision, "before": sha256_bytes(lines[-1]) if lines else FIRST}, private)
    line = canonical_json(entry).encode()
    with disk_full_in_a_sentence(file), file.open("ab") as chain:
        chain.write(line + b"\n")
        chain.flush()
        os.fsync(chain.fileno())
    _write_head(file, [*lines, line], private)
    return entry


def head_of(file: Path) -> Path:
    return file.with_suffix(".head")


def sentences_against_chain(file: Path, publics: list[Path]) -> list[str]:
    """A sentence for each thing in the chain that does not hold by these public keys; none: it holds."""
    trusted = [read_public(public) for public in publics]
    head = _read_head(file, trusted)  # first: who appends meanwhile writes the entry before the head
    lines = _whole_lines(file)
    wrong: list[str] = []
    for number, entry, fault in _links(file, lines):
        if fault:
            wrong.append(fault)
        if entry is not None and not _is_signed(entry, trusted):
            wrong.append(f"{file}:{number}: the signature of this decision is of no trusted key, or of other content.")
    if _unfinished(file):
        wrong.append(f"{file}:{len(lines) + 1}: the last line is cut short.")
    return wrong + _against_head(file, head, lines)


def _links(file: Path, lines: list[bytes]) -> Iterator[tuple[int, dict[str, Any] | None, str]]:
    """Each line's number, its entry, and what is wrong with it as a link of the chain."""
    before = FIRST
    for number, line in enumerate(lines, start=1):
        entry = _parsed(line)
        fault = ""
        if entry is None:
            fault = f"{file}:{number}: this line is no entry of the decision chain."
        elif entry.get("before") != before:
            fault = (
                f"{file}:{number}: this decision does not follow the one before it: an entry was altered, removed, "
                "moved or put in between."
            )
        yield number, entry, fault
        before = sha256_bytes(line)


def _require_whole_end(file: Path, lines: list[bytes], trusted: list[TrustedKey]) -> None:
    """Only the end is looked at, so that appending to a long chain stays quick."""
    head = _read_head(file, trusted)
    wrong = _against_head(file, head, lines)
    if isinstance(head, dict) and not wrong and len(lines) > head["entries"]:
        entry = _parsed(lines[-1])
        if entry is None or not _is_signed(entry, trusted):
            wrong.append(f"{file}:{len(lines)}: the signature of this decision is of no trusted key.")
    if wrong:
        raise RecordInvalid(
            f"No decision can be added: {' '.join(wrong)} Restore {file.name} and {head_of(file).name} from a copy."
        )


def _read_head(file: Path, trusted: list[TrustedKey]) -> dict[str, Any] | str:
    """The head, or a sentence on what is wrong with it; empty where neither chain nor head are there."""
    place = head_of(file)
    if not place.exists() and not file.exists():
        return ""
    try:
        text = place.read_text(encoding="utf-8")
        head = json.loads(text)
        is_as_written = json.dumps(head, indent=2, ensure_ascii=False) + "\n" == text
        if is_as_written and isinstance(head["entries"], int) and _is_signed(head, trusted):
            return cast("dict[str, Any]", head)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"{place}: does not say how long the chain is ({error!r})."
    return f"{place}: is not as a trusted key signed it."


def _against_head(file: Path, head: dict[str, Any] | str, lines: list[bytes]) -> list[str]:
    """A killed writer may leave one entry that the head does not know yet; one that is missing was cut off."""
    if isinstance(head, str):
        return [head] if head else []
    if head.get("chain") != file.stem:
        return [f"{head_of(file)}: speaks of the chain {head.get('chain')!r}, and not of {file.name}."]
    entries = int(head["entries"])
    if not 0 <= entries <= len(lines) <= entries + 1:
        return [f"{file}: holds {len(lines)} decisions, and its head speaks of {entries}: some were cut off or added."]
    if head.get("last") != (sha256_bytes(lines[entries - 1]) if entries else FIRST):
        return [f"{file}:{max(entries, 1)}: is not the last decision that the head speaks of."]
    return []


def _write_head(file: Path, lines: list[bytes], private: Path) -> None:
    last = sha256_bytes(lines[-1]) if lines else FIRST
    write_json(head_of(file), _signed({"chain": file.stem, "entries": len(lines), "last": last}, private))


def _signed(document: dict[str, Any], private: Path) -> dict[str, Any]:
    signed = {**document, "key": fingerprint(private)}
    return {**signed, "signature": sign(canonical_json(signed).encode(), private)}


def _is_signed(document: dict[str, Any], trusted: list[TrustedKey]) -> bool:
    content = canonical_json({key: value for key, value in document.items() if key != "signature"}).encode()
    signature, signer = str(document.get("signature", "")), document.get("key")
    return any(key.fingerprint == signer and key.has_signed(content, signature) for key in trusted)


def _parsed(line: bytes) -> dict[str, Any] | None:
    """None for what no `append_decision` wrote."""
    try:
        entry = json.loads(line)
        if isinstance(entry, dict) and canonical_json(entry).encode() == line:
            return cast("dict[str, Any]", entry)
    except (ValueError, RecursionError):
        pass
    return None


def _whole_lines(file: Path) -> list[bytes]:
    return file.read_bytes().split(b"\n")[:-1] if file.is_file() else []


def _unfinished(file: Path) -> bool:
    return file.is_file() and not file.read_bytes().endswith(b"\n") and file.stat().st_size > 0


def _cut_unfinished(file: Path) -> None:
    """Drop what a killed writer left behind the last whole line: it was never a decision."""
    if _unfinished(file):
        with file.open("r+b") as chain:
            chain.truncate(file.read_bytes().rfind(b"\n") + 1)
