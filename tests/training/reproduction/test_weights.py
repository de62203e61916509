from __future__ import annotations

import math

import pytest
import torch

from sentinel.training.reproduction.weights import TOLERANCE, compare

THEN = {"a": torch.tensor([[1.0, -2.0]]), "b": torch.tensor(3, dtype=torch.int64)}


def but(**tensors: torch.Tensor) -> dict[str, torch.Tensor]:
    return {**THEN, **tensors}


def test_the_same_bits_are_bit_exact() -> None:
    found = compare(THEN, but(a=THEN["a"].clone()))
    assert (found.kind, found.largest, found.where) == ("bit-exact", 0.0, None)
    nan = {"a": torch.tensor([math.nan])}
    assert compare(nan, {"a": nan["a"].clone()}).kind == "bit-exact"


def test_another_bit_of_the_same_number_is_within() -> None:
    found = compare({"a": torch.tensor([0.0])}, {"a": torch.tensor([-0.0])})
    assert (found.kind, found.largest, found.where) == ("within", 0.0, "a")


@pytest.mark.parametrize(("by", "kind"), [(1e-7, "within"), (TOLERANCE / 2, "within"), (1e-4, "different")])
def test_a_difference_is_measured_against_the_tolerance(by: float, kind: str) -> None:
    found = compare({"a": torch.zeros(3)}, {"a": torch.tensor([0.0, -by, by / 3])})
    assert (found.kind, found.where) == (kind, "a")
    assert found.largest == pytest.approx(by)


@pytest.mark.parametrize(
    "now",
    [
        but(a=torch.tensor([[1.0, math.nan]])),
        but(a=torch.tensor([[1.0, math.inf]])),
        but(a=torch.tensor([1.0, -2.0])),
        but(a=THEN["a"].double()),
        but(c=torch.zeros(1)),
        {"a": THEN["a"]},
    ],
    ids=["no number", "infinite", "shape", "type", "one more", "one less"],
)
def test_what_cannot_be_subtracted_is_different(now: dict[str, torch.Tensor]) -> None:
    found = compare(THEN, now)
    assert (found.kind, found.largest) == ("different", math.inf)
