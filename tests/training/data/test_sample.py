from __future__ import annotations

import math

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.training.data.sample import draw_sample


@settings(deadline=None)
@given(frauds=st.integers(1, 40), genuine=st.integers(1, 400), most=st.integers(1, 60), seed=st.integers(0, 9))
def test_a_sample_is_bounded_and_stands_for_all_rows(frauds: int, genuine: int, most: int, seed: int) -> None:
    labels = torch.tensor([1.0] * frauds + [0.0] * genuine)[torch.randperm(frauds + genuine)]
    sample = draw_sample(labels, most, 3 * most, seed)
    drawn = labels[sample.positions]
    assert len(sample.positions.unique()) == len(sample.positions) == min(most, frauds) + min(3 * most, genuine)
    assert torch.equal(sample.positions.sort().values, sample.positions)
    weights = sample.weights(drawn)
    torch.testing.assert_close(float(weights[drawn > 0].sum()), float(frauds), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(float(weights[drawn == 0].sum()), float(genuine), rtol=1e-5, atol=1e-5)
    odds = float(drawn.sum()) / float((drawn == 0).sum())
    torch.testing.assert_close(math.log(odds) - sample.correction, math.log(frauds / genuine), rtol=1e-5, atol=1e-5)


def test_the_same_seed_draws_the_same_rows() -> None:
    labels = (torch.arange(1000) % 10 == 0).float()
    first, again, other = (draw_sample(labels, 20, 50, seed).positions for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)
