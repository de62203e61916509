"""Where the training stage reads: the feature table, part by part."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sentinel.artifacts import FeatureTable, Splits
from sentinel.model.inputs import ModelInputs, Vocabulary, count_values
from sentinel.training.data.splits import TABLE, read_blocks, read_splits

FEATURE_SET = "feature_set.json"
DESCRIBING = ("transaction_id", "event_timestamp", "customer_id", "amount_minor", "is_fraud")
LEAST_ROWS_OF_A_VALUE = 20  # a rarer category trains the code of unknown values
MOST_VALUES = 500  # of one categorical input; the most frequent are kept


@dataclass(frozen=True)
class Source:
    """`feature_set` is the content of feature_set.json, `splits` that of splits.json."""

    table: Path
    feature_set: Mapping[str, Any]
    splits: Mapping[str, Any]

    @property
    def described_by(self) -> tuple[str, ...]:
        """The columns that scores.parquet keeps beside the scores; an age that is null says that the key is new."""
        ages = [age["name"] for age in self.feature_set["ages"] if age["kind"] == "spending"]
        return (*DESCRIBING, *self.feature_set["categorical"], *self.feature_set["slices"], *ages)

    def inputs(self) -> ModelInputs:
        """The vocabularies come from the training rows alone."""
        counts: dict[str, Counter[str]] = {name: Counter() for name in self.feature_set["categorical"]}
        for block in self.blocks("train", list(counts)) if counts else ():
            for name, counted in counts.items():
                counted.update(count_values(block[name]))
        vocabularies = [
            Vocabulary.from_counts(name, counted, LEAST_ROWS_OF_A_VALUE, MOST_VALUES)
            for name, counted in counts.items()
        ]
        return ModelInputs.from_feature_set(self.feature_set, vocabularies)

    def labels(self, part: str) -> NDArray[np.bool_]:
        """Whether each row of the part is fraud, in the table's order."""
        blocks = [block["is_fraud"].to_numpy() for block in self.blocks(part, ["is_fraud"])]
        return np.concatenate([np.zeros(0, np.bool_), *blocks])

    def blocks(self, part: str, columns: Sequence[str]) -> Iterator[pa.Table]:
        """The part a few rows at a time, in the table's order."""
        return read_blocks(self.table, self.splits, part, columns)

    def rows(self, part: str, columns: Sequence[str], positions: NDArray[np.int64]) -> pa.Table:
        """The rows at `positions` of the part, in the table's order."""
        found: list[pa.Table] = []
        wanted, start = np.sort(positions), 0
        for block in self.blocks(part, columns):
            first, last = np.searchsorted(wanted, [start, start + block.num_rows])
            found.append(block.take(pa.array(wanted[first:last] - start)))
            start += block.num_rows
        return pa.concat_tables(found)


def open_source(table: FeatureTable, splits: Splits, home: Path) -> Source:
    folder = table.locate(home)
    feature_set = cast("dict[str, Any]", json.loads((folder / FEATURE_SET).read_text()))
    return Source(folder / TABLE, feature_set, read_splits(splits.locate(home)))
