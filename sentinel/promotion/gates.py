"""The gates: what a candidate must reach before it may serve. Closed by default: what was not measured fails.

`verdicts` computes every gate from the evidence alone, so that a reviewer, or a later process on another machine, comes
to the same table. It needs neither torch nor a server.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sentinel.artifacts import Candidates
from sentinel.config import GateCase, Gates
from sentinel.promotion.evidence import Evidence
from sentinel.promotion.layout import EVIDENCE
from sentinel.promotion.measures.measured import (
    NOT_THERE,
    InapplicableError,
    Measured,
    UndecidedError,
    UnmeasuredError,
)
from sentinel.promotion.measures.of_quality import test_metrics
from sentinel.promotion.rules import RULES, Direction, Rule

Outcome = Literal["passed", "failed", "not_applicable", "undecided"]


@dataclass(frozen=True)
class Gate:
    """One line of the report. `value` is None when nothing was measured.

    `interval`: the 95 % by which the gate decides. `picture`: of the value, beside the evidence.
    """

    name: str
    why: str
    value: float | None
    interval: tuple[float, float] | None
    direction: Direction
    threshold: float
    outcome: Outcome
    sentence: str
    evidence: tuple[str, ...]
    picture: str | None = None


def verdicts(evidence_folder: Path, gates: Gates) -> tuple[Gate, ...]:
    """Every gate, computed from the evidence in one folder."""
    evidence = Evidence(evidence_folder, gates)
    return tuple(_verdict(rule, evidence) for rule in RULES)


def passes(gates: tuple[Gate, ...]) -> bool:
    """Whether every gate was asked and none failed; what is undecided then waits for a reviewer."""
    return [gate.name for gate in gates] == [rule.name for rule in RULES] and not named(gates, "failed")


def named(gates: tuple[Gate, ...], outcome: Outcome) -> tuple[str, ...]:
    return tuple(gate.name for gate in gates if gate.outcome == outcome)


def document(
    found: tuple[Gate, ...], evidence: Evidence, candidates: Candidates, champion: dict[str, Any] | None
) -> dict[str, Any]:
    """The content of gates.json."""
    return {
        "passed": passes(found),
        "failed": list(named(found, "failed")),
        "undecided": list(named(found, "undecided")),
        "variant": candidates.chosen,
        "model_sha256": candidates.model_sha256,
        "champion": champion,
        "settings": evidence.settings.model_dump(mode="json"),
        "gates": [asdict(gate) for gate in found],
        "metrics": test_metrics(evidence),
    }


def _verdict(rule: Rule, evidence: Evidence) -> Gate:
    try:
        measured = rule.measure(evidence)
    except UndecidedError as error:
        return _without_value(rule, evidence, "undecided", str(error))
    except InapplicableError as error:
        return _without_value(rule, evidence, *_nothing_to_ask(error, evidence.settings.not_applicable))
    except NOT_THERE as error:
        reason = str(error) if isinstance(error, UnmeasuredError) else f"Not measured: {error!r}."
        return _without_value(rule, evidence, "failed", f"{reason} A gate that was not measured fails.")
    if not all(math.isfinite(number) for number in (measured.value, *(measured.interval or ()))):
        told = f"The measured value is {measured.value}, which is no number. {measured.sentence}"
        return _without_value(rule, evidence, "failed", told)
    outcome = _outcome(rule, measured, rule.threshold(evidence.settings))
    return _gate(rule, evidence, outcome, measured.sentence, measured.value, measured.interval)


def _outcome(rule: Rule, measured: Measured, threshold: float) -> Outcome:
    """By the whole interval where there is one: a bound within it leaves the question open."""
    sign = 1 if rule.direction == "at least" else -1
    low, high = sorted(sign * end for end in measured.interval or (measured.value, measured.value))
    if low >= sign * threshold:
        return "passed"
    return "failed" if high < sign * threshold else "undecided"


def _nothing_to_ask(error: InapplicableError, listed: tuple[GateCase, ...]) -> tuple[Outcome, str]:
    if error.case in listed:
        return "not_applicable", str(error)
    line = f"not_applicable = {json.dumps([*listed, error.case])}"
    return (
        "failed",
        f"{error} If that may be so, write {line} under [gates]; the case is not listed, so the gate fails.",
    )


def _without_value(rule: Rule, evidence: Evidence, outcome: Outcome, sentence: str) -> Gate:
    return _gate(rule, evidence, outcome, sentence, None, None)


def _gate(
    rule: Rule,
    evidence: Evidence,
    outcome: Outcome,
    sentence: str,
    value: float | None,
    interval: tuple[float, float] | None,
) -> Gate:
    files = tuple(f"{EVIDENCE}/{name}" for name in rule.evidence)
    threshold = rule.threshold(evidence.settings)
    return Gate(rule.name, rule.why, value, interval, rule.direction, threshold, outcome, sentence, files)
