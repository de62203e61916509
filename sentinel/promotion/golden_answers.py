"""The golden questions of a release, answered again by the ONNX Runtime of this machine."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np

from sentinel.promotion.layout import GOLDEN, GRAPH
from sentinel.promotion.questions import CLOSE
from sentinel.scoring import Scorer


def golden_difference(folder: Path) -> float:
    """The largest difference to the answers that were released; raises what a strange file makes its reader raise."""
    golden = json.loads((folder / GOLDEN).read_text(encoding="utf-8"))
    numeric = np.array(golden["numeric"], dtype=np.float64)  # null becomes NaN
    categorical = np.array(golden["categorical"], dtype=np.int64).reshape(len(numeric), -1)
    released = np.array(golden["probability"], dtype=np.float64)
    answers = Scorer(folder / GRAPH).score(numeric, categorical)
    if not len(released) or answers.shape != released.shape:
        raise ValueError(f"it has {len(released)} answers to {len(numeric)} questions")
    return float(np.max(np.abs(answers - released)))


def is_close(difference: float) -> bool:
    return math.isfinite(difference) and difference <= CLOSE
