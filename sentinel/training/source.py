"""Where the training stage reads: the feature table, part by part."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pyarrow as pa

from sentinel.artifacts import FeatureTable, Splits
from sentinel.model.inputs import ModelInputs, Vocabulary
from sentinel.training.splits import TABLE, read_part, read_splits

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
        names = self.feature_set["categorical"]
        table = read_part(self.table, self.splits, "train", names) if names else pa.table({})
        vocabularies = [Vocabulary.from_column(name, table[name], LEAST_ROWS_OF_A_VALUE, MOST_VALUES) for name in names]
        return ModelInputs.from_feature_set(self.feature_set, vocabularies)

    def read(self, part: str, inputs: ModelInputs) -> pa.Table:
        columns = dict.fromkeys([*inputs.columns, *self.described_by])
        return read_part(self.table, self.splits, part, list(columns))


def open_source(table: FeatureTable, splits: Splits, home: Path) -> Source:
    folder = table.locate(home)
    feature_set = cast("dict[str, Any]", json.loads((folder / FEATURE_SET).read_text()))
    return Source(folder / TABLE, feature_set, read_splits(splits.locate(home)))
