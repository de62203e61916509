"""What the gates are computed from: files that stay with the release, so that every value can be computed again.

Which value a file must hold is the gates' affair; `collection` writes them.
"""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sentinel.config import Gates

SCORES = "scores.parquet"
VERDICT = "verdict.json"
AUDIT = "audit.json"
ONLINE = "online.json"
PARITY = "parity.json"
LATENCY = "latency.json"  # and what else the clean process measured
TRAINING = "training.json"
CHAMPION = "champion.json"
INPUTS = "inputs.json"
DRAWS = "draws.json"  # seed and count of the bootstrap's draws
ANSWERS = "golden_answers.json"
ODD_INPUTS = "odd_inputs.parquet"
RENAMED_IDS = "renamed_ids.parquet"
RAISED_AMOUNTS = "raised_amounts.parquet"
BLOCK = "block"  # column of SCORES: rows of one customer, which the bootstrap draws together
SLICE = "slice "  # begins the columns of SCORES that name a row's slice


@dataclass(frozen=True)
class Evidence:
    """The evidence in one folder, and the bounds it is held to. What is missing or damaged raises at first use."""

    folder: Path
    settings: Gates

    @cached_property
    def scores(self) -> pa.Table:
        """A row a test transaction: label, block, slices, and the scores `serving`, `fp32`, `logistic`, `champion`."""
        return self.table(SCORES)

    @cached_property
    def labels(self) -> NDArray[np.bool_]:
        return self._column("is_fraud").astype(bool)

    @cached_property
    def blocks(self) -> NDArray[np.int64]:
        found = self._column(BLOCK).astype(np.int64)
        if not len(found) or found.min() < 0:
            raise ValueError(f"{SCORES} names no blocks of rows")
        return found

    @cached_property
    def threshold(self) -> float:
        return float(self.read(TRAINING)["threshold"])

    def score(self, name: str) -> NDArray[np.float64]:
        """One score a test row; NaN where there is none."""
        return self._column(name).astype(np.float64)

    def slices(self) -> dict[str, NDArray[np.bool_]]:
        """Which rows belong to each slice, by the slice's name."""
        found: dict[str, NDArray[np.bool_]] = {}
        for column in self.scores.column_names:
            if column.startswith(SLICE):
                coded = self.scores.column(column).combine_chunks().dictionary_encode()
                codes = np.from_dlpack(coded.indices)
                names = cast("list[str]", coded.dictionary.to_pylist())
                found |= {f"{column.removeprefix(SLICE)} {name}": codes == at for at, name in enumerate(names)}
        return found

    def read(self, name: str) -> dict[str, Any]:
        return cast("dict[str, Any]", json.loads((self.folder / name).read_text()))

    def table(self, name: str) -> pa.Table:
        return pq.ParquetFile(self.folder / name).read()

    def _column(self, name: str) -> NDArray[Any]:
        if name not in self.scores.column_names:
            raise KeyError(f"{SCORES} has no column {name}")
        return values_of(self.scores, name)


def values_of(table: pa.Table, name: str) -> NDArray[Any]:
    """The numbers or truths of a column; raises TypeError where one is null. Arrow's own way would load pandas."""
    column = table.column(name).combine_chunks()
    is_truth = pa.types.is_boolean(column.type)
    return cast("NDArray[Any]", np.from_dlpack(column.cast(pa.uint8()) if is_truth else column))
