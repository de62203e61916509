"""The views on Spark: the expressions of build.py, computed by Spark, written as the same folders of parquet files."""

# ibis and pyspark carry few types, and pyspark is installed only where Spark is asked for:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingImports=false, reportMissingTypeStubs=false

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import ibis
from pyarrow import parquet

from sentinel.features.build import INT64_MAX, KNOWABLE_AT, MOMENTS, PARTITION_ROWS, stored_columns, versions, view_rows
from sentinel.features.spark.session import file_uri, read_pattern
from sentinel.features.spec import FeatureSet, FeatureView
from sentinel.progress import Progress

_SHUFFLE_ROWS = 500_000  # of a task of Spark's


def build_views(
    session: Any, transactions: Path, feature_set: FeatureSet, folder: Path, *, scratch: Path, progress: Progress
) -> dict[str, Path]:
    """Write `<view>/<partition>.parquet` into `folder` for every view. Returns the folders by view.

    A partition holds the keys of about PARTITION_ROWS transactions; `scratch` the versions of corrected ones.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = parquet.read_metadata(transactions).num_rows
    connection = ibis.pyspark.connect(session)
    size_shuffles(session, rows)
    source = _versions(connection, session, transactions, feature_set, scratch)
    folders = {view.name: folder / view.name for view in feature_set.views}
    for done, view in enumerate(feature_set.views):
        progress(done, len(feature_set.views), view.name)
        found = session.sql(_sql(connection, view_rows(source, view, feature_set)))
        _write(found, view, folders[view.name], partitions=math.ceil(rows / PARTITION_ROWS) or 1)
    progress(len(feature_set.views), len(feature_set.views), "views are written")
    return folders


def size_shuffles(session: Any, rows: int) -> None:
    """As many tasks as there are cores, or as rows ask for; Spark's own 200 are too many here and too few there."""
    tasks = max(session.sparkContext.defaultParallelism, math.ceil(rows / _SHUFFLE_ROWS))
    session.conf.set("spark.sql.shuffle.partitions", str(tasks))


def _versions(connection: Any, session: Any, transactions: Path, feature_set: FeatureSet, scratch: Path) -> Any:
    """The versions of every transaction, their moments as int64 microseconds, found once for all views."""
    session.read.parquet(read_pattern(transactions)).createOrReplaceTempView("transactions")
    amount_type = _amount_type(session)
    columns = ", ".join(_as_number(name, amount_type) for name in parquet.read_schema(transactions).names)
    found = versions(connection.sql(f"SELECT {columns} FROM transactions"), feature_set)
    if not feature_set.has_recorded_at:
        return found
    folder = scratch / "versions"
    session.sql(_sql(connection, found)).write.mode("overwrite").parquet(file_uri(folder))
    session.read.parquet(read_pattern(folder)).createOrReplaceTempView("versions")
    return connection.table("versions")


def _amount_type(session: Any) -> str:
    """What adds amounts and their squares up without an overflow; 64 bits, which are several times faster, if they do.

    No window holds more than all rows, and an amount is no larger than its square.
    """
    (total,) = session.sql("SELECT sum(CAST(amount_minor AS DOUBLE) * amount_minor) FROM transactions").first()
    return "BIGINT" if (total or 0) < INT64_MAX / 2 else "DECIMAL(38, 0)"


def _as_number(column: str, amount_type: str) -> str:
    name = _quoted(column)
    if column in MOMENTS:
        return f"unix_micros({name}) AS {name}"
    return f"CAST({name} AS {amount_type}) AS {name}" if column == "amount_minor" else name


def _sql(connection: Any, expression: Any) -> str:
    return str(connection.compile(expression))


def _write(rows: Any, view: FeatureView, folder: Path, *, partitions: int) -> None:
    """As build.py does: a partition of the keys a file, sorted by key and moment."""
    keys = [_quoted(key) for key in view.keys]
    columns = [f"timestamp_micros(at) AS {KNOWABLE_AT}", *stored_columns(view, _quoted)]
    columns.append(f"at AS {_quoted(view.known_at)}")
    sorted_rows = rows.repartition(partitions, *view.keys).sortWithinPartitions(*view.keys, "at")
    written = folder.with_name(f"{folder.name}.spark")
    _nullable(sorted_rows.selectExpr(*keys, *columns)).write.parquet(file_uri(written))
    folder.mkdir()
    for number, file in enumerate(sorted(written.glob("part-*.parquet"))):
        file.rename(folder / f"{number:03}.parquet")
    shutil.rmtree(written)


def _nullable(rows: Any) -> Any:
    """Spark knows that a count is never null, and would write another parquet type for it."""
    return rows.selectExpr(
        *(f"IF({KNOWABLE_AT} IS NOT NULL, {_quoted(name)}, NULL) AS {_quoted(name)}" for name in rows.columns)
    )


def _quoted(column: str) -> str:
    return "`" + column.replace("`", "``") + "`"
