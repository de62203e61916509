"""Which variant goes to promotion: decided from measurements alone, so that it can be decided again from the file.

Among the variants that pass every check the one with the lowest latency p99 at batch 1 wins, of equal ones the smaller
file. fp32 is the reference, and what is left when no other passes. A measurement that is missing does not pass.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sentinel.artifacts import Candidates, Variants
from sentinel.config import Gates
from sentinel.errors import GateFailed
from sentinel.export.recipes import FP32

MEASUREMENTS = "measurements.json"
LEAST_DISTINCT_SHARE = 0.1  # of fp32's distinct scores; a model that answers only 0, .2, .4 has broken
MEASURED = (
    "scores_not_finite", "pr_auc", "pr_auc_loss", "recall_at_alert_budget", "kl_divergence", "largest_shift", "flips",
    "flipped_fraction", "flipped_amount_minor", "distinct_scores", "largest_batch_shift", "bytes",
    "integer_matrix_products", "latency_p50_ms", "latency_p99_ms", "throughput_256_rows_per_s",
    "throughput_4096_rows_per_s",
)  # fmt: skip
Figures = Mapping[str, Any]  # one variant's, by their names in measurements.json


@dataclass(frozen=True)
class Bounds:
    max_pr_auc_loss: float
    max_flips: float  # share of the test rows
    max_batch_shift: float  # of a score, by what is asked about beside it


@dataclass(frozen=True)
class Choice:
    """`reason` says why the variant serves and why each other one does not; `refused` which check an other failed."""

    variant: str
    reason: str
    refused: Mapping[str, str]


def choose(variants: Variants, gates: Gates, *, home: Path) -> Candidates:
    """The variant that would serve, by the recorded measurements and today's bounds; nothing is measured again."""
    measured = read_measurements(variants, home=home)
    choice = choose_variant(measured, bounds_of(gates))
    return Candidates(
        **asdict(variants),
        chosen=choice.variant,
        reason=choice.reason,
        model_sha256=measured[choice.variant]["sha256"],
    )


def read_measurements(variants: Variants, *, home: Path) -> dict[str, Figures]:
    return json.loads((variants.locate(home) / MEASUREMENTS).read_text())["variants"]


def bounds_of(gates: Gates) -> Bounds:
    return Bounds(gates.max_variant_pr_auc_loss, gates.max_variant_flips, gates.max_variant_batch_shift)


def choose_variant(variants: Mapping[str, Figures], bounds: Bounds) -> Choice:
    """Raises GateFailed when not even fp32 was measured, or has a score that is no number: nothing may serve then."""
    reference = variants.get(FP32, {})
    if problem := _unmeasured(reference, reference, bounds) or _not_finite(reference, reference, bounds):
        raise GateFailed(f"No variant may serve: fp32 {problem}. Train the model again, or look into its inputs.")
    refused = {
        name: refusal
        for name, figures in variants.items()
        if name != FP32 and (refusal := _refusal(figures, reference, bounds))
    }
    passing = [name for name in variants if name not in refused]
    chosen = min(passing, key=lambda name: (_microseconds(variants[name]), variants[name]["bytes"]))
    return Choice(chosen, _reason(chosen, passing, refused, variants), refused)


def _refusal(figures: Figures, reference: Figures, bounds: Bounds) -> str | None:
    return next((refusal for check in _CHECKS if (refusal := check(figures, reference, bounds))), None)


def _reason(chosen: str, passing: list[str], refused: Mapping[str, str], variants: Mapping[str, Figures]) -> str:
    winner = variants[chosen]
    rivals = f"the lowest of the {len(passing)} variants that pass" if len(passing) > 1 else "and no other passes"
    sentences = [f"{chosen} serves: its latency p99 at batch 1 is {winner['latency_p99_ms']:.3f} ms, {rivals}."]
    if chosen != FP32:
        sentences.append(
            f"Its pr_auc changes by {round(-winner['pr_auc_loss'], 5) + 0.0:+.5f}, {winner['flips']:,} decisions "
            f"({winner['flipped_fraction']:.4%}) flip, and {winner['integer_matrix_products']} of its matrix products "
            "are computed in integers."
        )
    sentences += [f"{name} {_behind(variants[name], winner)}." for name in passing if name != chosen]
    sentences += [f"{name} {refusal}." for name, refusal in refused.items()]
    return " ".join(sentences)


def _behind(figures: Figures, winner: Figures) -> str:
    slower = _microseconds(figures) - _microseconds(winner)
    if slower:
        return f"is slower by {slower / 1000:.3f} ms"
    larger = figures["bytes"] - winner["bytes"]
    return f"is as fast and {larger:,} bytes larger" if larger else "is as fast and as large, and stands after it"


def _microseconds(figures: Figures) -> int:
    """No clock tells shorter times apart here."""
    return round(figures["latency_p99_ms"] * 1000)


def _unmeasured(figures: Figures, reference: Figures, bounds: Bounds) -> str | None:
    missing = [name for name in MEASURED if _number(figures, name) is None]
    if _number(figures, "scores_not_finite"):
        return None  # which is why the rest was not measured, and what the next check says
    return f"was not measured: {', '.join(missing)}" if missing else None


def _not_finite(figures: Figures, reference: Figures, bounds: Bounds) -> str | None:
    count = _number(figures, "scores_not_finite")
    return f"answers {count:,} test rows with no finite number" if count else None


def _integers(figures: Figures, reference: Figures, bounds: Bounds) -> str | None:
    if figures.get("precision") != "int8" or figures["integer_matrix_products"] >= 1:
        return None
    return "computes 0 matrix products in integers, and at least 1 is required"


def _quality(figures: Figures, reference: Figures, bounds: Bounds) -> str | None:
    if figures["pr_auc_loss"] <= bounds.max_pr_auc_loss:
        return None
    return f"loses {figures['pr_auc_loss']:.5f} of pr_auc, and at most {bounds.max_pr_auc_loss:g} is allowed"


def _decisions(figures: Figures, reference: Figures, bounds: Bounds) -> str | None:
    if figures["flipped_fraction"] <= bounds.max_flips:
        return None
    return (
        f"flips {figures['flips']:,} decisions ({figures['flipped_fraction']:.4%}) at the threshold, and at most "
        f"{bounds.max_flips:.4%} is allowed"
    )


def _resolution(figures: Figures, reference: Figures, bounds: Bounds) -> str | None:
    least = max(2, math.ceil(LEAST_DISTINCT_SHARE * reference["distinct_scores"]))
    if figures["distinct_scores"] >= least:
        return None
    return f"answers with {figures['distinct_scores']:,.0f} distinct scores, and at least {least:,} are required"


def _company(figures: Figures, reference: Figures, bounds: Bounds) -> str | None:
    if figures["largest_batch_shift"] <= bounds.max_batch_shift:
        return None
    return (
        f"scores a transaction by up to {figures['largest_batch_shift']:.1e} differently in other company, and at most "
        f"{bounds.max_batch_shift:g} is allowed"
    )


_CHECKS: tuple[Callable[[Figures, Figures, Bounds], str | None], ...] = (
    _unmeasured, _not_finite, _integers, _quality, _decisions, _resolution, _company,
)  # fmt: skip


def _number(figures: Figures, name: str) -> float | None:
    value = figures.get(name)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None
