"""Which inputs each derived feature is computed from, asked of the formulas themselves.

A missing input stays missing through every formula, or shows as such: what changes with it depends on it.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sentinel.model.arithmetic import HOUR, MICROSECONDS
from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs

# A missing time is neither weekend nor night, so that a time which is both tells of them.
_WEEKEND_AT_NIGHT_US = 51 * HOUR * MICROSECONDS  # Saturday, 3 o'clock


def derived_from(feature_set: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The derived features that a feature_set.json leads to, each with its numeric inputs."""
    numeric_only = {**feature_set, "categorical": ()}
    inputs = ModelInputs.from_feature_set(numeric_only)
    derive = DerivedFeatures(inputs, numeric_only)
    # Row 0 has every input, row i lacks input i - 1. They descend: there are more labels than frauds among them.
    count = len(inputs.numeric)
    rows = torch.arange(count + 2, 2, -1, dtype=torch.float64).repeat(count + 1, 1)
    rows[:, derive.time] = _WEEKEND_AT_NIGHT_US
    rows[1:].fill_diagonal_(torch.nan)
    with torch.no_grad():
        found = derive(rows)
    depends = found[1:].isnan() | (found[1:] != found[0])
    return {
        name: tuple(each for each, matters in zip(inputs.numeric, depends[:, column], strict=True) if matters)
        for column, name in enumerate(derive.names)
    }
