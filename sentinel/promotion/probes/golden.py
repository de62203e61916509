"""The golden set: frozen questions of the test part, with the answers of the graph that would serve."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from sentinel.model.inputs import ModelInputs
from sentinel.scoring import Categorical, Numeric, Probability, Scorer

GOLDEN_ROWS = 128
_HIGH = 0.05  # share of the rows that half of the questions come from: around the threshold and above it


def golden_rows(scores: Probability) -> NDArray[np.int64]:
    """Which test rows are asked about, ascending: half evenly over the ranks of the highest scores, half of the rest.

    Evenly over all ranks nearly every question would be about a payment that nobody doubts.
    """
    ranks = np.argsort(scores, kind="stable")
    half = GOLDEN_ROWS // 2
    rest, high = np.split(ranks, [len(ranks) - min(len(ranks), max(half, int(_HIGH * len(ranks))))])
    return np.sort(np.concatenate([_spread(rest, half), _spread(high, half)]))


def golden_set(inputs: ModelInputs, numeric: Numeric, categorical: Categorical, scorer: Scorer) -> dict[str, Any]:
    """The content of golden.json; what is no number is null."""
    answers = scorer.score(numeric, categorical)
    return {
        "inputs": inputs.to_dict(),
        "numeric": [numbers(row) for row in numeric],
        "categorical": categorical.tolist(),
        "probability": numbers(answers),
    }


def numbers(values: NDArray[Any]) -> list[float | None]:
    """For JSON, which knows no NaN and no infinity."""
    found = cast("list[float]", values.astype(np.float64).tolist())
    return [value if is_number else None for value, is_number in zip(found, np.isfinite(values), strict=True)]


def _spread(ranks: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    return ranks[np.unique(np.linspace(0, len(ranks) - 1, min(count, len(ranks))).astype(int))]
