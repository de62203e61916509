"""The rows of one part of the splits, as the model is asked about them."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sentinel.artifacts import FeatureTable, Splits, TrainedModel
from sentinel.errors import RecordInvalid
from sentinel.model.inputs import ModelInputs

FEATURES, SPLITS, INPUTS = "features.parquet", "splits.json", "inputs.json"
IDENTITY = ("transaction_id", "event_timestamp", "amount_minor", "is_fraud")


@dataclass(frozen=True)
class Rows:
    """`identity` [N]: transaction_id, event_timestamp, amount_minor, is_fraud (never null)."""

    identity: pa.Table
    numeric: NDArray[np.float64]  # [N, K]
    categorical: NDArray[np.int64]  # [N, C]

    def __len__(self) -> int:
        return len(self.numeric)

    def take(self, positions: NDArray[np.int64]) -> Rows:
        return Rows(self.identity.take(positions), self.numeric[positions], self.categorical[positions])

    def spread(self, count: int) -> Rows:
        """At most `count` rows, evenly over the whole part."""
        return self.take(np.linspace(0, len(self) - 1, min(count, len(self))).astype(np.int64))

    @property
    def labels(self) -> NDArray[np.bool_]:
        return self.identity.column("is_fraud").to_numpy().astype(bool)

    @property
    def amounts(self) -> NDArray[np.int64]:
        """Minor units."""
        return self.identity.column("amount_minor").to_numpy()


def read_rows(part: str, model: TrainedModel, table: FeatureTable, splits: Splits, home: Path) -> Rows:
    """The rows of `part` that count, in the table's order. Raises RecordInvalid when there are none."""
    inputs = read_inputs(model.locate(home))
    described = cast("dict[str, Any]", json.loads((splits.locate(home) / SPLITS).read_text()))[part]
    columns = list(dict.fromkeys([*IDENTITY, *inputs.columns]))
    rows = pq.read_table(table.locate(home) / FEATURES, columns=columns, filters=_within(described))
    if not described["unlabelled_is_genuine"]:
        rows = rows.filter(pc.field("is_fraud").is_valid())
    if not len(rows):
        raise RecordInvalid(f"The feature table has no {part} rows, though the splits name some. Run again.")
    numeric, categorical = inputs.encode(rows)
    return Rows(_labelled(rows.select(IDENTITY)), numeric, categorical)


def read_inputs(folder: Path) -> ModelInputs:
    return ModelInputs.from_dict(json.loads((folder / INPUTS).read_text()))


def _labelled(identity: pa.Table) -> pa.Table:
    """A row that counts and has no label is genuine."""
    column = identity.schema.get_field_index("is_fraud")
    return identity.set_column(column, "is_fraud", identity.column("is_fraud").fill_null(False))


def _within(part: dict[str, Any]) -> pc.Expression:
    start, end = (_timestamp(part[edge]) for edge in ("start", "end"))
    time = pc.field("event_timestamp")
    return (time >= start) & (time < end)


def _timestamp(text: str) -> pa.Scalar:
    return pa.scalar(datetime.fromisoformat(text), pa.timestamp("us", "UTC"))
