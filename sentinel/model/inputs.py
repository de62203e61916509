"""What the model is asked with: the order of its raw inputs and the codes of its categories.

It is stored as inputs.json beside every graph, and is the only way from a table to the graph's two tensors.
It knows neither torch nor what the model derives from these inputs.
"""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from sentinel.errors import DataContractError

MISSING = 0  # code of a null
UNKNOWN = 1  # code of a value that training did not see
FIRST_VALUE = 2
TRANSACTION = ("event_timestamp", "amount_minor")  # the transaction's own numeric inputs, first in this order


@dataclass(frozen=True)
class Vocabulary:
    """The known values of one categorical input; the code of `values[i]` is `FIRST_VALUE + i`."""

    name: str
    values: tuple[str, ...]

    @property
    def codes(self) -> int:
        return FIRST_VALUE + len(self.values)

    def encode(self, column: pa.ChunkedArray) -> NDArray[np.int64]:
        """Codes [N]."""
        known = pc.call_function("index_in", [column], options=pc.SetLookupOptions(pa.array(self.values, pa.string())))
        position = _to_numpy(pc.call_function("coalesce", [known, pa.scalar(-1, pa.int32())]))
        codes = np.where(position < 0, UNKNOWN, position + FIRST_VALUE)
        return np.where(_to_numpy(column.is_null()), MISSING, codes)

    @classmethod
    def from_column(cls, name: str, column: pa.ChunkedArray, least_rows: int = 1, most_values: int = 500) -> Vocabulary:
        """The most frequent values, at most `most_values`, that `least_rows` rows or more of `column` have; sorted."""
        return cls.from_counts(name, count_values(column), least_rows, most_values)

    @classmethod
    def from_counts(cls, name: str, counts: Mapping[str, int], least_rows: int, most_values: int) -> Vocabulary:
        """Of a column that was counted block by block."""
        frequent = sorted((-count, value) for value, count in counts.items() if count >= least_rows)[:most_values]
        return cls(name, tuple(sorted(value for _, value in frequent)))


def count_values(column: pa.ChunkedArray) -> dict[str, int]:
    """How many rows have each value, nulls left out."""
    counts = cast("list[dict[str, Any]]", column.cast(pa.string()).value_counts().to_pylist())
    return {row["values"]: row["counts"] for row in counts if row["values"] is not None}


@dataclass(frozen=True)
class ModelInputs:
    """`numeric`: event_timestamp (microseconds), amount_minor, aggregates, ages, declared numerics."""

    numeric: tuple[str, ...]
    categorical: tuple[Vocabulary, ...] = ()

    @classmethod
    def from_feature_set(cls, feature_set: Mapping[str, Any], vocabularies: Sequence[Vocabulary] = ()) -> ModelInputs:
        """The inputs that a feature_set.json describes. Raises DataContractError when a vocabulary is missing."""
        stored = [entry["name"] for key in ("aggregates", "ages") for entry in feature_set[key]]
        by_name = {vocabulary.name: vocabulary for vocabulary in vocabularies}
        if lacking := [name for name in feature_set["categorical"] if name not in by_name]:
            raise DataContractError(f"No vocabulary was given for the categorical inputs {', '.join(lacking)}.")
        return cls(
            numeric=(*TRANSACTION, *stored, *feature_set["numeric"]),
            categorical=tuple(by_name[name] for name in feature_set["categorical"]),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that `encode` reads."""
        return (*self.numeric, *(vocabulary.name for vocabulary in self.categorical))

    def encode(self, table: pa.Table) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """`numeric` float64 [N, K] with NaN for a null, and `categorical` codes int64 [N, C]."""
        if lacking := [name for name in self.columns if name not in table.column_names]:
            raise DataContractError(
                f"The table lacks the model's inputs {', '.join(lacking)}; it has {', '.join(table.column_names)}. "
                "Build the features again with the feature set the model was trained on."
            )
        numeric = np.empty((table.num_rows, len(self.numeric)), np.float64)
        for position, name in enumerate(self.numeric):
            numeric[:, position] = _numbers(table.column(name))
        categorical = np.empty((table.num_rows, len(self.categorical)), np.int64)
        for position, vocabulary in enumerate(self.categorical):
            categorical[:, position] = vocabulary.encode(table.column(vocabulary.name).cast(pa.string()))
        return numeric, categorical

    def to_dict(self) -> dict[str, Any]:
        return {
            "numeric": list(self.numeric),
            "categorical": [{"name": known.name, "values": list(known.values)} for known in self.categorical],
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> ModelInputs:
        categorical = (Vocabulary(known["name"], tuple(known["values"])) for known in stored["categorical"])
        return cls(tuple(stored["numeric"]), tuple(categorical))


def _numbers(column: pa.ChunkedArray) -> NDArray[np.float64]:
    """float64 [N]; a timestamp becomes microseconds since 1970, a null NaN."""
    if pa.types.is_timestamp(column.type):
        column = column.cast(pa.timestamp("us", column.type.tz)).cast(pa.int64())
    # Not a safe cast: microseconds are below 2**53, and so is every aggregate that a window of card payments can reach.
    return _to_numpy(column.cast(pa.float64(), safe=False)).astype(np.float64, copy=False)


def _to_numpy(column: pa.ChunkedArray) -> NDArray[Any]:
    """A null becomes NaN."""
    return cast("NDArray[Any]", column.to_numpy())
