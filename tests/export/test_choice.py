from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.export.choice import LEAST_DISTINCT_SHARE, Bounds, choose_variant

BOUNDS = Bounds(max_pr_auc_loss=0.002, max_flips=0.001)
REFERENCE = {"distinct_scores": 50_000}
GOOD = {"integer_matrix_products": 2, "pr_auc_loss": 0.0005, "flipped_fraction": 0.0002, "distinct_scores": 49_000}

figure = st.one_of(
    st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(-0.01, 0.01), st.integers(0, 10**6)
)
variant = st.dictionaries(st.sampled_from(sorted(GOOD)), figure)


def test_int8_within_its_bounds_is_chosen():
    choice = choose_variant({"fp32": REFERENCE, "int8": GOOD}, BOUNDS)
    assert choice.variant == "int8"
    assert "0.00050" in choice.reason


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("integer_matrix_products", 0, ("0 matrix products", "at least 1")),
        ("pr_auc_loss", 0.0031, ("0.00310", "0.002")),
        ("flipped_fraction", 0.0013, ("0.1300%", "0.1000%")),
        ("distinct_scores", 3, ("3 distinct scores", "5,000")),
    ],
)
def test_a_figure_out_of_bounds_leaves_fp32_and_is_named_with_its_bound(
    name: str, value: float, named: tuple[str, str]
):
    choice = choose_variant({"fp32": REFERENCE, "int8": GOOD | {name: value}}, BOUNDS)
    assert choice.variant == "fp32"
    assert all(part in choice.reason for part in named)


@pytest.mark.parametrize("name", sorted(GOOD))
@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, "0", True, "absent"])
def test_a_missing_measurement_never_passes(name: str, value: Any):
    int8 = GOOD | {name: value}
    if value == "absent":
        del int8[name]
    assert choose_variant({"fp32": REFERENCE, "int8": int8}, BOUNDS).variant == "fp32"


def test_without_int8_or_without_the_reference_fp32_is_left():
    assert choose_variant({"fp32": REFERENCE}, BOUNDS).variant == "fp32"
    assert choose_variant({"int8": GOOD}, BOUNDS).variant == "fp32"


@given(variant, variant, st.floats(0, 1), st.floats(0, 1))
def test_whatever_is_chosen_lies_within_the_bounds(fp32: Any, int8: Any, loss: float, flips: float):
    choice = choose_variant({"fp32": fp32, "int8": int8}, Bounds(loss, flips))
    assert choice.reason
    if choice.variant == "int8":
        assert int8["pr_auc_loss"] <= loss
        assert int8["flipped_fraction"] <= flips
        assert int8["integer_matrix_products"] >= 1
        assert int8["distinct_scores"] >= LEAST_DISTINCT_SHARE * fp32["distinct_scores"]
    else:
        assert choice.variant == "fp32"
