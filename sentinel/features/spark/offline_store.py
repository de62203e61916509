"""A Feast offline store whose point-in-time join runs on Spark: the rows of AsofOfflineStore, in the same order.

Spark has no ASOF join, and an inequality join multiplies rows. Here questions and feature rows of one key stand in one
sorted line, and each question takes the last feature row before it: one shuffle a key, no row twice.
Everything but historical retrieval is AsofOfflineStore's.
"""

# Feast and pyspark carry few types, and pyspark is installed only where Spark is asked for:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingImports=false, reportMissingTypeStubs=false
# pyright: reportUntypedBaseClass=false

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import groupby
from pathlib import Path
from typing import Any

import pandas as pd
from feast.infra.offline_stores.file_source import FileSource
from feast.infra.offline_stores.offline_store import RetrievalJob, RetrievalMetadata
from feast.on_demand_feature_view import OnDemandFeatureView
from pydantic import StrictStr

from sentinel.features.asof_sql import ROW, Join, group_joins, requested_features
from sentinel.features.offline_store import AsofOfflineStore, AsofOfflineStoreConfig
from sentinel.features.spark.retrieval_job import SparkRetrievalJob
from sentinel.features.spark.session import read_pattern
from sentinel.features.spec import microseconds

_RESERVED = "__"
_AT = "__at"
_IS_QUESTION = "__is_question"  # 0 or 1: at one moment a feature row stands before the question


class SparkAsofOfflineStoreConfig(AsofOfflineStoreConfig):
    type: StrictStr = "sentinel.features.spark.offline_store.SparkAsofOfflineStore"
    staging_folder: str  # answers wait here until they are read; on a cluster a shared folder

    def select(self, columns: Sequence[str], file: Path) -> str:
        """SQL of the `columns` of a parquet file for entity rows, in its order."""
        return f"SELECT {', '.join(columns)}, _metadata.row_index AS {ROW} FROM parquet.`{read_pattern(file)}`"


@dataclass(frozen=True)
class _Source:
    """The rows of one join, ready to stand among the questions."""

    join: Join
    found: str  # the column of the last row: a struct, null where there is none
    features: tuple[tuple[str, timedelta | None, str], ...]  # column of the source, ttl, column of the result


class SparkAsofOfflineStore(AsofOfflineStore):
    @staticmethod
    def get_historical_features(
        config: Any,
        feature_views: list[Any],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str,
        registry: Any,
        project: str,
        full_feature_names: bool = False,
        filter_by_created_timestamp: bool = False,
    ) -> RetrievalJob:
        """`entity_df`: a SELECT that Spark runs; its column ROW, if any, says the order of rows.

        The session is the active one. Only parquet files without a created timestamp are read as sources.
        """
        from pyspark.sql import SparkSession

        session = SparkSession.builder.getOrCreate()
        questions, columns = _load_questions(session, entity_df)
        sources = _plan(feature_views, feature_refs, full_feature_names, columns)
        answers = questions
        for keys, of_keys in groupby(sources, lambda source: [entity for _, entity in source.join.keys]):
            answers = _answer(session, answers, keys, list(of_keys), config.repo_path)
        outputs = [output for source in sources for _, _, output in source.features]
        return SparkRetrievalJob(
            answers.select(ROW, *columns, *outputs),
            Path(config.offline_store.staging_folder),
            OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry),
            full_feature_names,
            RetrievalMetadata(features=feature_refs, keys=[name for name in columns if name != "event_timestamp"]),
        )


def _load_questions(session: Any, entity_df: Any) -> tuple[Any, list[str]]:
    """The entity rows, numbered in ROW, and their own columns."""
    from pyspark.sql import functions as f

    if not isinstance(entity_df, str):
        raise ValueError(f"Entity rows come as a SELECT that Spark runs, not as {type(entity_df).__name__}.")
    rows = session.sql(entity_df)
    if ROW not in rows.columns:
        rows = rows.withColumn(ROW, f.monotonically_increasing_id())
    columns = [name for name in rows.columns if name != ROW]
    if "event_timestamp" not in columns:
        raise ValueError(f"Entity rows need the column event_timestamp; they have {', '.join(columns)}.")
    if reserved := [name for name in columns if name.startswith(_RESERVED)]:
        raise ValueError(f"Entity columns must not begin with {_RESERVED}: {', '.join(reserved)}.")
    return rows.withColumn("event_timestamp", f.col("event_timestamp").cast("timestamp")), columns


def _plan(feature_views: Iterable[Any], refs: Sequence[str], full: bool, taken: Sequence[str]) -> list[_Source]:
    """What is read for what is asked, those of the same keys beside each other."""
    joins = sorted(group_joins(feature_views), key=lambda join: [entity for _, entity in join.keys])
    sources = [
        _Source(join, f"__found{position}", requested_features(join, refs, full)) for position, join in enumerate(joins)
    ]
    names = [*taken, *(output for source in sources for _, _, output in source.features)]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(f"Columns {', '.join(sorted(twice))} would stand twice; use full_feature_names=True.")
    return sources


def _answer(session: Any, questions: Any, keys: list[str], sources: list[_Source], repo_path: Path | None) -> Any:
    """`questions` with the features of `sources`, whose rows are found by `keys`."""
    from pyspark.sql import Window
    from pyspark.sql import functions as f

    line = questions.withColumns({_AT: f.unix_micros("event_timestamp"), _IS_QUESTION: f.lit(1)})
    for source in sources:
        line = line.unionByName(_rows(session, source, repo_path), allowMissingColumns=True)
    until_here = (
        Window.partitionBy(*keys).orderBy(_AT, _IS_QUESTION).rowsBetween(Window.unboundedPreceding, Window.currentRow)
    )
    for source in sources:
        line = line.withColumn(source.found, f.last(source.found, ignorenulls=True).over(until_here))
    asked = line.filter(f.col(_IS_QUESTION) == 1)
    features = {output: _value(source, column, ttl) for source in sources for column, ttl, output in source.features}
    return asked.withColumns(features).drop(_AT, _IS_QUESTION, *(source.found for source in sources))


def _rows(session: Any, source: _Source, repo_path: Path | None) -> Any:
    """Keys, moment, and the features as one struct, which is never null itself."""
    from pyspark.sql import functions as f

    batch = source.join.source
    if not isinstance(batch, FileSource) or batch.created_timestamp_column or batch.field_mapping:
        raise ValueError(f"On Spark a source is parquet with its own column names and moments; {batch.name} is not.")
    path = Path(FileSource.get_uri_for_file_path(repo_path=repo_path, uri=batch.path.removeprefix("file://")))
    rows = session.read.parquet(read_pattern(path))
    at = f.unix_micros(f.col(batch.timestamp_field))
    columns = dict.fromkeys(column for column, _, _ in source.features)
    return rows.filter(" AND ".join(f"`{key}` IS NOT NULL" for key, _ in source.join.keys)).select(
        *(f.col(key).alias(entity) for key, entity in source.join.keys),
        at.alias(_AT),
        f.lit(0).alias(_IS_QUESTION),
        f.struct(at.alias(_AT), *columns).alias(source.found),
    )


def _value(source: _Source, column: str, ttl: timedelta | None) -> Any:
    from pyspark.sql import functions as f

    found = f.col(source.found)
    if ttl is None:
        return found[column]
    return f.when(found[_AT] + microseconds(ttl) >= f.col(_AT), found[column])
