from __future__ import annotations

import pytest
import torch
from torch.optim import AdamW as TorchAdamW
from torch.optim.lr_scheduler import OneCycleLR

from sentinel.training.loop.optimizer import AdamW, one_cycle


@pytest.mark.parametrize("steps", [4, 5, 40, 97, 480])
def test_steps_are_those_of_torchs_adamw_and_one_cycle(steps: int) -> None:
    torch.manual_seed(0)
    ours, theirs = (
        [torch.nn.Parameter(torch.linspace(-1, 1, 12).view(3, 4)), torch.nn.Parameter(torch.ones(5))] for _ in range(2)
    )
    expected = TorchAdamW(theirs, lr=1e-3, weight_decay=1e-2, fused=True)
    schedule = OneCycleLR(expected, 1e-3, total_steps=steps)
    found = AdamW(ours, weight_decay=1e-2)
    for number in range(steps):
        rate, beta1 = one_cycle(number, steps, 1e-3)
        assert rate == pytest.approx(expected.param_groups[0]["lr"], rel=1e-12)
        assert beta1 == pytest.approx(expected.param_groups[0]["betas"][0], rel=1e-12)
        for weights in zip(ours, theirs, strict=True):
            weights[0].grad = torch.randn_like(weights[0])
            weights[1].grad = weights[0].grad.clone()
        found.step(rate, beta1, torch.zeros(()))
        expected.step()
        schedule.step()
    assert all((a - b).abs().max() < 1e-7 for a, b in zip(ours, theirs, strict=True))


def test_a_weight_without_gradient_stays() -> None:
    weights = [torch.nn.Parameter(torch.ones(2)) for _ in range(2)]
    weights[1].grad = torch.ones(2)
    AdamW(weights, weight_decay=0.1).step(1e-3, 0.9, torch.zeros(()))
    assert torch.equal(weights[0], torch.ones(2)) and not torch.equal(weights[1], torch.ones(2))


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_shortest_runs_have_a_learning_rate(steps: int) -> None:
    assert all(0 < one_cycle(number, steps, 1e-3)[0] <= 1e-3 for number in range(steps))
