"""A Feast offline store whose point-in-time join is DuckDB's ASOF join.

The stock DuckDB store joins every feature row before the entity row and ranks them; this one finds the latest row
directly, and joins views of one source and key once. Everything but historical retrieval is the stock store's.
"""

# Feast and DuckDB carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pyarrow as pa
from feast.data_format import ParquetFormat
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.feature_view import DUMMY_ENTITY_ID
from feast.infra.offline_stores.duckdb import (
    DuckDBOfflineStore,
    DuckDBOfflineStoreConfig,
    _read_data_source,  # pyright: ignore[reportPrivateUsage] - the stock store's reader of formats other than parquet
)
from feast.infra.offline_stores.file_source import FileSource, SavedDatasetFileStorage
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from pyarrow import parquet
from pydantic import StrictStr

_ENTITIES = "__entities"
_ROW = "__row"
_RESERVED = "__"


class AsofOfflineStoreConfig(DuckDBOfflineStoreConfig):
    type: StrictStr = "sentinel.features.offline_store.AsofOfflineStore"
    threads: int = 2
    memory_limit: str = "2500MB"
    temp_directory: str | None = None  # where joins spill; absent: DuckDB's own choice


@dataclass(frozen=True)
class _Join:
    """One ASOF join: the feature views that read the same source by the same keys."""

    source: Any
    keys: tuple[tuple[str, str], ...]  # (column of the source, column of the entity rows)
    views: tuple[Any, ...]

    @property
    def longest_ttl(self) -> timedelta | None:
        """Older rows answer nothing; None when some view has no ttl."""
        ttls = [view.ttl for view in self.views]
        return max(ttls) if all(ttls) else None


class AsofRetrievalJob(RetrievalJob):
    """Rows come in the order of the entity rows."""

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        sql: str,
        on_demand_feature_views: list[OnDemandFeatureView],
        full_feature_names: bool,
        metadata: RetrievalMetadata,
        repo_path: Path | None,
    ) -> None:
        self._connection = connection
        self._sql = sql
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

    def to_batches(self, rows: int) -> pa.RecordBatchReader:
        """Batches of at most `rows` rows, straight from the engine: neither pandas nor a whole table in memory."""
        if self._on_demand_feature_views:
            raise ValueError("On-demand feature views need the whole table: use to_arrow().")
        return self._connection.sql(self._sql).to_arrow_reader(rows)

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
        """Free the engine's memory; the job answers nothing afterwards."""
        self._connection.close()

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._connection.sql(self._sql).to_arrow_table()

    def _to_df_internal(self, timeout: int | None = None) -> pd.DataFrame:
        return self._to_arrow_internal().to_pandas()


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
        connection = _connect(config.offline_store)
        columns, moment, first, last = _load_entities(connection, entity_df)
        joins, selected = [], [f"e.{_name(column)}" for column in columns]
        taken = set(columns)
        for position, join in enumerate(_group(feature_views)):
            table = f"__view{position}"
            _register(connection, join.source, config.repo_path, f"{table}_source")
            features = _features(join, feature_refs, full_feature_names)
            if twice := taken.intersection(output for _, _, output in features):
                raise ValueError(f"Columns {', '.join(sorted(twice))} would stand twice; use full_feature_names=True.")
            taken.update(output for _, _, output in features)
            joins.append(
                _join_sql(connection, join, table, moment, (first, last), features, filter_by_created_timestamp)
            )
            selected += [_value_sql(table, column, ttl, moment, output) for column, ttl, output in features]
        return AsofRetrievalJob(
            connection,
            f"SELECT {', '.join(selected)} FROM {_ENTITIES} e {' '.join(joins)} ORDER BY e.{_ROW}",
            on_demand,
            full_feature_names,
            RetrievalMetadata(
                features=feature_refs,
                keys=[column for column in columns if column != moment],
                min_event_timestamp=first,
                max_event_timestamp=last,
            ),
            config.repo_path,
        )


def _connect(settings: AsofOfflineStoreConfig) -> duckdb.DuckDBPyConnection:
    options: dict[str, Any] = {"threads": settings.threads, "memory_limit": settings.memory_limit}
    if settings.temp_directory is not None:
        options["temp_directory"] = settings.temp_directory
    connection = duckdb.connect(config=options)
    connection.execute("SET TimeZone = 'UTC'")  # a timestamp without a zone is read as UTC
    return connection


def _load_entities(connection: duckdb.DuckDBPyConnection, entity_df: Any) -> tuple[list[str], str, Any, Any]:
    """Number the entity rows. Returns their columns, the timestamp's name, and its first and last value."""
    if isinstance(entity_df, str):
        connection.execute(f"CREATE TEMP VIEW __given AS {entity_df}")
    else:
        connection.register("__given", entity_df)
    types = _types(connection, "__given")
    if reserved := [column for column in types if column.startswith(_RESERVED)]:
        raise ValueError(f"Entity columns must not begin with {_RESERVED}: {', '.join(reserved)}.")
    moment = _moment(types)
    columns = ", ".join(
        f"CAST({_name(column)} AS TIMESTAMPTZ) AS {_name(column)}" if column == moment else _name(column)
        for column in types
    )
    connection.execute(
        f"CREATE TEMP TABLE {_ENTITIES} AS SELECT {columns}, row_number() OVER () AS {_ROW} FROM __given"
    )
    nulls, first, last = _one_row(
        connection,
        f"SELECT count(*) - count({_name(moment)}), min({_name(moment)}), max({_name(moment)}) FROM {_ENTITIES}",
    )
    if nulls:
        raise ValueError(f"{nulls} entity rows have no {moment}.")
    return list(types), moment, first, last


def _moment(types: dict[str, str]) -> str:
    if "event_timestamp" in types:
        return "event_timestamp"
    stamps = [column for column, kind in types.items() if kind.startswith("TIMESTAMP")]
    if len(stamps) != 1:
        raise ValueError(f"Entity rows need event_timestamp, or exactly one timestamp column; found {stamps}.")
    return stamps[0]


def _group(feature_views: Iterable[Any]) -> list[_Join]:
    groups: dict[Any, _Join] = {}
    for view in feature_views:
        source = view.batch_source
        if source is None:
            raise ValueError(f"Feature view {view.name} has no batch source and cannot be queried.")
        mapped = view.projection.join_key_map
        keys = tuple(
            (column.name, mapped.get(column.name, column.name))
            for column in view.entity_columns
            if column.name != DUMMY_ENTITY_ID
        )
        same = (source.to_proto().SerializeToString(deterministic=True), keys)
        known = groups.get(same, _Join(source, keys, ()))
        groups[same] = _Join(source, keys, (*known.views, view))
    return list(groups.values())


def _features(join: _Join, feature_refs: Sequence[str], full: bool) -> list[tuple[str, timedelta | None, str]]:
    """(column of the source, ttl, column of the result) of what is asked of the join's views."""
    found: list[tuple[str, timedelta | None, str]] = []
    for view in join.views:
        prefix = f"{view.projection.name_to_use()}:"
        base = view.projection.name_alias or view.name
        for reference in feature_refs:
            if reference.startswith(prefix):
                feature = reference.removeprefix(prefix)
                found.append((feature, view.ttl or None, f"{base}__{feature}" if full else feature))
    return found


def _register(connection: duckdb.DuckDBPyConnection, source: Any, repo_path: Path | None, name: str) -> None:
    """Make the source readable as `name`, its columns under their mapped names."""
    raw = f"{name}_raw"
    if isinstance(source, FileSource) and _is_local_parquet(source):
        path = Path(FileSource.get_uri_for_file_path(repo_path=repo_path, uri=source.path.removeprefix("file://")))
        files = path / "**" / "*.parquet" if path.is_dir() else path
        connection.execute(f"CREATE TEMP VIEW {raw} AS SELECT * FROM read_parquet({_text(str(files))})")
    else:
        connection.register(raw, _read_data_source(source, str(repo_path)).to_pyarrow())
    mapped = source.field_mapping
    columns = [f"{_name(column)} AS {_name(mapped.get(column, column))}" for column in _types(connection, raw)]
    connection.execute(f"CREATE TEMP VIEW {name} AS SELECT {', '.join(columns)} FROM {raw}")


def _is_local_parquet(source: FileSource) -> bool:
    is_parquet = source.file_format is None or isinstance(source.file_format, ParquetFormat)
    return is_parquet and "://" not in source.path.removeprefix("file://")


def _join_sql(
    connection: duckdb.DuckDBPyConnection,
    join: _Join,
    table: str,
    moment: str,
    span: tuple[Any, Any],
    features: Sequence[tuple[str, timedelta | None, str]],
    filter_by_created_timestamp: bool,
) -> str:
    source = join.source
    keys = [_name(key) for key, _ in join.keys]
    columns = [f"{key} AS __key{position}" for position, key in enumerate(keys)]
    columns += [_name(feature) for feature in dict.fromkeys(feature for feature, _, _ in features)]
    columns.append(f"CAST({_name(source.timestamp_field)} AS TIMESTAMPTZ) AS __moment")
    if source.created_timestamp_column:
        columns.append(f"CAST({_name(source.created_timestamp_column)} AS TIMESTAMPTZ) AS __created")
    rows = f"SELECT {', '.join(columns)} FROM {table}_source WHERE {_useful(join, span)}"
    if source.created_timestamp_column:
        partition = [f"__key{position}" for position in range(len(keys))]
        rows = _by_arrival(rows, partition) if filter_by_created_timestamp else _latest_created(rows, partition)
    else:
        rows = f"SELECT *, __moment AS __known FROM ({rows})"
    matches = [f"e.{_name(entity)} = {table}.__key{position}" for position, (_, entity) in enumerate(join.keys)]
    matches.append(f"e.{_name(moment)} >= {table}.__known")
    return f"ASOF LEFT JOIN ({rows}) {table} ON {' AND '.join(matches)}"


def _useful(join: _Join, span: tuple[Any, Any]) -> str:
    """Leave out rows that no entity row can see: after the last one, or expired before the first."""
    first, last = span
    if first is None:
        return "false"
    stamp = f"CAST({_name(join.source.timestamp_field)} AS TIMESTAMPTZ)"
    conditions = [f"{stamp} <= TIMESTAMPTZ {_text(last.isoformat())}"]
    if join.longest_ttl is not None:
        conditions.append(f"{stamp} >= TIMESTAMPTZ {_text((first - join.longest_ttl).isoformat())}")
    return " AND ".join(conditions)


def _latest_created(rows: str, partition: Sequence[str]) -> str:
    """Of rows about one moment the last created counts, as in Feast's own stores."""
    return (
        f"SELECT *, __moment AS __known FROM ({rows}) QUALIFY row_number() OVER "
        f"(PARTITION BY {', '.join([*partition, '__moment'])} ORDER BY __created DESC NULLS LAST) = 1"
    )


def _by_arrival(rows: str, partition: Sequence[str]) -> str:
    """A row counts from its arrival on. One that arrives after a row about a later moment never counts: dropped."""
    known = "greatest(__moment, __created)"
    per_key = f"PARTITION BY {', '.join(partition)} " if partition else ""
    return (
        f"SELECT *, {known} AS __known FROM ({rows}) WHERE __created IS NOT NULL "
        f"QUALIFY row(__moment, __created) >= max(row(__moment, __created)) OVER ({per_key}ORDER BY {known}, __moment, "
        "__created ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AND row_number() OVER "
        f"(PARTITION BY {', '.join([*partition, known])} ORDER BY __moment DESC, __created DESC) = 1"
    )


def _value_sql(table: str, column: str, ttl: timedelta | None, moment: str, output: str) -> str:
    value = f"{table}.{_name(column)}"
    if ttl is not None:
        lifetime = f"to_microseconds({ttl // timedelta(microseconds=1)})"
        value = f"CASE WHEN {table}.__moment + {lifetime} >= e.{_name(moment)} THEN {value} END"
    return f"{value} AS {_name(output)}"


def _types(connection: duckdb.DuckDBPyConnection, relation: str) -> dict[str, str]:
    described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    return {str(row[0]): str(row[1]) for row in described}


def _one_row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[Any, ...]:
    row = connection.execute(sql).fetchone()
    assert row is not None
    return row


def _name(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
