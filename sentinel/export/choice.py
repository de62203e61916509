"""Which variant goes to promotion: decided from measurements alone, so that it can be decided again from the file.

FP32 is the reference and what is left when INT8 does not pass. A measurement that is missing does not pass.
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

FP32, INT8 = "fp32", "int8"
MEASUREMENTS = "measurements.json"
LEAST_DISTINCT_SHARE = 0.1  # of fp32's distinct scores; a model that answers only 0, .2, .4 has broken
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
    choice = choose_variant(measured, Bounds(gates.max_variant_pr_auc_loss, gates.max_variant_flips))
    return Candidates(
        **asdict(variants),
        chosen=choice.variant,
        reason=choice.reason,
        model_sha256=measured[choice.variant]["sha256"],
    )


def choose_variant(variants: Mapping[str, Measurements], bounds: Bounds) -> Choice:
    """INT8 when every check holds, else FP32 with the first that does not, in one sentence."""
    quantized, reference = variants.get(INT8, {}), variants.get(FP32, {})
    for check in _CHECKS:
        if refusal := check(quantized, reference, bounds):
            return Choice(FP32, f"fp32 serves: {refusal}.")
    return Choice(
        INT8,
        f"int8 serves: pr_auc changes by {-quantized['pr_auc_loss']:+.5f} (may fall by {bounds.max_pr_auc_loss:g}), "
        f"{quantized['flipped_fraction']:.4%} of the decisions flip (at most {bounds.max_flips:.4%}), and "
        f"{quantized['integer_matrix_products']} matrix products are computed in integers.",
    )


def _integers(quantized: Measurements, reference: Measurements, bounds: Bounds) -> str | None:
    products = _number(quantized, "integer_matrix_products")
    if products is None:
        return "int8's integer matrix products were not counted"
    return None if products >= 1 else "int8's graph computes 0 matrix products in integers, and at least 1 is required"


def _quality(quantized: Measurements, reference: Measurements, bounds: Bounds) -> str | None:
    loss = _number(quantized, "pr_auc_loss")
    if loss is None:
        return "int8's loss of pr_auc was not measured"
    if loss <= bounds.max_pr_auc_loss:
        return None
    return f"int8's pr_auc falls by {loss:.5f}, and at most {bounds.max_pr_auc_loss:g} is allowed"


def _decisions(quantized: Measurements, reference: Measurements, bounds: Bounds) -> str | None:
    flipped = _number(quantized, "flipped_fraction")
    if flipped is None:
        return "int8's flipped decisions were not counted"
    if flipped <= bounds.max_flips:
        return None
    return f"int8 flips {flipped:.4%} of the decisions at the threshold, and at most {bounds.max_flips:.4%} is allowed"


def _resolution(quantized: Measurements, reference: Measurements, bounds: Bounds) -> str | None:
    distinct, all_of_fp32 = _number(quantized, "distinct_scores"), _number(reference, "distinct_scores")
    if distinct is None or all_of_fp32 is None:
        return "the distinct scores were not counted"
    least = math.ceil(LEAST_DISTINCT_SHARE * all_of_fp32)
    if distinct >= max(least, 2):
        return None
    return f"int8 answers with {distinct:,.0f} distinct scores, and at least {max(least, 2):,} are required"


_CHECKS: tuple[Callable[[Measurements, Measurements, Bounds], str | None], ...] = (
    _integers, _quality, _decisions, _resolution,
)  # fmt: skip


def _number(measurements: Measurements, name: str) -> float | None:
    value = measurements.get(name)
    usable = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return value if usable else None
