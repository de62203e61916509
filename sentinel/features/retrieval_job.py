"""What our offline store answers with: the rows of one point-in-time join, still in the engine."""

# Feast and DuckDB carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import FileSource, SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from pyarrow import parquet

from sentinel.features.key_ranges import KeyRanges

_BATCH = 131_072


class AsofRetrievalJob(RetrievalJob):
    """Rows come in the order of the entity rows. `ranges`: how many rows are gone through; None: all at once."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        sql: str,
        ranges: KeyRanges | None,
        on_demand_feature_views: list[OnDemandFeatureView],
        full_feature_names: bool,
        metadata: RetrievalMetadata,
        repo_path: Path | None,
    ) -> None:
        self._connection = connection
        self._sql = sql
        self._ranges = ranges
        self._on_demand_feature_views = on_demand_feature_views
        self._full_feature_names = full_feature_names
        self._metadata = metadata
        self._repo_path = repo_path

    @property
    def full_feature_names(self) -> bool:
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        return self._on_demand_feature_views

    @property
    def metadata(self) -> RetrievalMetadata:
        return self._metadata

    def to_sql(self) -> str:
        return self._sql

    def to_batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Batches of at most `rows` rows, straight from the engine: neither pandas nor a whole table in memory."""
        if self._on_demand_feature_views:
            raise ValueError("On-demand feature views need the whole table: use to_arrow().")
        if self._ranges is not None:
            return self._ranges.batches(rows)
        return iter(self._connection.sql(self._sql).to_arrow_reader(rows))

    def persist(self, storage: Any, allow_overwrite: bool = False, timeout: int | None = None) -> None:
        """Write the rows as parquet to a `SavedDatasetFileStorage`."""
        if not isinstance(storage, SavedDatasetFileStorage):
            raise ValueError(f"This store saves to SavedDatasetFileStorage, not to {type(storage).__name__}.")
        uri = storage.file_options.uri
        path = Path(FileSource.get_uri_for_file_path(repo_path=self._repo_path, uri=uri))
        if path.exists() and not allow_overwrite:
            raise SavedDatasetLocationAlreadyExists(location=uri)
        parquet.write_table(self.to_arrow(), path)

    def close(self) -> None:
        """Free the engine's memory and files; the job answers nothing afterwards."""
        self._connection.close()
        if self._ranges is not None:
            self._ranges.close()

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        if self._ranges is not None:
            return pa.Table.from_batches(self._ranges.batches(_BATCH))
        return self._connection.sql(self._sql).to_arrow_table()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal().to_pandas()
