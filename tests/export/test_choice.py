from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sentinel.errors import GateFailed
from sentinel.export.choice import LEAST_DISTINCT_SHARE, MEASURED, Bounds, choose_variant

BOUNDS = Bounds(max_pr_auc_loss=0.002, max_flips=0.0001, max_batch_shift=1e-4)
REFERENCE: dict[str, Any] = {
    **dict.fromkeys(MEASURED, 0),
    "precision": "fp32", "distinct_scores": 50_000, "bytes": 1000, "latency_p99_ms": 0.5,
}  # fmt: skip
INT8 = REFERENCE | {
    "precision": "int8", "integer_matrix_products": 2, "pr_auc_loss": 0.0005, "flips": 7, "flipped_fraction": 0.00005,
    "distinct_scores": 49_000, "bytes": 400, "latency_p99_ms": 0.4,
}  # fmt: skip

number = st.one_of(
    st.none(), st.floats(allow_nan=True, allow_infinity=True), st.floats(-0.01, 0.01), st.integers(0, 10**6)
)
unsure = st.fixed_dictionaries(
    {"precision": st.sampled_from(["int8", "fp16"])}, optional=dict.fromkeys(MEASURED, number)
)
likely = unsure.map(lambda figures: INT8 | {name: figures[name] for name in list(figures)[:2]})


def chosen(**variants: dict[str, Any]) -> str:
    return choose_variant({"fp32": REFERENCE, **variants}, BOUNDS).variant


def test_the_lowest_latency_wins_and_the_reason_says_by_how_much_the_others_lost():
    choice = choose_variant({"fp32": REFERENCE, "one": INT8, "other": INT8 | {"latency_p99_ms": 0.45}}, BOUNDS)
    assert choice.variant == "one"
    assert "fp32 is slower by 0.100 ms" in choice.reason and "other is slower by 0.050 ms" in choice.reason
    assert "0.00050" in choice.reason


def test_fp32_wins_when_it_is_the_fastest():
    choice = choose_variant({"fp32": REFERENCE | {"latency_p99_ms": 0.3}, "one": INT8}, BOUNDS)
    assert choice.variant == "fp32"
    assert "one is slower by 0.100 ms" in choice.reason


def test_of_equally_fast_ones_the_smaller_wins():
    assert chosen(large=INT8 | {"bytes": 401}, small=INT8) == "small"
    assert chosen(small=INT8 | {"latency_p99_ms": 0.4002}, large=INT8 | {"bytes": 401}) == "small"
    assert chosen(small=INT8 | {"latency_p99_ms": 0.402}, large=INT8 | {"bytes": 401}) == "large"


@pytest.mark.parametrize(
    ("name", "value", "named"),
    [
        ("integer_matrix_products", 0, ("0 matrix products", "at least 1")),
        ("pr_auc_loss", 0.0031, ("0.00310", "0.002")),
        ("flipped_fraction", 0.00013, ("0.0130%", "0.0100%")),
        ("distinct_scores", 3, ("3 distinct scores", "5,000")),
        ("largest_batch_shift", 0.0013, ("1.3e-03", "0.0001")),
        ("scores_not_finite", 2, ("2 test rows", "no finite number")),
    ],
)
def test_a_figure_out_of_bounds_is_refused_and_named_with_its_bound(name: str, value: float, named: tuple[str, str]):
    choice = choose_variant({"fp32": REFERENCE, "one": INT8 | {name: value}}, BOUNDS)
    assert choice.variant == "fp32"
    assert list(choice.refused) == ["one"]
    assert all(part in choice.reason for part in named)


@pytest.mark.parametrize("name", ["flipped_fraction", "pr_auc_loss", "largest_batch_shift"])
def test_a_figure_at_its_bound_passes(name: str):
    bound = {"flipped_fraction": 0.0001, "pr_auc_loss": 0.002, "largest_batch_shift": 1e-4}[name]
    assert chosen(one=INT8 | {name: bound}) == "one"


def test_only_int8_has_to_compute_in_integers():
    assert chosen(half=INT8 | {"precision": "fp16", "integer_matrix_products": 0}) == "half"


@pytest.mark.parametrize("name", MEASURED)
@pytest.mark.parametrize("value", [None, math.nan, math.inf, "0", True, "absent"])
def test_a_missing_measurement_never_passes(name: str, value: Any):
    one = INT8 | {name: value}
    if value == "absent":
        del one[name]
    choice = choose_variant({"fp32": REFERENCE, "one": one}, BOUNDS)
    assert choice.variant == "fp32"
    assert f"was not measured: {name}" in choice.refused["one"]
    with pytest.raises(GateFailed, match=f"fp32 was not measured: {name}"):
        choose_variant({"fp32": one}, BOUNDS)


def test_nothing_serves_without_an_fp32_that_answers_with_numbers():
    with pytest.raises(GateFailed, match="fp32 answers 3 test rows with no finite number"):
        choose_variant({"fp32": {"scores_not_finite": 3}, "one": INT8}, BOUNDS)
    with pytest.raises(GateFailed, match="was not measured"):
        choose_variant({"one": INT8}, BOUNDS)


@given(st.dictionaries(st.sampled_from("abc"), st.one_of(unsure, likely)), st.floats(0, 1), st.floats(0, 1))
def test_whatever_is_chosen_passes_and_no_other_that_passes_is_faster(
    others: dict[str, Any], loss: float, flips: float
):
    choice = choose_variant({"fp32": REFERENCE, **others}, Bounds(loss, flips, 1e-4))
    for name, figures in others.items():
        assert (name in choice.refused) or figures["latency_p99_ms"] >= (
            {"fp32": REFERENCE, **others}[choice.variant]["latency_p99_ms"] - 0.001
        )
    if choice.variant != "fp32":
        won = others[choice.variant]
        assert won["pr_auc_loss"] <= loss and won["flipped_fraction"] <= flips and won["scores_not_finite"] == 0
        assert won["precision"] != "int8" or won["integer_matrix_products"] >= 1
        assert won["distinct_scores"] >= LEAST_DISTINCT_SHARE * REFERENCE["distinct_scores"]
