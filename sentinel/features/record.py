"""The record of a build, features.json: what was built from which data, and what each feature looks like."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from sentinel.artifacts import ValidatedData
from sentinel.features.catalogue import list_features
from sentinel.features.spec import FeatureSet
from sentinel.storage import sha256_json

RECORD = "features.json"


def build_record(
    wanted: FeatureSet, data: ValidatedData, table: Path, summaries: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """`table`: features.parquet; `summaries`: of each of its features."""
    file = parquet.ParquetFile(table)
    types = {column.name: str(column.type) for column in file.schema_arrow}
    described = {entry.name: entry for entry in list_features(wanted, None)}
    return {
        "feature_set_hash": wanted.hash,
        "schema_sha256": sha256_json(list(types.items())),
        "transactions_sha256": data.transactions_sha256,
        "validation": {
            "status": "passed with warnings" if data.warnings else "passed",  # data that failed come to no build
            "expectations": data.expectations,
            "warnings": list(data.warnings),
            "sha256": data.sha256,
        },
        "rows": file.metadata.num_rows,
        "features": {
            name: {
                "type": types[name],
                "window": described[name].window,
                "knowable": described[name].knowable,
                **summary,
            }
            for name, summary in summaries.items()
        },
    }


@dataclass
class Summary:
    """Null count, extremes and mean of one int64 feature; exact, so that it does not depend on batches."""

    rows: int = 0
    nulls: int = 0
    total: int = 0
    extremes: list[int] = field(default_factory=list[int])

    def add(self, column: pa.ChunkedArray) -> None:
        self.rows += len(column)
        self.nulls += column.null_count
        if len(column) == column.null_count:
            return
        found = cast("dict[str, int]", pc.call_function("min_max", [column]).as_py())
        self.extremes = [*self.extremes, *found.values()]
        self.extremes = [min(self.extremes), max(self.extremes)]
        # Two halves, because a sum of large int64 values would overflow.
        high = pc.call_function("shift_right", [column, pa.scalar(32, pa.int64())])
        low = pc.call_function("bit_wise_and", [column, pa.scalar(2**32 - 1, pa.int64())])
        self.total += (pc.call_function("sum", [high]).as_py() << 32) + pc.call_function("sum", [low]).as_py()

    def to_dict(self) -> dict[str, Any]:
        known = self.rows - self.nulls
        return {
            "nulls": self.nulls,
            "null_rate": self.nulls / self.rows if self.rows else None,
            "min": self.extremes[0] if known else None,
            "max": self.extremes[1] if known else None,
            "mean": self.total / known if known else None,
        }
