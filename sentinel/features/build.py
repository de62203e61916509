"""From transactions.parquet to one parquet file a view, each row stamped when it became knowable.

A version of a transaction is one row of the source: the first record, or a later correction (`recorded_at`).
It speaks from its knowable moment until the next version of the same transaction arrives. Events of one key at one
moment become one row. All arithmetic is on integers, so that neither the order of the source nor of addition matters.
"""

# ibis expressions carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import ibis
import ibis.expr.types as ir

from sentinel.features.spec import Aggregate, FeatureSet, FeatureView, Statistic, microseconds
from sentinel.progress import Progress, silent

KNOWABLE_AT = "knowable_at"  # the timestamp of a row in every view's file
INT64_MAX = 2**63 - 1

_EPOCH = "1970-01-01"
_EXACT = "decimal(38, 0)"  # 128 bits on every engine; values saturate at int64 when they are stored
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
    connection = cast(
        "Any",
        ibis.duckdb.connect(threads=threads, memory_limit=memory_limit, temp_directory=str(folder / "spill")),
    )
    try:
        connection.raw_sql("SET TimeZone = 'UTC'")
        source = connection.read_parquet(transactions)
        files: dict[str, Path] = {}
        for done, view in enumerate(feature_set.views):
            progress(done, len(feature_set.views), view.name)
            files[view.name] = folder / f"{view.name}.parquet"
            rows = view_rows(source, view, feature_set)
            connection.to_parquet(rows, files[view.name], row_group_size=_ROW_GROUP, compression="zstd")
        progress(len(feature_set.views), len(feature_set.views), "views are written")
        return files
    finally:
        connection.disconnect()


def view_rows(source: ir.Table, view: FeatureView, feature_set: FeatureSet) -> ir.Table:
    """The rows of one view, sorted by key and knowable moment; that pair is unique."""
    events = _events(source, view, feature_set)
    if feature_set.has_recorded_at:
        replaced = events.filter(events.replaced_at < events.at + microseconds(view.ttl))
        departures = replaced.select(view.key, at=replaced.replaced_at, value=ibis.null("int64"))
        arrivals = events.select(view.key, "at", "value")
        rows = _corrected(_windows(arrivals.union(departures), view), events, replaced, view)
    else:
        rows = _windows(events, view)
    moment = ibis.timestamp(_EPOCH, timezone="UTC") + rows.at.as_interval("us")
    stored = rows.select(
        view.key,
        **{KNOWABLE_AT: moment},
        **{aggregate.name: _int64(rows[aggregate.name]) for aggregate in view.aggregates},
        **{view.known_at: rows.at},
    )
    return stored.order_by(view.key, KNOWABLE_AT)


def _events(source: ir.Table, view: FeatureView, feature_set: FeatureSet) -> ir.Table:
    """key, at, replaced_at, value: the amount, or 1 for a fraud; a label comes when the bank has it."""
    versions = _versions(source, feature_set)
    if view.kind == "spending":
        found = versions.mutate(value=versions.amount_minor)
    else:
        if feature_set.has_label_available_at:
            arrived = _since_epoch(versions.label_available_at)
        else:
            arrived = _since_epoch(versions.event_timestamp) + microseconds(feature_set.label_delay)
        labelled = versions.mutate(arrived=arrived).filter(versions.is_fraud.notnull(), arrived.notnull())
        # A label never speaks before the version that it belongs to.
        found = labelled.mutate(value=labelled.is_fraud.cast("int64"), at=ibis.greatest(labelled.arrived, labelled.at))
    found = found.filter(found[view.key].notnull())
    columns = [view.key, "at", "value"]
    if not feature_set.has_recorded_at:
        return found.select(*columns)
    return found.filter(found.replaced_at.isnull() | (found.replaced_at > found.at)).select(*columns, "replaced_at")


def _versions(source: ir.Table, feature_set: FeatureSet) -> ir.Table:
    """Every row with `at`, when it became knowable, and `replaced_at`, when the next version did (null: never).

    A row becomes knowable the lag after it was recorded, and it is not recorded before it happened.
    """
    happened, lag = _since_epoch(source.event_timestamp), microseconds(feature_set.ingestion_lag)
    if not feature_set.has_recorded_at:
        return source.mutate(at=happened + lag)
    versions = source.mutate(at=ibis.greatest(_since_epoch(source.recorded_at), happened) + lag)
    of_one_transaction = ibis.window(group_by="transaction_id", order_by="recorded_at")
    return versions.mutate(replaced_at=versions.at.lead().over(of_one_transaction))


def _windows(events: ir.Table, view: FeatureView) -> ir.Table:
    """A row for each key and moment with every aggregate as of then; events without a value only make the row."""
    statistics = dict.fromkeys(aggregate.statistic for aggregate in view.aggregates)
    folded = events.group_by(view.key, "at").agg(**{what: _measure(events, what) for what in statistics})

    def over_window(aggregate: Aggregate) -> ir.Value:
        window = ibis.range_window(
            group_by=view.key, order_by="at", preceding=microseconds(aggregate.window) - 1, following=0
        )
        value = folded[aggregate.statistic]
        return value.max().over(window) if aggregate.statistic == "amount_max" else value.sum().over(window)

    return folded.select(view.key, "at", **{aggregate.name: over_window(aggregate) for aggregate in view.aggregates})


def _corrected(rows: ir.Table, events: ir.Table, replaced: ir.Table, view: FeatureView) -> ir.Table:
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


def _measure(events: ir.Table, statistic: Statistic, where: ir.BooleanValue | None = None) -> ir.Value:
    """One statistic of a group of events; an event without a value counts nothing."""
    value: Any = events.value
    if statistic == "amount_max":
        return value.max(where=where)
    if statistic in ("count", "label_count"):
        return value.count(where=where).cast(_EXACT)
    exact = value.cast(_EXACT)
    # A square beyond int64 saturates the sum whichever way it is counted; cut there, 128 bits hold any sum.
    summand = ibis.least(exact * exact, INT64_MAX) if statistic == "amount_sum_of_squares" else exact
    return summand.cast(_EXACT).sum(where=where).fill_null(0)


def _int64(value: Any) -> ir.Value:
    return ibis.greatest(ibis.least(value, INT64_MAX), -INT64_MAX).cast("int64") if value.type().is_decimal() else value


def _since_epoch(moment: Any) -> Any:
    """Microseconds since 1970."""
    return moment.delta(ibis.timestamp(_EPOCH, timezone="UTC"), unit="microsecond")
