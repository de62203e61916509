"""Two sets of weights beside each other: whether they are the same, and by how much they are not."""

# torch and safetensors type many of their functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

TOLERANCE = 1e-5  # of one weight: more than the order of additions can do in a few steps, less than a result feels


@dataclass(frozen=True)
class Comparison:
    """`largest`: the largest absolute difference of a weight, in the tensor `where`; infinite where there is none."""

    kind: Literal["bit-exact", "within", "different"]
    largest: float
    where: str | None


def compare_files(then: Path, now: Path) -> Comparison:
    """Of two safetensors files. Raises OSError, ValueError or SafetensorError for what is none."""
    return compare(load_file(then), load_file(now))


def compare(then: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> Comparison:
    strange = sorted(then.keys() ^ now.keys())
    if strange:
        return Comparison("different", math.inf, strange[0])
    apart = {name: _apart(then[name], now[name]) for name in then if not _same_bits(then[name], now[name])}
    if not apart:
        return Comparison("bit-exact", 0.0, None)
    where = max(apart, key=lambda name: apart[name])
    return Comparison("within" if apart[where] <= TOLERANCE else "different", apart[where], where)


def _same_bits(then: Tensor, now: Tensor) -> bool:
    if then.shape != now.shape or then.dtype != now.dtype:
        return False
    return torch.equal(*(one.contiguous().flatten().view(torch.uint8) for one in (then, now)))


def _apart(then: Tensor, now: Tensor) -> float:
    """Infinite for other shapes or types, and where one holds no number."""
    if then.shape != now.shape or then.dtype != now.dtype:
        return math.inf
    largest = float((then.double() - now.double()).abs().max())
    return largest if math.isfinite(largest) else math.inf
