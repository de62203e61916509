from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.export.choice import LEAST_DISTINCT_SHARE, MOST_BATCH_SHIFT, Bounds, choose_variant

BOUNDS = Bounds(max_pr_auc_loss=0.002, max_flips=0.001)
REFERENCE = {
    "integer_matrix_products": 0, "pr_auc_loss": 0.0, "flipped_fraction": 0.0, "distinct_scores": 50_000,
    "batch_shift": 0.0, "latency_p99_ms": 0.5, "bytes": 1_000_000,
}  # fmt: skip
GOOD = REFERENCE | {
    "integer_matrix_products": 2, "pr_auc_loss": 0.0005, "flipped_fraction": 0.0002, "distinct_scores": 49_000,
    "latency_p99_ms": 0.4, "bytes": 300_000,
}  # fmt: skip

figure = st.one_of(
    st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(-0.01, 0.01), st.integers(0, 10**6)
)
variant = st.dictionaries(st.sampled_from(sorted(GOOD)), figure)


def test_the_fastest_within_its_bounds_is_chosen_and_the_others_are_named():
    slower = GOOD | {"latency_p99_ms": 0.45}
    choice = choose_variant({"fp32": REFERENCE, "int8_slow": slower, "int8_fast": GOOD}, BOUNDS)
    assert choice.variant == "int8_fast"
    assert "0.400 ms (fp32 0.500 ms, int8_slow 0.450 ms)" in choice.reason
    assert "-0.00050" in choice.reason and "0.0200%" in choice.reason


def test_fp32_wins_where_it_is_the_fastest():
    choice = choose_variant({"fp32": REFERENCE | {"latency_p99_ms": 0.3}, "int8": GOOD}, BOUNDS)
    assert (choice.variant, "int8 0.400 ms" in choice.reason) == ("fp32", True)


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_of_two_as_fast_the_smaller_wins(order: tuple[str, str]):
    sizes = {"a": GOOD | {"bytes": 200_000, "latency_p99_ms": 0.4000004}, "b": GOOD}
    variants = {"fp32": REFERENCE} | {f"int8_{name}": sizes[name] for name in order}
    assert choose_variant(variants, BOUNDS).variant == "int8_a"


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("integer_matrix_products", 0, ("0 matrix products", "at least 1")),
        ("pr_auc_loss", 0.0031, ("0.00310", "0.002")),
        ("flipped_fraction", 0.0013, ("0.1300%", "0.1000%")),
        ("distinct_scores", 3, ("3 distinct scores", "5,000")),
        ("batch_shift", 0.004, ("0.004", "0.001")),
    ],
)
def test_a_figure_out_of_bounds_is_named_with_its_bound(name: str, value: float, named: tuple[str, str]):
    choice = choose_variant({"fp32": REFERENCE, "int8": GOOD | {name: value}}, BOUNDS)
    assert choice.variant == "fp32"
    assert "int8 is refused: " in choice.reason
    assert all(part in choice.reason for part in named)


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "0", True, "absent"])
def test_a_missing_measurement_never_passes(name: str, value: Any):
    int8 = GOOD | {name: value}
    if value == "absent":
        del int8[name]
    assert choose_variant({"fp32": REFERENCE, "int8": int8}, BOUNDS).variant == "fp32"


def test_without_others_or_without_the_reference_fp32_is_left():
    assert choose_variant({"fp32": REFERENCE}, BOUNDS).variant == "fp32"
    assert choose_variant({"int8": GOOD}, BOUNDS).variant == "fp32"
    assert "is left" in choose_variant({}, BOUNDS).reason


@given(variant, variant, variant, st.floats(0, 1), st.floats(0, 1))
def test_whatever_is_chosen_lies_within_the_bounds(fp32: Any, one: Any, other: Any, loss: float, flips: float):
    variants = {"fp32": fp32, "int8_one": one, "int8_other": other}
    choice = choose_variant(variants, Bounds(loss, flips))
    assert choice.reason
    found = variants[choice.variant]
    if choice.variant != "fp32":
        assert found["pr_auc_loss"] <= loss
        assert found["flipped_fraction"] <= flips
        assert found["batch_shift"] <= MOST_BATCH_SHIFT
        assert found["integer_matrix_products"] >= 1
        assert found["distinct_scores"] >= LEAST_DISTINCT_SHARE * fp32["distinct_scores"]
