"""The verdicts that earlier stages left about the data and the features."""

from __future__ import annotations

from typing import Any

from sentinel.promotion.evidence import AUDIT, ONLINE, VERDICT, Evidence
from sentinel.promotion.measures.measured import Measured, UnmeasuredError


def failed_expectations(evidence: Evidence) -> Measured:
    verdict = evidence.read(VERDICT)
    outcomes, asked = verdict["outcomes"], int(verdict["expectations"])
    hold, warned = int(outcomes["passed"]), int(outcomes["warning"])
    if asked < 1 or sum(outcomes.values()) != asked:
        raise UnmeasuredError(
            f"The data were asked for {asked} expectations, and {sum(outcomes.values())} were answered."
        )
    warnings = f", {warned} only warn" if warned else ""
    return Measured(float(asked - hold - warned), f"{hold} of {asked} expectations about the data hold{warnings}.")


def leaks(evidence: Evidence) -> Measured:
    audit = evidence.read(AUDIT)
    rows, found = int(audit["rows_checked"]), len(audit["leaks"])
    _require_sight("leak audit", rows, audit["planted"])
    sentence = f"{found} features moved in {rows:,} compared rows; {len(audit['planted'])} planted leaks were caught."
    return Measured(float(found), sentence)


def oracle_mismatches(evidence: Evidence) -> Measured:
    oracle = evidence.read(AUDIT)["oracle"]
    rows, values, found = int(oracle["rows_checked"]), int(oracle["values_checked"]), len(oracle["mismatches"])
    if rows < 1:
        raise UnmeasuredError("The oracle was asked about no row.")
    if oracle["fault"]:
        raise UnmeasuredError(f"The feature table does not keep its source: {oracle['fault']}")
    return Measured(float(found), f"{found} of {values:,} values in {rows:,} rows are not what the oracle counts.")


def moved_fits(evidence: Evidence) -> Measured:
    fits = evidence.read(AUDIT)["fits"]
    checked, moved = fits["checked"], len(fits["moved"])
    _require_sight("audit of what training fits", len(checked), fits["planted"])
    return Measured(float(moved), f"{moved} of {len(checked)} fitted things moved with rows after their part.")


def online_mismatches(evidence: Evidence) -> Measured:
    online = evidence.read(ONLINE)
    if not online["is_online"] and not online["mismatches"]:
        raise UnmeasuredError(str(online["reason"]))
    if int(online["sampled"]) < 1:
        raise UnmeasuredError("No key was asked of the online store.")
    return Measured(float(online["mismatches"]), str(online["reason"]))


def _require_sight(name: str, checked: int, planted: list[dict[str, Any]]) -> None:
    blind = [leak["name"] for leak in planted if not leak["caught"]]
    if checked < 1 or not planted or blind:
        missed = f"did not see {', '.join(blind)}" if blind else "planted and compared nothing"
        raise UnmeasuredError(f"The {name} {missed}, so that it proves nothing.")
