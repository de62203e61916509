"""A Feast offline store whose point-in-time join is DuckDB's ASOF join.

The stock DuckDB store joins every feature row before the entity row and ranks them; this one finds the latest row
directly, joins views of one source and key once, and works through many rows in ranges of their keys. Everything but
historical retrieval is the stock store's.
"""

# Feast and DuckDB carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUntypedBaseClass=false

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from feast.data_format import ParquetFormat
from feast.infra.offline_stores.duckdb import (
    DuckDBOfflineStore,
    DuckDBOfflineStoreConfig,
    _read_data_source,  # pyright: ignore[reportPrivateUsage] - the stock store's reader of formats other than parquet
)
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from pydantic import StrictStr

from sentinel.features.asof_sql import (
    ENTITIES,
    ROW,
    Lookup,
    Questions,
    group_joins,
    literal,
    quoted,
    requested_features,
    whole_sql,
)
from sentinel.features.key_ranges import KeyRanges, find_ranges
from sentinel.features.retrieval_job import AsofRetrievalJob

_RESERVED = "__"


class AsofOfflineStoreConfig(DuckDBOfflineStoreConfig):
    type: StrictStr = "sentinel.features.offline_store.AsofOfflineStore"
    threads: int = 2
    memory_limit: str = "2500MB"
    temp_directory: str | None = None  # where joins spill; absent: DuckDB's own choice
    range_rows: int = 1_000_000  # of entity rows or of a source, that are joined at once

    def select(self, columns: Sequence[str], file: Path) -> str:
        """The `columns` of a parquet file as entity rows, in its order."""
        return f"SELECT {', '.join(columns)} FROM read_parquet({literal(str(file))})"


class AsofOfflineStore(DuckDBOfflineStore):
    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: pd.DataFrame | pa.Table | str,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """`entity_df`: a pandas or Arrow table, or a SELECT that DuckDB runs (for instance on read_parquet)."""
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        if unsupported := [view.name for view in on_demand if view.mode == "substrait"]:
            raise ValueError(f"On-demand views in substrait mode are not supported: {', '.join(unsupported)}.")
        settings = config.offline_store
        connection = _connect(settings)
        asked = _load_entities(connection, entity_df)
        lookups: list[Lookup] = []
        taken = set(asked.types)
        for position, join in enumerate(group_joins(feature_views)):
            features = requested_features(join, feature_refs, full_feature_names)
            lookup = Lookup(join, f"__view{position}", features, filter_by_created_timestamp)
            _register(connection, join.source, config.repo_path, lookup.source)
            if twice := taken.intersection(lookup.outputs):
                raise ValueError(f"Columns {', '.join(sorted(twice))} would stand twice; use full_feature_names=True.")
            taken.update(lookup.outputs)
            lookups.append(lookup)
        return AsofRetrievalJob(
            connection,
            whole_sql(asked, lookups),
            _ranges(connection, asked, lookups, settings),
            on_demand,
            full_feature_names,
            RetrievalMetadata(
                features=feature_refs,
                keys=[column for column in asked.types if column != asked.moment],
                min_event_timestamp=asked.first,
                max_event_timestamp=asked.last,
            ),
            config.repo_path,
        )


def _connect(settings: AsofOfflineStoreConfig) -> duckdb.DuckDBPyConnection:
    options: dict[str, Any] = {"threads": settings.threads, "memory_limit": settings.memory_limit}
    if settings.temp_directory is not None:
        options["temp_directory"] = settings.temp_directory
    connection = duckdb.connect(config=options)
    connection.execute("SET TimeZone = 'UTC'")  # a timestamp without a zone is read as UTC
    connection.execute("SET parquet_metadata_cache = true")  # no file changes while a job reads it, some many times
    return connection


def _ranges(
    connection: duckdb.DuckDBPyConnection, asked: Questions, lookups: list[Lookup], settings: AsofOfflineStoreConfig
) -> KeyRanges | None:
    """How to go through the keys; None when one query answers all at once."""
    types = {lookup.source: _types(connection, lookup.source) for lookup in lookups}
    found = find_ranges(connection, asked, lookups, types, settings.range_rows)
    scratch = Path(settings.temp_directory) if settings.temp_directory else None
    block = math.ceil(settings.range_rows / 2)
    return None if found is None else KeyRanges(connection, asked, tuple(lookups), found, block, scratch)


def _load_entities(connection: duckdb.DuckDBPyConnection, entity_df: Any) -> Questions:
    """Number the entity rows."""
    if isinstance(entity_df, str):
        connection.execute(f"CREATE TEMP VIEW __given AS {entity_df}")
    else:
        connection.register("__given", entity_df)
    types = _types(connection, "__given")
    if reserved := [column for column in types if column.startswith(_RESERVED)]:
        raise ValueError(f"Entity columns must not begin with {_RESERVED}: {', '.join(reserved)}.")
    moment = _moment(types)
    columns = ", ".join(
        f"CAST({quoted(column)} AS TIMESTAMPTZ) AS {quoted(column)}" if column == moment else quoted(column)
        for column in types
    )
    connection.execute(f"CREATE TEMP TABLE {ENTITIES} AS SELECT {columns}, row_number() OVER () AS {ROW} FROM __given")
    stamp = quoted(moment)
    rows, stamped, first, last = _one_row(
        connection, f"SELECT count(*), count({stamp}), min({stamp}), max({stamp}) FROM {ENTITIES}"
    )
    if stamped < rows:
        raise ValueError(f"{rows - stamped} entity rows have no {moment}.")
    return Questions(types, moment, first, last, rows)


def _moment(types: dict[str, str]) -> str:
    if "event_timestamp" in types:
        return "event_timestamp"
    stamps = [column for column, kind in types.items() if kind.startswith("TIMESTAMP")]
    if len(stamps) != 1:
        raise ValueError(f"Entity rows need event_timestamp, or exactly one timestamp column; found {stamps}.")
    return stamps[0]


def _register(connection: duckdb.DuckDBPyConnection, source: Any, repo_path: Path | None, name: str) -> None:
    """Make the source readable as `name`, its columns under their mapped names."""
    raw = f"{name}_raw"
    if isinstance(source, FileSource) and _is_local_parquet(source):
        path = Path(FileSource.get_uri_for_file_path(repo_path=repo_path, uri=source.path.removeprefix("file://")))
        files = path / "**" / "*.parquet" if path.is_dir() else path
        connection.execute(f"CREATE TEMP VIEW {raw} AS SELECT * FROM read_parquet({literal(str(files))})")
    else:
        connection.register(raw, _read_data_source(source, str(repo_path)).to_pyarrow())
    mapped = source.field_mapping
    columns = [f"{quoted(column)} AS {quoted(mapped.get(column, column))}" for column in _types(connection, raw)]
    connection.execute(f"CREATE TEMP VIEW {name} AS SELECT {', '.join(columns)} FROM {raw}")


def _is_local_parquet(source: FileSource) -> bool:
    is_parquet = source.file_format is None or isinstance(source.file_format, ParquetFormat)
    return is_parquet and "://" not in source.path.removeprefix("file://")


def _types(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {str(row[0]): str(row[1]) for row in described}


def _one_row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row
