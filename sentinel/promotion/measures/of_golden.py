"""The golden questions: the champion's answers to them, and the candidate's own on other machines."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sentinel.promotion.evidence import ANSWERS, CHAMPION, Evidence
from sentinel.promotion.measures.measured import Measured, UnmeasuredError
from sentinel.promotion.measures.of_champion import require_comparable

LEAST_QUESTIONS = 100
_LEAST_PROBABILITY = 1e-7  # float32 rounds to exactly 0 and 1, of which a divergence would be endless

Answers = NDArray[np.float64]


def divergence_from_champion(evidence: Evidence) -> Measured:
    """Mean over the questions of KL(q‖p) = q ln(q/p) + (1-q) ln((1-q)/(1-p)) nats, q the champion's answer, p ours.

    Question by question, because two models that give each other's answers to one another's transactions have the same
    distribution of scores: a divergence between histograms sees nothing there, and is noise for so few questions.
    """
    facts, found = evidence.read(CHAMPION), evidence.read(ANSWERS)
    require_comparable(facts["version"], facts.get("problem"))
    ours, theirs = _answers(found["served"]), _answers(found["champion"])
    p, q = (np.clip(values, _LEAST_PROBABILITY, 1 - _LEAST_PROBABILITY) for values in (ours, theirs))
    value = float(np.mean(q * np.log(q / p) + (1 - q) * np.log((1 - q) / (1 - p))))
    farthest = float(np.abs(ours - theirs).max())
    return Measured(
        value,
        f"To {len(ours)} golden questions it answers {value:.4f} nats away from champion {facts['version']}, on "
        f"average; the answers differ by {farthest:.3f} of probability at most.",
    )


def golden_shift(evidence: Evidence) -> Measured:
    """The largest difference between answers to the same question, over the ways in which machines differ."""
    found = evidence.read(ANSWERS)
    served, again = _answers(found["served"]), cast("list[dict[str, Any]]", found["again"])
    if found.get("problem") or not again:
        raise UnmeasuredError(f"The clean process did not answer the golden questions: {found.get('problem')}.")
    threads, batches = ({one[key] for one in again} for key in ("threads", "batch"))
    if len(threads) < 2 or not batches >= {1, len(served)} or all(one["is_optimized"] for one in again):
        raise UnmeasuredError("The golden questions were not answered with other threads, batches and kernels.")
    answers = np.array([_answers(one["answers"]) for one in again])
    value = float(np.abs(answers - served).max())
    flips = int(((answers >= evidence.threshold) != (served >= evidence.threshold)).any(axis=0).sum())
    return Measured(
        value,
        f"{len(served)} golden questions answered in {len(again)} ways (threads, batches, plain kernels) differ by "
        f"{value:.1e} at most; {flips} decisions flip.",
    )


def _answers(recorded: Any) -> Answers:
    answers = np.array(recorded, np.float64)  # null becomes NaN
    if answers.ndim != 1 or len(answers) < LEAST_QUESTIONS:
        raise UnmeasuredError(f"{answers.size} golden answers were recorded; {LEAST_QUESTIONS} are needed.")
    if not (np.isfinite(answers).all() and (answers >= 0).all() and (answers <= 1).all()):
        raise UnmeasuredError("A golden answer is no probability.")
    return answers
