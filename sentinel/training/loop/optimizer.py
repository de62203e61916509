"""AdamW and its one-cycle schedule.

The arithmetic is torch's; its Optimizer class is not used: making one imports torch's compiler, which takes every
process three seconds, and the schedule as a function of the step's number has no state to keep.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.optim.adamw import adamw

BETA2, EPSILON = 0.999, 1e-8
WARM_UP = 0.3  # of the steps
FIRST, LAST = 1 / 25, 1 / 25e4  # of the peak, the learning rates at both ends
CALM, BRISK = 0.95, 0.85  # beta1 at the ends, and at the peak


def one_cycle(number: int, steps: int, peak: float) -> tuple[float, float]:
    """The learning rate and beta1 of a step, counted from 0, of a run of `steps` (Smith & Topin, 2018).

    The same as torch's OneCycleLR with its defaults.
    """
    top, end = WARM_UP * steps - 1, steps - 1
    if number <= top:
        done = number / top
        return _cosine(peak * FIRST, peak, done), _cosine(CALM, BRISK, done)
    done = (number - top) / (end - top)
    return _cosine(peak, peak * LAST, done), _cosine(BRISK, CALM, done)


class AdamW:
    """Adam with decoupled weight decay (Loshchilov & Hutter, 2019), in one fused kernel."""

    def __init__(self, weights: Sequence[Tensor], weight_decay: float) -> None:
        """The moments are made here, so that a model for which there is no room fails at once."""
        self.weights, self.weight_decay = list(weights), weight_decay
        self.first = [torch.zeros_like(weight) for weight in self.weights]
        self.second = [torch.zeros_like(weight) for weight in self.weights]
        self.steps = [torch.zeros((), device=weight.device) for weight in self.weights]

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """What a GradScaler asks of an optimizer."""
        return [{"params": self.weights}]

    def clear(self) -> None:
        for weight in self.weights:
            weight.grad = None

    def step(self, learning_rate: float, beta1: float, is_skipped: Tensor) -> None:
        """Where `is_skipped` (float32 [], on the device) is 1, weights and moments stay as they are."""
        learned = [place for place, weight in enumerate(self.weights) if weight.grad is not None]
        columns = (self.weights, self.first, self.second, self.steps)
        weights, first, second, steps = ([column[place] for place in learned] for column in columns)
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        with torch.no_grad():
            adamw(
                weights, gradients, first, second, [], steps,
                fused=True, found_inf=is_skipped, amsgrad=False, maximize=False,
                lr=learning_rate, beta1=beta1, beta2=BETA2, eps=EPSILON, weight_decay=self.weight_decay,
            )  # fmt: skip


def _cosine(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (math.cos(math.pi * done) + 1)
