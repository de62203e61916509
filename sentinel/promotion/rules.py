"""What the gates ask, one line a gate: why, of which evidence, and against which bound of the configuration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from sentinel.config import Gates
from sentinel.promotion.evidence import (
    ANSWERS,
    AUDIT,
    CHAMPION,
    DRAWS,
    INPUTS,
    LATENCY,
    ODD_INPUTS,
    ONLINE,
    PARITY,
    RAISED_AMOUNTS,
    RENAMED_IDS,
    SCORES,
    TRAINING,
    VERDICT,
)
from sentinel.promotion.measures import (
    of_behaviour,
    of_budgets,
    of_champion,
    of_data,
    of_golden,
    of_model,
    of_quality,
    of_slices,
)
from sentinel.promotion.measures.measured import Measure
from sentinel.promotion.questions import CLOSE

Direction = Literal["at least", "at most"]


@dataclass(frozen=True)
class Rule:
    name: str
    why: str
    measure: Measure
    direction: Direction
    threshold: Callable[[Gates], float]
    evidence: tuple[str, ...]


def _none(gates: Gates) -> float:
    """The bound of what must not happen once."""
    return 0.0


RULES: tuple[Rule, ...] = (
    Rule(
        "data_validation", "A model is no better than the data it learned from.",
        of_data.failed_expectations, "at most", _none, (VERDICT,),
    ),
    Rule(
        "leak_audit", "A feature that knew the future shines in training and fails in production.",
        of_data.leaks, "at most", _none, (AUDIT,),
    ),
    Rule(
        "oracle", "A feature must be what its definition says, counted a second way.",
        of_data.oracle_mismatches, "at most", _none, (AUDIT,),
    ),
    Rule(
        "fits_in_time", "A scale or threshold fitted on later rows is a leak, too.",
        of_data.moved_fits, "at most", _none, (AUDIT,),
    ),
    Rule(
        "reproducibility", "Weights that cannot be computed again cannot be explained either.",
        of_model.weight_difference, "at most", lambda gates: of_model.WEIGHT_TOLERANCE, (TRAINING,),
    ),
    Rule(
        "pr_auc_floor", "Below this the alerts are not worth an analyst's time.",
        of_quality.test_pr_auc, "at least", lambda gates: gates.min_pr_auc, (SCORES,),
    ),
    Rule(
        "recall_floor", "The alerts that the budget allows must find enough of the fraud.",
        of_quality.recall_at_threshold, "at least", lambda gates: gates.min_recall, (SCORES, TRAINING),
    ),
    Rule(
        "better_than_constant", "A score that says the same of everybody costs nothing; this one must say more.",
        of_quality.gain_over_constant, "at least", lambda gates: gates.min_gain_over_constant, (SCORES,),
    ),
    Rule(
        "better_than_logistic", "A network that a logistic regression beats is not worth its cost.",
        of_quality.gain_over_logistic, "at least", lambda gates: gates.min_gain_over_logistic, (SCORES,),
    ),
    Rule(
        "better_than_champion", "A new version must not find less fraud than the one that serves.",
        of_champion.gain_over_champion, "at least", lambda gates: -gates.max_loss_to_champion,
        (SCORES, CHAMPION, DRAWS),
    ),
    Rule(
        "slices", "A better mean must not be paid for by one country or one kind of merchant.",
        of_slices.worst_slice_loss, "at most", lambda gates: gates.max_slice_loss, (SCORES, CHAMPION, DRAWS),
    ),
    Rule(
        "calibration_error", "Rules and limits are set on the probability, so it must mean what it says.",
        of_quality.calibration_error, "at most", lambda gates: gates.max_calibration_error, (SCORES,),
    ),
    Rule(
        "golden_kl", "What answers quite otherwise than the one that serves is broken more often than brilliant.",
        of_golden.divergence_from_champion, "at most", lambda gates: gates.max_golden_kl, (ANSWERS, CHAMPION),
    ),
    Rule(
        "golden_stable", "A score must not depend on the machine, or on who else is asked about at the time.",
        of_golden.golden_shift, "at most", lambda gates: CLOSE, (ANSWERS, TRAINING),
    ),
    Rule(
        "ids_renamed", "A model that knows customers by name has learned them by heart.",
        of_behaviour.moved_by_names, "at most", _none, (RENAMED_IDS,),
    ),
    Rule(
        "amount_direction", "More money at a risky merchant must not be a way past the alarm.",
        of_behaviour.fall_with_amount, "at most", lambda gates: gates.max_fall_with_amount, (RAISED_AMOUNTS, TRAINING),
    ),
    Rule(
        "odd_inputs", "What is missing, endless or unknown must get a probability, not an error.",
        of_behaviour.odd_answers, "at most", _none, (ODD_INPUTS, INPUTS),
    ),
    Rule(
        "onnx_parity", "The exported graph must be the model that was trained.",
        of_model.parity, "at most", lambda gates: gates.max_parity_difference, (PARITY,),
    ),
    Rule(
        "variant_quality", "A smaller variant must not cost fraud found.",
        of_model.loss_to_fp32, "at most", lambda gates: gates.max_variant_pr_auc_loss, (SCORES,),
    ),
    Rule(
        "variant_flips", "A smaller variant must decide as fp32 does.",
        of_model.flips, "at most", lambda gates: gates.max_variant_flips, (SCORES, TRAINING),
    ),
    Rule(
        "latency", "A payment waits for the answer.",
        of_budgets.latency_p99_ms, "at most", lambda gates: gates.max_latency_p99_ms, (LATENCY,),
    ),
    Rule(
        "memory", "A process that outgrows its container is killed, and with it the answers it owes.",
        of_budgets.memory_mb, "at most", lambda gates: gates.max_memory_mb, (LATENCY,),
    ),
    Rule(
        "size", "A release is copied to every machine that serves, and back when it is rolled back.",
        of_budgets.size_mb, "at most", lambda gates: gates.max_size_mb, (LATENCY,),
    ),
    Rule(
        "features_online", "A model whose features are not online would score with nothing.",
        of_data.online_mismatches, "at most", _none, (ONLINE,),
    ),
)  # fmt: skip
