"""The gates: what a candidate must reach before it may serve. Closed by default: what was not measured fails.

`judge` collects the evidence and writes gates.json beside it; `verdicts` computes every gate from the evidence
alone, so that a reviewer, or a later process, comes to the same table.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from sentinel.artifacts import Candidates, FeatureTable, GateReport
from sentinel.config import Gates
from sentinel.progress import Progress, silent
from sentinel.promotion import measures
from sentinel.promotion.evidence import (
    AUDIT,
    CHAMPION,
    LATENCY,
    ONLINE,
    PARITY,
    SCORES,
    TRAINING,
    VERDICT,
    Candidate,
    Evidence,
    collect,
)
from sentinel.promotion.layout import EVIDENCE, GATES, Champion
from sentinel.storage import complete_folder, sha256_path, write_json

Outcome = Literal["passed", "failed", "not_applicable"]
Direction = Literal["at least", "at most"]


@dataclass(frozen=True)
class Rule:
    """What one gate asks. `applies_always` is False where a case is known in which nothing can be asked."""

    name: str
    why: str
    measure: measures.Measure
    direction: Direction
    threshold: Callable[[Gates], float]
    evidence: tuple[str, ...]
    applies_always: bool = True


@dataclass(frozen=True)
class Gate:
    """One line of the report. `value` is None when nothing was measured."""

    name: str
    why: str
    value: float | None
    direction: Direction
    threshold: float
    outcome: Outcome
    sentence: str
    evidence: tuple[str, ...]


RULES: tuple[Rule, ...] = (
    Rule(
        "data_validation", "A model is no better than the data it learned from.",
        measures.failed_expectations, "at most", lambda gates: 0.0, (VERDICT,),
    ),
    Rule(
        "leak_audit", "A feature that knew the future shines in training and fails in production.",
        measures.leaks, "at most", lambda gates: 0.0, (AUDIT,),
    ),
    Rule(
        "oracle", "A feature must be what its definition says, counted a second way.",
        measures.oracle_mismatches, "at most", lambda gates: 0.0, (AUDIT,),
    ),
    Rule(
        "fits_in_time", "A scale or threshold fitted on later rows is a leak, too.",
        measures.moved_fits, "at most", lambda gates: 0.0, (AUDIT,),
    ),
    Rule(
        "reproducibility", "Weights that cannot be computed again cannot be explained either.",
        measures.weight_difference, "at most", lambda gates: measures.WEIGHT_TOLERANCE, (TRAINING,),
    ),
    Rule(
        "pr_auc_floor", "Below this the alerts are not worth an analyst's time.",
        measures.test_pr_auc, "at least", lambda gates: gates.min_pr_auc, (SCORES,),
    ),
    Rule(
        "better_than_logistic", "A network that a logistic regression beats is not worth its cost.",
        measures.gain_over_logistic, "at least", lambda gates: gates.min_gain_over_logistic, (SCORES,),
    ),
    Rule(
        "better_than_champion", "A new version must not find less fraud than the one that serves.",
        measures.gain_over_champion, "at least", lambda gates: -gates.max_loss_to_champion, (SCORES, CHAMPION),
        applies_always=False,
    ),
    Rule(
        "calibration_error", "Rules and limits are set on the probability, so it must mean what it says.",
        measures.calibration_error, "at most", lambda gates: gates.max_calibration_error, (SCORES,),
    ),
    Rule(
        "onnx_parity", "The exported graph must be the model that was trained.",
        measures.parity, "at most", lambda gates: gates.max_parity_difference, (PARITY,),
    ),
    Rule(
        "variant_quality", "A smaller variant must not cost fraud found.",
        measures.loss_to_fp32, "at most", lambda gates: gates.max_variant_pr_auc_loss, (SCORES,),
    ),
    Rule(
        "variant_flips", "A smaller variant must decide as fp32 does.",
        measures.flips, "at most", lambda gates: gates.max_variant_flips, (SCORES, TRAINING),
    ),
    Rule(
        "latency", "A payment waits for the answer.",
        measures.latency_p99_ms, "at most", lambda gates: gates.max_latency_p99_ms, (LATENCY,),
    ),
    Rule(
        "features_online", "A model whose features are not online would score with nothing.",
        measures.online_mismatches, "at most", lambda gates: 0.0, (ONLINE,),
    ),
)  # fmt: skip


def judge(
    candidate: Candidate,
    champion: Champion | None,
    gates: Gates,
    *,
    champion_table: FeatureTable | None = None,
    home: Path,
    out: Path,
    progress: Progress = silent,
) -> GateReport:
    """Collect the evidence about a candidate and write gates.json; a failed gate is a verdict, not an error.

    `champion_table`: the champion's own features, when its feature set is another one than the candidate's.
    """
    with complete_folder(out) as folder:
        evidence = folder / EVIDENCE
        collect(candidate, champion, champion_table, home=home, folder=evidence, progress=progress)
        found = verdicts(evidence, gates)
        opponent = asdict(champion) if champion else None
        write_json(folder / GATES, document(found, gates, candidate.variants, opponent, Evidence(evidence)))
    failed = tuple(gate.name for gate in found if gate.outcome == "failed")
    return GateReport(
        path=os.path.relpath(out, home),
        sha256=sha256_path(out),
        run_id=candidate.variants.run_id,
        passed=passes(found),
        failed=failed,
    )


def verdicts(evidence_folder: Path, gates: Gates) -> tuple[Gate, ...]:
    """Every gate, computed from the evidence in one folder."""
    evidence = Evidence(evidence_folder)
    return tuple(_verdict(rule, evidence, rule.threshold(gates)) for rule in RULES)


def passes(gates: tuple[Gate, ...]) -> bool:
    """Whether every gate was asked and none failed."""
    return [gate.name for gate in gates] == [rule.name for rule in RULES] and all(
        gate.outcome in ("passed", "not_applicable") for gate in gates
    )


def document(
    found: tuple[Gate, ...], gates: Gates, candidates: Candidates, champion: dict[str, Any] | None, evidence: Evidence
) -> dict[str, Any]:
    """The content of gates.json."""
    return {
        "passed": passes(found),
        "failed": [gate.name for gate in found if gate.outcome == "failed"],
        "variant": candidates.chosen,
        "model_sha256": candidates.model_sha256,
        "champion": champion,
        "settings": gates.model_dump(mode="json"),
        "gates": [asdict(gate) for gate in found],
        "metrics": measures.test_metrics(evidence),
    }


def _verdict(rule: Rule, evidence: Evidence, threshold: float) -> Gate:
    try:
        measured = rule.measure(evidence)
        applies, value, sentence = measured.value is not None, measured.value, measured.sentence
    except measures.NOT_THERE as error:
        reason = str(error) if isinstance(error, measures.UnmeasuredError) else f"Not measured: {error!r}."
        applies, value, sentence = True, None, f"{reason} A gate that was not measured fails."
    if value is not None and not math.isfinite(value):
        value, sentence = None, f"The measured value is {value}, which is no number. {sentence}"
    outcome = _outcome(rule, value, threshold, applies)
    files = tuple(f"{EVIDENCE}/{name}" for name in rule.evidence)
    return Gate(rule.name, rule.why, value, rule.direction, threshold, outcome, sentence, files)


def _outcome(rule: Rule, value: float | None, threshold: float, applies: bool) -> Outcome:
    if not applies and not rule.applies_always:
        return "not_applicable"
    if value is None:
        return "failed"
    return "passed" if (value >= threshold if rule.direction == "at least" else value <= threshold) else "failed"
