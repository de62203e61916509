"""What the Spark store answers with: rows in the order of the entity rows, computed when they are read."""

# Feast and pyspark carry few types, and pyspark is installed only where Spark is asked for:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingImports=false, reportMissingTypeStubs=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from pyarrow import parquet

from sentinel.features.asof_sql import ROW
from sentinel.features.spark.session import file_uri

_BLOCK = 1_000_000  # rows of a file that waits to be read
_OF_BLOCK = "__block"


class SparkRetrievalJob(RetrievalJob):
    def __init__(
        self,
        rows: Any,
        staging: Path,
        on_demand_feature_views: list[OnDemandFeatureView],
        full_feature_names: bool,
        metadata: RetrievalMetadata,
    ) -> None:
        self._rows = rows
        self._staging = staging
        self._on_demand_feature_views = on_demand_feature_views
        self._full_feature_names = full_feature_names
        self._metadata = metadata

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata:
        return self._metadata

    def to_batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Batches of at most `rows` rows, by way of files: a whole table need not fit into memory."""
        if self._on_demand_feature_views:
            raise ValueError("On-demand feature views need the whole table: use to_arrow().")
        # One sorted file a block of rows: a global sort would first compute everything once to find its ranges.
        blocks = self._rows.selectExpr("*", f"{ROW} DIV {_BLOCK} AS {_OF_BLOCK}")
        blocks = blocks.repartition(_OF_BLOCK).sortWithinPartitions(_OF_BLOCK, ROW)
        blocks.write.mode("overwrite").partitionBy(_OF_BLOCK).parquet(file_uri(self._staging))
        for folder in sorted(
            self._staging.glob(f"{_OF_BLOCK}=*"), key=lambda folder: int(folder.name.partition("=")[2])
        ):
            for file in folder.glob("*.parquet"):
                with parquet.ParquetFile(file) as part:
                    yield from (batch.drop_columns([ROW]) for batch in part.iter_batches(rows))

    def close(self) -> None:
        """Remove what waits on the disk."""
        shutil.rmtree(self._staging, ignore_errors=True)

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._rows.orderBy(ROW).drop(ROW).toArrow()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal().to_pandas()
