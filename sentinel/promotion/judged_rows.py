"""The rows that a candidate is judged by: its test part, as it was scored in training and as the graph is asked."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sentinel.artifacts import OnnxModel, Splits, TrainedModel
from sentinel.errors import RecordInvalid
from sentinel.model.inputs import ModelInputs
from sentinel.promotion.parts import aligned, rows_of
from sentinel.scoring import Categorical, Numeric
from sentinel.slices import amounts_of


@dataclass(frozen=True)
class JudgedRows:
    """`scored`: as training left them. `table`: their feature rows, in that order, and encoded for the graph."""

    scored: pa.Table
    reference_amounts: NDArray[np.int64]
    table: pa.Table
    inputs: ModelInputs
    numeric: Numeric
    categorical: Categorical
    feature_set: Mapping[str, Any]

    def spread(self, count: int) -> NDArray[np.int64]:
        return np.unique(np.linspace(0, len(self.numeric) - 1, min(count, len(self.numeric))).astype(int))

    def at(self, rows: NDArray[np.int64]) -> tuple[Numeric, Categorical]:
        return self.numeric[rows], self.categorical[rows]


def read_judged_rows(trained: TrainedModel, onnx: OnnxModel, splits: Splits, *, home: Path) -> JudgedRows:
    """Raises RecordInvalid when the training left none, or others than the feature table has."""
    file = trained.locate(home) / "scores.parquet"
    scored = pq.read_table(file, filters=[("split", "==", "test")])
    if not scored.num_rows:
        raise RecordInvalid(f"{file} has no rows of the test part, so nothing can be judged. Run the training again.")
    reference = pq.read_table(file, columns=["amount_minor"], filters=[("split", "==", "calibration")])
    inputs = ModelInputs.from_dict(json.loads((onnx.locate(home) / "inputs.json").read_text()))
    table = aligned(rows_of(splits, "test", home=home), scored)
    features = (home / splits.table).parent
    feature_set = cast("dict[str, Any]", json.loads((features / "feature_set.json").read_text()))
    return JudgedRows(scored, amounts_of(reference), table, inputs, *inputs.encode(table), feature_set)
