"""The arithmetic of the derived features. A NaN says missing, and stays NaN through every formula."""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import torch
from torch import Tensor

MICROSECONDS = 1_000_000
HOUR = 3600
DAY = 24 * HOUR
MINOR_FLOOR = 100.0  # added to a deviation, so that a customer of equal amounts gets no endless z-score


def mean_of(total: Tensor, count: Tensor) -> Tensor:
    return total / torch.where(count >= 1, count, torch.nan)


def z_score(amount: Tensor, mean: Tensor, deviation: Tensor) -> Tensor:
    """Compressed like a logarithm, with its sign."""
    return signed_log((amount - mean) / (deviation + MINOR_FLOOR))


def deviation_of(squares: Tensor, count: Tensor, mean: Tensor) -> Tensor:
    return at_least(squares / count - mean * mean, 0.0).sqrt()


def at_least(value: Tensor, lowest: float) -> Tensor:
    """Not clamp: what becomes of a NaN in it differs between runtimes, in a comparison it does not."""
    return torch.where(value < lowest, lowest, value)


def log_of(value: Tensor) -> Tensor:
    """log(1 + value), nothing below 0."""
    return (at_least(value, 0.0) + 1).log()


def signed_log(value: Tensor) -> Tensor:
    return value.sign() * (value.abs() + 1).log()


def span(window_us: int) -> str:
    """`7d`, `36h`, `90m`: the largest unit that divides it."""
    seconds = window_us // MICROSECONDS
    unit, size = next(
        (unit, size) for unit, size in (("d", DAY), ("h", HOUR), ("m", 60), ("s", 1)) if not seconds % size
    )
    return f"{seconds // size}{unit}"
