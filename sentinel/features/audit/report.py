"""What the leak audit found, in types, and in the sentence with which it ends a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from sentinel.errors import AuditBlind, LeakageFound


@dataclass(frozen=True)
class CutSummary:
    moment: str
    kind: str
    source_rows: int
    asked: int
    limited_keys: int  # whose history was taken near the cut only


@dataclass(frozen=True)
class Leak:
    """A value asked for `asked_at`, at or before `cut`, that changed with what was not knowable by then.

    `window` is None for an age; `rows`: in how many of the compared rows this feature differs.
    """

    feature: str
    window: str | None
    transaction_id: int | str
    asked_at: str
    cut: str
    value: int | None
    changed_value: int | None
    rows: int


@dataclass(frozen=True)
class Planted:
    """A leak that the audit planted. `rows`: in how many of the compared rows it showed."""

    name: str
    caught: bool
    rows: int


@dataclass(frozen=True)
class OracleMismatch:
    """`place`: where it was met: production, sub-source or probe."""

    place: str
    feature: str
    window: str | None
    transaction_id: int | str
    found: int | None
    expected: int | None


@dataclass(frozen=True)
class OracleReport:
    """`fault`: what the whole table fails to keep of its source, in a sentence."""

    rows_checked: int
    values_checked: int
    strata: Mapping[str, int]
    fault: str | None
    mismatches: tuple[OracleMismatch, ...]


@dataclass(frozen=True)
class LeakReport:
    feature_set_hash: str
    seed: int
    rows_checked: int
    values_checked: int
    leaks: tuple[Leak, ...]
    planted: tuple[Planted, ...]
    oracle: OracleReport
    cuts: tuple[CutSummary, ...]
    seconds: Mapping[str, float]

    @property
    def caught(self) -> int:
        return sum(planted.caught for planted in self.planted)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def sentences(self) -> list[str]:
        """Each way in which the audit failed; none when it passed."""
        found = [_leaks_sentence(self.leaks)] if self.leaks else []
        if blind := [planted.name for planted in self.planted if not planted.caught]:
            found.append(_blind_sentence(blind, self))
        if self.oracle.fault is not None:
            found.append(f"The feature table does not keep its source: {self.oracle.fault} Nothing was trained on it.")
        if self.oracle.mismatches:
            found.append(_mismatch_sentence(self.oracle.mismatches))
        return found

    def require_no_leak(self) -> None:
        """Raise LeakageFound with every sentence; AuditBlind when nothing but the audit's own eyes failed."""
        if sentences := self.sentences():
            only_blind = not (self.leaks or self.oracle.fault or self.oracle.mismatches)
            raise (AuditBlind if only_blind else LeakageFound)("\n".join(sentences))


def moment_text(moment: int) -> str:
    """Microseconds since 1970 as ISO, UTC."""
    seconds, rest = divmod(moment, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest).isoformat()


def _leaks_sentence(leaks: tuple[Leak, ...]) -> str:
    first = leaks[0]
    features = list(dict.fromkeys(leak.feature for leak in leaks))
    of_window = "" if first.window is None else f" (window {first.window})"
    others = f" So did {', '.join(features[1:6])}{' and others' if len(features) > 6 else ''}." if features[1:] else ""
    return (
        f"The feature {first.feature}{of_window} knew the future: asked as of {first.asked_at} about transaction "
        f"{first.transaction_id} it is {_text(first.value)}, and {_text(first.changed_value)} once what became "
        f"knowable only after {first.cut} is changed.{others} Mend its definition or the build; nothing was trained "
        "on it."
    )


def _blind_sentence(blind: list[str], report: LeakReport) -> str:
    return (
        f"The leak audit is blind: it planted {', '.join(blind)} and did not see {'it' if len(blind) == 1 else 'them'} "
        f"in {report.rows_checked:,} compared rows at {len(report.cuts)} cuts, so that it proves nothing about the "
        "other features. Bring data in which keys come again, or have sentinel/features/audit mended."
    )


def _mismatch_sentence(mismatches: tuple[OracleMismatch, ...]) -> str:
    first = mismatches[0]
    of_window = "" if first.window is None else f" (window {first.window})"
    where = {"probe": "the probe", "sub-source": "the audit's copy of transaction"}.get(first.place, "transaction")
    return (
        f"The feature {first.feature}{of_window} is not what the rules of time say: {where} {first.transaction_id} has "
        f"{_text(first.found)}, counted plainly it is {_text(first.expected)} ({len(mismatches):,} such values). "
        "Mend the build; nothing was trained on it."
    )


def _text(value: int | None) -> str:
    return "missing" if value is None else str(value)
