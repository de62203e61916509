"""From transactions.parquet to one parquet file a view, each row stamped when it became knowable.

A version of a transaction is one row of the source: the first record, or a later correction (`recorded_at`).
It speaks from its knowable moment until a later version of the same transaction is known. Events of one key at one
moment become one row. All arithmetic is on integers, so that neither the order of the source nor of addition matters.
"""

# ibis expressions carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import math
import shutil
import warnings
from pathlib import Path
from typing import Any

import ibis
from pyarrow import parquet

from sentinel.features.asof_sql import literal
from sentinel.features.spec import Aggregate, FeatureSet, FeatureView, Statistic, microseconds
from sentinel.progress import Progress, silent

KNOWABLE_AT = "knowable_at"  # the timestamp of a row in every view's file
INT64_MAX = 2**63 - 1

_MOMENTS = ("event_timestamp", "recorded_at", "label_available_at")
_LARGEST_ROOT = math.isqrt(INT64_MAX)
_ROW_GROUP = 122_880


def build_views(
    transactions: Path,
    feature_set: FeatureSet,
    folder: Path,
    *,
    threads: int = 2,
    memory_limit: str = "2500MB",
    progress: Progress = silent,
) -> dict[str, Path]:
    """Write `<view>.parquet` into `folder` for every view; spills to `folder`/spill. Returns the files by view."""
    folder.mkdir(parents=True, exist_ok=True)
    spill = folder / "spill"
    connection = ibis.duckdb.connect(threads=threads, memory_limit=memory_limit, temp_directory=str(spill))
    try:
        connection.raw_sql("SET TimeZone = 'UTC'")
        source = _read(connection, transactions)
        files: dict[str, Path] = {}
        for done, view in enumerate(feature_set.views):
            progress(done, len(feature_set.views), view.name)
            files[view.name] = folder / f"{view.name}.parquet"
            _write(connection, view_rows(source, view, feature_set), view, files[view.name])
        progress(len(feature_set.views), len(feature_set.views), "views are written")
        return files
    finally:
        connection.disconnect()
        shutil.rmtree(spill, ignore_errors=True)


def view_rows(source: Any, view: FeatureView, feature_set: FeatureSet) -> Any:
    """A row for each key and knowable moment `at`: the aggregates as of then. Moments are int64 microseconds."""
    events: Any = _events(source, view, feature_set)
    if not feature_set.has_recorded_at:
        return _windows(events, view)
    replaced = events.filter(events.replaced_at < events.at + microseconds(view.ttl))
    departures = replaced.select(view.key, at=replaced.replaced_at, value=ibis.null("int64"))
    arrivals = events.select(view.key, "at", "value")
    return _corrected(_windows(arrivals.union(departures), view), events, replaced, view)


def _read(connection: Any, transactions: Path) -> Any:
    """The transactions with every moment as int64 microseconds since 1970."""
    present = parquet.read_schema(transactions).names
    moments = ", ".join(f"epoch_us({name}) AS {name}" for name in _MOMENTS if name in present)
    with warnings.catch_warnings():
        # ibis 12 still calls what DuckDB 1.5 renames; Feast makes such warnings visible.
        warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
        return connection.sql(f"SELECT * REPLACE ({moments}) FROM read_parquet({literal(str(transactions))})")


def _write(connection: Any, rows: Any, view: FeatureView, file: Path) -> None:
    """Sort by key and moment, and cut sums (128 bits in the engine) at what int64 holds."""
    aggregates = ", ".join(f'{_stored(aggregate)} AS "{aggregate.name}"' for aggregate in view.aggregates)
    connection.raw_sql(
        f'COPY (SELECT "{view.key}", make_timestamptz("at") AS {KNOWABLE_AT}, {aggregates}, "at" AS "{view.known_at}" '
        f'FROM ({ibis.to_sql(rows, dialect="duckdb")}) ORDER BY "{view.key}", "at") '
        f"TO {literal(str(file))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})"
    )


def _stored(aggregate: Aggregate) -> str:
    if aggregate.statistic == "amount_max":
        return f'"{aggregate.name}"'  # null where every version of the window was taken back
    return f'CAST(greatest(least("{aggregate.name}", {INT64_MAX}), -{INT64_MAX}) AS BIGINT)'


def _events(source: Any, view: FeatureView, feature_set: FeatureSet) -> Any:
    """key, at, replaced_at, value: the amount, or 1 for a fraud; a label comes when the bank has it."""
    versions = _versions(source, feature_set)
    if view.kind == "spending":
        found = versions.mutate(value=versions.amount_minor)
    else:
        if feature_set.has_label_available_at:
            arrived = versions.label_available_at
        else:
            arrived = versions.event_timestamp + microseconds(feature_set.label_delay)
        labelled = versions.mutate(arrived=arrived).filter(versions.is_fraud.notnull(), arrived.notnull())
        # A label never speaks before the version that it belongs to.
        found = labelled.mutate(value=labelled.is_fraud.cast("int64"), at=ibis.greatest(labelled.arrived, labelled.at))
    found = found.filter(found[view.key].notnull())
    columns = [view.key, "at", "value"]
    if not feature_set.has_recorded_at:
        return found.select(*columns)
    return found.filter(found.replaced_at.isnull() | (found.replaced_at > found.at)).select(*columns, "replaced_at")


def _versions(source: Any, feature_set: FeatureSet) -> Any:
    """Every row with `at`, when it became knowable, and `replaced_at`, when a later version first did (null: never).

    A row becomes knowable the lag after it was recorded, and it is not recorded before it happened.
    """
    happened, lag = source.event_timestamp, microseconds(feature_set.ingestion_lag)
    if not feature_set.has_recorded_at:
        return source.mutate(at=happened + lag)
    first_known: Any = ibis.greatest(source.recorded_at, happened)
    versions = source.mutate(at=first_known + lag)
    later_versions = ibis.window(group_by="transaction_id", order_by="recorded_at", rows=(1, None))
    return versions.mutate(replaced_at=versions.at.min().over(later_versions))


def _windows(events: Any, view: FeatureView) -> Any:
    """A row for each key and moment with every aggregate as of then; events without a value only make the row."""
    statistics: list[Statistic] = sorted({aggregate.statistic for aggregate in view.aggregates})
    folded = events.group_by(view.key, "at").agg(**{what: _measure(events, what) for what in statistics})

    def over_window(aggregate: Aggregate) -> Any:
        window = ibis.range_window(
            group_by=view.key, order_by="at", preceding=microseconds(aggregate.window) - 1, following=0
        )
        value = folded[aggregate.statistic]
        return value.max().over(window) if aggregate.statistic == "amount_max" else value.sum().over(window)

    return folded.select(view.key, "at", **{aggregate.name: over_window(aggregate) for aggregate in view.aggregates})


def _corrected(rows: Any, events: Any, replaced: Any, view: FeatureView) -> Any:
    """`rows` with those counted anew whose windows hold a version that had been replaced by then."""
    key, ttl = view.key, microseconds(view.ttl)
    touched = rows.semi_join(
        replaced,
        [
            rows[key] == replaced[key],
            rows.at >= replaced.replaced_at,
            rows.at < replaced.at + ttl,
        ],
    ).select(entity=key, moment="at")
    alive = touched.left_join(
        events,
        [
            touched.entity == events[key],
            events.at <= touched.moment,
            events.at > touched.moment - ttl,
            events.replaced_at.isnull() | (events.replaced_at > touched.moment),
        ],
    )
    anew = alive.group_by("entity", "moment").agg(
        **{
            f"anew_{aggregate.name}": _measure(
                alive, aggregate.statistic, alive.at > alive.moment - microseconds(aggregate.window)
            )
            for aggregate in view.aggregates
        }
    )
    both = rows.left_join(anew, [rows[key] == anew.entity, rows.at == anew.moment])
    return both.select(
        key,
        "at",
        **{
            aggregate.name: both.moment.notnull().ifelse(both[f"anew_{aggregate.name}"], both[aggregate.name])
            for aggregate in view.aggregates
        },
    )


def _measure(events: Any, statistic: Statistic, where: Any = None) -> Any:
    """One statistic of a group of events; an event without a value counts nothing."""
    value: Any = events.value
    if statistic == "amount_max":
        return value.max(where=where)
    if statistic in ("count", "label_count"):
        return value.count(where=where)
    if statistic == "amount_sum_of_squares":
        # A square beyond int64 makes its sum saturate however it is counted, so it may be cut here.
        value = value.between(-_LARGEST_ROOT, _LARGEST_ROOT).ifelse(
            value * value, value.isnull().ifelse(None, INT64_MAX)
        )
    return value.sum(where=where).fill_null(0)
