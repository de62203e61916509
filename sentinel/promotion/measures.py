"""One function a gate: the value that its evidence gives, and the sentence that says it.

A function raises when the evidence is missing or is no evidence; its gate then fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from sentinel.metrics import expected_calibration_error, pr_auc, roc_auc
from sentinel.promotion.evidence import AUDIT, CHAMPION, LATENCY, ONLINE, PARITY, TRAINING, VERDICT, Evidence

WEIGHT_TOLERANCE = 1e-5  # the training's own, within which it says that weights are the same
_LEAST_REQUESTS = 1000  # a p99 of fewer samples is the luck of a handful


class UnmeasuredError(Exception):
    """Why there is no value, in a sentence."""


@dataclass(frozen=True)
class Measured:
    """`value` is None where the gate does not apply."""

    value: float | None
    sentence: str


Measure = Callable[[Evidence], Measured]


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


def test_pr_auc(evidence: Evidence) -> Measured:
    value = pr_auc(evidence.labels, evidence.score("serving"))
    frauds, rows = int(evidence.labels.sum()), len(evidence.labels)
    return Measured(value, f"pr_auc is {value:.4f} on the {rows:,} test rows, {frauds:,} of them fraud.")


def gain_over_logistic(evidence: Evidence) -> Measured:
    own, other = (pr_auc(evidence.labels, evidence.score(name)) for name in ("serving", "logistic"))
    return Measured(own - other, f"pr_auc is {own:.4f}, a logistic regression's {other:.4f} on the same rows.")


def gain_over_champion(evidence: Evidence) -> Measured:
    facts = evidence.read(CHAMPION)
    if facts["version"] is None:
        return Measured(None, "There is no champion yet.")
    if facts["problem"]:
        raise UnmeasuredError(
            f"Champion {facts['version']} could not be compared fairly: {facts['problem']}. "
            "Train on newer data that keeps its features."
        )
    theirs = evidence.score("champion")
    fair = np.isfinite(theirs)
    if int(fair.sum()) != int(facts["rows"]):
        raise UnmeasuredError(f"The champion has {int(fair.sum())} scores for {facts['rows']} rows.")
    labels = evidence.labels[fair]
    own, other = pr_auc(labels, evidence.score("serving")[fair]), pr_auc(labels, theirs[fair])
    rows = f"the same {len(labels):,} rows"
    return Measured(own - other, f"pr_auc is {own:.4f}, that of champion {facts['version']} {other:.4f} on {rows}.")


def weight_difference(evidence: Evidence) -> Measured:
    found = evidence.read(TRAINING)["reproducibility"]
    kind, steps = str(found["kind"]), int(found["steps"])
    if found["problem"] is not None:
        raise UnmeasuredError(f"The training was not repeated: {found['problem']}. Another run trains anew.")
    if steps < 1:
        raise UnmeasuredError("No step of the training was repeated.")
    differs, largest = found["first_step_that_differs"], found["largest_difference"]
    if (kind == "bit-exact") != (differs is None):
        raise UnmeasuredError(f"The verdict {kind!r} is not what was found: the first step that differs is {differs}.")
    if largest is None:
        raise UnmeasuredError(f"From repeated step {differs} on the weights cannot be compared.")
    where = "" if differs is None else f" From step {differs} on they differ, by {largest:.1e} at most."
    return Measured(float(largest), f"A fresh process repeated {steps} steps: the weights are {kind}.{where}")


def calibration_error(evidence: Evidence) -> Measured:
    value = expected_calibration_error(evidence.labels, evidence.score("serving"))
    return Measured(
        value, f"The probability is {value:.4f} away from the fraud rate of equally scored rows, on average."
    )


def parity(evidence: Evidence) -> Measured:
    value = float(evidence.read(PARITY)["max_absolute_difference"])
    return Measured(value, f"The fp32 graph's probabilities differ from torch's by {value:.1e} at most.")


def loss_to_fp32(evidence: Evidence) -> Measured:
    own, other = (pr_auc(evidence.labels, evidence.score(name)) for name in ("serving", "fp32"))
    return Measured(other - own, f"pr_auc is {own:.4f} for the variant that would serve and {other:.4f} for fp32.")


def flips(evidence: Evidence) -> Measured:
    threshold = float(evidence.read(TRAINING)["threshold"])
    own, other = evidence.score("serving"), evidence.score("fp32")
    if not (math.isfinite(threshold) and np.isfinite(own).all() and np.isfinite(other).all()):
        raise UnmeasuredError("The threshold or a score is no number.")
    flipped = int(((own >= threshold) != (other >= threshold)).sum())
    return Measured(
        flipped / len(own),
        f"{flipped:,} of {len(own):,} decisions at the threshold {threshold:.4f} differ from those of fp32.",
    )


def latency_p99_ms(evidence: Evidence) -> Measured:
    found = evidence.read(LATENCY)
    if "samples_ms" not in found:
        raise UnmeasuredError(f"The latency was not measured: {found.get('problem', 'no samples were recorded')}.")
    samples = np.asarray(found["samples_ms"], np.float64)
    if len(samples) < _LEAST_REQUESTS or not (np.isfinite(samples).all() and (samples > 0).all()):
        raise UnmeasuredError(f"{len(samples)} latency samples were recorded; {_LEAST_REQUESTS} good ones are needed.")
    p50, p99 = (float(np.quantile(samples, share, method="higher")) for share in (0.5, 0.99))
    return Measured(p99, f"99 % of {len(samples):,} single requests took {p99:.3f} ms or less, half {p50:.3f} ms.")


def test_metrics(evidence: Evidence) -> dict[str, float]:
    """The figures of the variant that would serve on the test rows; those that do not exist are left out."""
    figures: dict[str, Callable[[], float | None]] = {
        "pr_auc": lambda: pr_auc(evidence.labels, evidence.score("serving")),
        "roc_auc": lambda: roc_auc(evidence.labels, evidence.score("serving")),
        "expected_calibration_error": lambda: calibration_error(evidence).value,
        "latency_p99_ms": lambda: latency_p99_ms(evidence).value,
        "test_rows": lambda: float(len(evidence.labels)),
        "test_frauds": lambda: float(evidence.labels.sum()),
    }
    found: dict[str, float] = {}
    for name, figure in figures.items():
        try:
            value = figure()
        except NOT_THERE:
            continue
        if value is not None and math.isfinite(value):
            found[name] = value
    return found


# What reading evidence that is missing, cut short or of another shape raises (Arrow's errors are among these).
NOT_THERE = (OSError, ValueError, KeyError, TypeError, IndexError, AttributeError, NotImplementedError, UnmeasuredError)
