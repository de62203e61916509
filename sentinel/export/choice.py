"""Which variant goes to promotion: decided from measurements alone, so that it can be decided again from the file.

Of the variants that pass every check the one with the lowest latency p99 at batch 1 wins. FP32 is the reference, may
win, and is what is left when no other passes. A measurement that is missing does not pass.
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

FP32, INTEGER = "fp32", "int8"  # a variant whose name begins with the second must compute in integers
MEASUREMENTS = "measurements.json"
LEAST_DISTINCT_SHARE = 0.1  # of fp32's distinct scores; a model that answers only 0, .2, .4 has broken
MOST_BATCH_SHIFT = 1e-3  # of a probability, between a row alone and the row among others
Measurements = Mapping[str, Any]  # one variant's figures, by their names in measurements.json


@dataclass(frozen=True)
class Bounds:
    max_pr_auc_loss: float
    max_flips: float  # share of the test rows


@dataclass(frozen=True)
class Choice:
    variant: str
    reason: str


def choose(variants: Variants, gates: Gates, *, home: Path) -> Candidates:
    """The variant that would serve, by the recorded measurements and today's bounds; nothing is measured again."""
    measured = json.loads((variants.locate(home) / MEASUREMENTS).read_text())["variants"]
    choice = choose_variant(measured, bounds_of(gates))
    return Candidates(
        **asdict(variants),
        chosen=choice.variant,
        reason=choice.reason,
        model_sha256=measured[choice.variant]["sha256"],
    )


def bounds_of(gates: Gates) -> Bounds:
    return Bounds(gates.max_variant_pr_auc_loss, gates.max_variant_flips)


def choose_variant(variants: Mapping[str, Measurements], bounds: Bounds) -> Choice:
    """The fastest that passes (ties, at the resolution of a microsecond: the smaller), and why no other one."""
    refusals = {name: refusal(name, variants, bounds) for name in variants}
    passing = [name for name, refused in refusals.items() if refused is None]
    refused = " ".join(f"{name} is refused: {why}." for name, why in refusals.items() if why and name != FP32)
    if not passing:
        why = refusals.get(FP32) or "it was not measured"
        return Choice(FP32, f"fp32 is left, since no variant passes. fp32: {why}. {refused}".strip())
    chosen = min(passing, key=lambda name: (_microseconds(variants[name]), variants[name]["bytes"], name))
    return Choice(chosen, " ".join(filter(None, (_sentence(chosen, passing, variants), refused))))


def refusal(name: str, variants: Mapping[str, Measurements], bounds: Bounds) -> str | None:
    """The first check that the variant does not pass, in words; None: it passes every one."""
    found, reference = variants[name], variants.get(FP32, {})
    return next((refused for check in _CHECKS if (refused := check(name, found, reference, bounds))), None)


def _sentence(chosen: str, passing: list[str], variants: Mapping[str, Measurements]) -> str:
    found = variants[chosen]
    told = (
        f"{chosen} serves, with the lowest latency p99 at batch 1 of those that pass: {found['latency_p99_ms']:.3f} ms"
    )
    others = [f"{name} {variants[name]['latency_p99_ms']:.3f} ms" for name in passing if name != chosen]
    beside = f" ({', '.join(others)})" if others else ""
    if chosen == FP32:
        return f"{told}{beside}."
    return (
        f"{told}{beside}. Against fp32 its pr_auc changes by {-found['pr_auc_loss']:+.5f}, and "
        f"{found['flipped_fraction']:.4%} of the decisions flip."
    )


def _latency(name: str, found: Measurements, reference: Measurements, bounds: Bounds) -> str | None:
    missing = [figure for figure in ("latency_p99_ms", "bytes") if not (_number(found, figure) or 0) > 0]
    return f"its {' and '.join(missing)} were not measured" if missing else None


def _integers(name: str, found: Measurements, reference: Measurements, bounds: Bounds) -> str | None:
    if not name.startswith(INTEGER):
        return None
    products = _number(found, "integer_matrix_products")
    if products is None:
        return "its integer matrix products were not counted"
    return None if products >= 1 else "its graph computes 0 matrix products in integers, and at least 1 is required"


def _quality(name: str, found: Measurements, reference: Measurements, bounds: Bounds) -> str | None:
    loss = _number(found, "pr_auc_loss")
    if loss is None:
        return "its loss of pr_auc was not measured"
    if loss <= bounds.max_pr_auc_loss:
        return None
    return f"its pr_auc falls by {loss:.5f}, and at most {bounds.max_pr_auc_loss:g} is allowed"


def _decisions(name: str, found: Measurements, reference: Measurements, bounds: Bounds) -> str | None:
    flipped = _number(found, "flipped_fraction")
    if flipped is None:
        return "its flipped decisions were not counted"
    if flipped <= bounds.max_flips:
        return None
    return f"it flips {flipped:.4%} of the decisions at the threshold, and at most {bounds.max_flips:.4%} is allowed"


def _resolution(name: str, found: Measurements, reference: Measurements, bounds: Bounds) -> str | None:
    distinct, all_of_fp32 = _number(found, "distinct_scores"), _number(reference, "distinct_scores")
    if distinct is None or all_of_fp32 is None:
        return "the distinct scores were not counted"
    least = max(math.ceil(LEAST_DISTINCT_SHARE * all_of_fp32), 2)
    if distinct >= least:
        return None
    return f"it answers with {distinct:,.0f} distinct scores, and at least {least:,} are required"


def _batches(name: str, found: Measurements, reference: Measurements, bounds: Bounds) -> str | None:
    shift = _number(found, "batch_shift")
    if shift is None:
        return "whether its answers depend on the rows beside them was not measured"
    if shift <= MOST_BATCH_SHIFT:
        return None
    return (
        f"its answer for a row changes by up to {shift:.2g} with the rows beside it, and at most {MOST_BATCH_SHIFT:g} "
        "is allowed"
    )


_CHECKS: tuple[Callable[[str, Measurements, Measurements, Bounds], str | None], ...] = (
    _latency, _integers, _quality, _decisions, _resolution, _batches,
)  # fmt: skip


def _microseconds(found: Measurements) -> int:
    return round(found["latency_p99_ms"] * 1000)


def _number(measurements: Measurements, name: str) -> float | None:
    value = measurements.get(name)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None
