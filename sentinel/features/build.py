"""From transactions.parquet to a folder of parquet files a view, each row stamped when it became knowable.

A version of a transaction is one row of the source: the first record, or a later correction (`recorded_at`).
It speaks from its knowable moment until a later version of the same transaction is known. Events of one key at one
moment become one row. All arithmetic is on integers, so that neither the order of the source nor of addition matters.

What decides a value is one set of Ibis expressions (`versions`, `view_rows`). Here DuckDB computes them, a partition
of the keys at a time: no key needs another, memory stays bounded, and the time grows with the rows.
"""

# ibis expressions carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import math
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ibis
from pyarrow import parquet

from sentinel.feature_spec import EXTREMES, Statistic
from sentinel.features.spec import Aggregate, FeatureSet, FeatureView, microseconds, span
from sentinel.features.sql_text import literal, quoted
from sentinel.progress import Progress, silent

KNOWABLE_AT = "knowable_at"  # the timestamp of a row in every view's files
INT64_MAX = 2**63 - 1
PARTITION_ROWS = 4_000_000

MOMENTS = ("event_timestamp", "recorded_at", "label_available_at")
_LARGEST_ROOT = math.isqrt(INT64_MAX)
_ROW_GROUP = 122_880


def build_views(
    transactions: Path,
    feature_set: FeatureSet,
    folder: Path,
    *,
    threads: int = 2,
    memory_limit: str = "2500MB",
    partition_rows: int = PARTITION_ROWS,
    progress: Progress = silent,
) -> dict[str, Path]:
    """Write `<view>/<partition>.parquet` into `folder` for every view; spills there too. Returns the folders by view.

    A partition holds the keys of about `partition_rows` transactions.
    """
    folder.mkdir(parents=True, exist_ok=True)
    spill = folder / "spill"
    connection = ibis.duckdb.connect(threads=threads, memory_limit=memory_limit, temp_directory=str(spill))
    try:
        connection.raw_sql("SET TimeZone = 'UTC'")
        source = _versions_file(connection, transactions, feature_set, spill)
        partitions = math.ceil(parquet.read_metadata(transactions).num_rows / partition_rows) or 1
        folders = {view.name: folder / view.name for view in feature_set.views}
        for done, view in enumerate(feature_set.views):
            folders[view.name].mkdir()
            for partition in range(partitions):
                progress(done + partition / partitions, len(feature_set.views), view.name)
                rows = view_rows(_read(connection, source, view, (partition, partitions)), view, feature_set)
                _write(connection, rows, view, folders[view.name] / f"{partition:03}.parquet")
        progress(len(feature_set.views), len(feature_set.views), "views are written")
        return folders
    finally:
        connection.disconnect()
        shutil.rmtree(spill, ignore_errors=True)


def versions(source: Any, feature_set: FeatureSet) -> Any:
    """Every row with `at`, when it became knowable, and `replaced_at`, when a later version first did (null: never).

    Without corrections there is no `replaced_at`. A row becomes knowable the lag after it was recorded, and it is not
    recorded before it happened.
    """
    happened, lag = source.event_timestamp, microseconds(feature_set.ingestion_lag)
    if not feature_set.has_recorded_at:
        return source.mutate(at=happened + lag)
    first_known: Any = ibis.greatest(source.recorded_at, happened)
    known = source.mutate(at=first_known + lag)
    later_versions = ibis.window(group_by="transaction_id", order_by="recorded_at", rows=(1, None))
    return known.mutate(replaced_at=known.at.min().over(later_versions))


def view_rows(versions: Any, view: FeatureView, feature_set: FeatureSet) -> Any:
    """A row for each key and knowable moment `at`: the aggregates as of then. Moments are int64 microseconds."""
    events: Any = _events(versions, view, feature_set)
    if not feature_set.has_recorded_at:
        return _windows(events, view)
    replaced = events.filter(events.replaced_at < events.at + microseconds(view.ttl))
    nothing = {name: ibis.null(events[name].type()) for name in _values(view)}
    departures = replaced.select(*view.keys, at=replaced.replaced_at, **nothing)
    arrivals = events.select(*view.keys, "at", *_values(view))
    return _corrected(_windows(arrivals.union(departures), view), events, replaced, view)


def _versions_file(connection: Any, transactions: Path, feature_set: FeatureSet, spill: Path) -> Any:
    """SQL that reads the versions. Corrections may change a key, so that they are followed before keys are parted."""
    source = _source(connection, f"SELECT * REPLACE ({_as_integers(transactions)}) FROM {_parquet(transactions)}")
    found = ibis.to_sql(versions(source, feature_set), dialect="duckdb")
    if not feature_set.has_recorded_at:
        return found
    spill.mkdir(exist_ok=True)
    connection.raw_sql(f"COPY ({found}) TO {literal(str(spill / 'versions.parquet'))} (FORMAT parquet)")
    return f"SELECT * FROM {_parquet(spill / 'versions.parquet')}"


def _as_integers(transactions: Path) -> str:
    present = parquet.read_schema(transactions).names
    return ", ".join(f"epoch_us({name}) AS {name}" for name in MOMENTS if name in present)


def _parquet(file: Path) -> str:
    return f"read_parquet({literal(str(file))})"


def _read(connection: Any, source: str, view: FeatureView, partition: tuple[int, int]) -> Any:
    """The versions whose first key falls into the partition."""
    which, of = partition
    own = f" WHERE hash({quoted(view.keys[0])}) % {of} = {which}" if of > 1 else ""
    return _source(connection, f"SELECT * FROM ({source}){own}")


def _source(connection: Any, sql: str) -> Any:
    with warnings.catch_warnings():
        # ibis 12 still calls what DuckDB 1.5 renames; Feast makes such warnings visible.
        warnings.filterwarnings("ignore", "fetch_arrow_table", DeprecationWarning)
        return connection.sql(sql)


def _write(connection: Any, rows: Any, view: FeatureView, file: Path) -> None:
    """Sort by key and moment."""
    keys = ", ".join(quoted(key) for key in view.keys)
    aggregates = ", ".join(stored_columns(view, quoted))
    connection.raw_sql(
        f'COPY (SELECT {keys}, make_timestamptz("at") AS {KNOWABLE_AT}, {aggregates}, "at" AS {quoted(view.known_at)} '
        f'FROM ({ibis.to_sql(rows, dialect="duckdb")}) ORDER BY {keys}, "at") '
        f"TO {literal(str(file))} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {_ROW_GROUP})"
    )


def stored_columns(view: FeatureView, quote: Callable[[str], str]) -> list[str]:
    """SQL of each aggregate as it is stored, for any engine: sums, wider in the engine, are cut at what int64 holds."""
    return [
        f"CAST({_cut(aggregate, quote(aggregate.name))} AS BIGINT) AS {quote(column)}"
        for aggregate, column in zip(view.aggregates, view.columns, strict=True)
    ]


def _cut(aggregate: Aggregate, value: str) -> str:
    if aggregate.statistic in EXTREMES:
        return value  # null where the window holds none; no sum, so that nothing is to cut
    return f"greatest(least({value}, {INT64_MAX}), -{INT64_MAX})"


def _values(view: FeatureView) -> tuple[str, ...]:
    """What an event brings: `value`, the amount or 1 for a fraud, and what else the view's statistics read."""
    return tuple(dict.fromkeys(["value", *(_column(aggregate.statistic) for aggregate in view.aggregates)]))


def _column(statistic: Statistic) -> str:
    match statistic:
        case "distinct_merchants":
            return "merchant_id"
        case "first_fraud_at" | "last_fraud_at":
            return "fraud_happened"  # null unless it is a fraud
        case "last_genuine_at":
            return "genuine_happened"  # null for a fraud
        case "genuine_amount_sum" | "genuine_amount_sum_of_squares" | "genuine_amount_max":
            return "genuine_amount"  # null for a fraud
        case _:
            return "value"


def _distinct(view: FeatureView) -> list[Aggregate]:
    return [aggregate for aggregate in view.aggregates if aggregate.statistic == "distinct_merchants"]


def _events(versions: Any, view: FeatureView, feature_set: FeatureSet) -> Any:
    """The keys, at, replaced_at and the values; a label comes when the bank has it."""
    if view.kind == "spending":
        found = versions.mutate(value=versions.amount_minor)
    else:
        if feature_set.has_label_available_at:
            arrived = versions.label_available_at
        else:
            arrived = versions.event_timestamp + microseconds(feature_set.label_delay)
        labelled = versions.mutate(arrived=arrived).filter(versions.is_fraud.notnull(), arrived.notnull())
        # A label never speaks before the version that it belongs to.
        found = labelled.mutate(
            at=ibis.greatest(labelled.arrived, labelled.at),
            value=labelled.is_fraud.cast("int64"),
            genuine_amount=labelled.is_fraud.ifelse(None, labelled.amount_minor),
            fraud_happened=labelled.is_fraud.ifelse(labelled.event_timestamp, None),
            genuine_happened=labelled.is_fraud.ifelse(None, labelled.event_timestamp),
        )
    if view.known_after is not None:
        found = found.mutate(at=found.event_timestamp + microseconds(view.known_after))
    found = found.filter(*(found[key].notnull() for key in view.keys))
    columns = [*view.keys, "at", *_values(view)]
    if not feature_set.has_recorded_at:
        return found.select(*columns)
    return found.filter(found.replaced_at.isnull() | (found.replaced_at > found.at)).select(*columns, "replaced_at")


def _windows(events: Any, view: FeatureView) -> Any:
    """A row for each key and moment with every aggregate as of then; events without a value only make the row."""
    moves, repeats = _with_repeats(events, view)
    statistics: list[Statistic] = sorted({aggregate.statistic for aggregate in view.aggregates})
    folded = moves.group_by(*view.keys, "at").agg(
        **{what: _measure(moves, what) for what in statistics},
        **{name: moves[name].sum() for name in repeats.values()},
        **({"events": moves.is_event.sum()} if repeats else {}),
    )
    so_far = ibis.range_window(group_by=list(view.keys), order_by="at", preceding=None, following=0)

    def over_window(aggregate: Aggregate) -> Any:
        window = ibis.range_window(
            group_by=list(view.keys),
            order_by="at",
            preceding=microseconds(aggregate.window) - 1,
            following=microseconds(aggregate.ahead),
        )
        value = folded[aggregate.statistic]
        if aggregate.statistic == "first_fraud_at":
            return value.min().over(window)
        if aggregate.statistic in EXTREMES:
            return value.max().over(window)
        if aggregate.statistic == "distinct_merchants":
            return value.sum().over(window) - folded[repeats[aggregate]].sum().over(so_far)
        return value.sum().over(window)

    found = folded.mutate(**{aggregate.name: over_window(aggregate) for aggregate in view.aggregates})
    if repeats:
        found = found.filter(found.events > 0)
    return found.select(*view.keys, "at", *(aggregate.name for aggregate in view.aggregates))


def _with_repeats(events: Any, view: FeatureView) -> tuple[Any, dict[Aggregate, str]]:
    """The events, and for each window in which merchants are told apart a column that counts its repeats up and down.

    A payment repeats one at the same merchant if both stand in the window: from its own moment on, until the earlier
    one leaves. So different merchants are payments less repeats, which are sums: no engine needs to count distinct
    values in a window. What only ends a repeat is no event.
    """
    repeats = {aggregate: f"repeats_{span(aggregate.window)}" for aggregate in _distinct(view)}
    if not repeats:
        return events, repeats
    same = ibis.window(group_by=[*view.keys, "merchant_id"], order_by="at")
    met = events.mutate(previous=events.at.lag().over(same))
    zero: Any = ibis.literal(0, "int64")

    def is_repeat(aggregate: Aggregate) -> Any:
        near = met.at - met.previous < microseconds(aggregate.window)
        return met.merchant_id.notnull() & met.previous.notnull() & near

    parts = [
        met.select(
            *view.keys, "at", *_values(view),
            is_event=ibis.literal(1, "int64"),
            **{name: is_repeat(aggregate).ifelse(1, 0).cast("int64") for aggregate, name in repeats.items()},
        )
    ]  # fmt: skip
    for ending, ended in repeats.items():
        gone = met.filter(is_repeat(ending))
        parts.append(
            gone.select(
                *view.keys, at=gone.previous + microseconds(ending.window), value=ibis.null(events.value.type()),
                merchant_id=ibis.null(events.merchant_id.type()), is_event=zero,
                **{name: ibis.literal(-1 if name == ended else 0, "int64") for name in repeats.values()},
            )
        )  # fmt: skip
    return ibis.union(*parts), repeats


def _corrected(rows: Any, events: Any, replaced: Any, view: FeatureView) -> Any:
    """`rows` with those counted anew whose windows hold a version that had been replaced by then."""
    keys, ttl = view.keys, microseconds(view.ttl)
    touched = rows.semi_join(
        replaced,
        [
            *(rows[key] == replaced[key] for key in keys),
            rows.at >= replaced.replaced_at,
            rows.at < replaced.at + ttl,
        ],
    ).select(**{f"of_{key}": key for key in keys}, moment="at")
    alive = touched.left_join(
        events,
        [
            *(touched[f"of_{key}"] == events[key] for key in keys),
            events.at <= touched.moment,
            events.at > touched.moment - ttl,
            events.replaced_at.isnull() | (events.replaced_at > touched.moment),
        ],
    )
    anew = alive.group_by(*(f"of_{key}" for key in keys), "moment").agg(
        **{
            f"anew_{aggregate.name}": _anew(
                alive, aggregate.statistic, alive.at > alive.moment - microseconds(aggregate.window)
            )
            for aggregate in view.aggregates
        }
    )
    both = rows.left_join(anew, [*(rows[key] == anew[f"of_{key}"] for key in keys), rows.at == anew.moment])
    return both.select(
        *keys,
        "at",
        **{
            aggregate.name: both.moment.notnull().ifelse(both[f"anew_{aggregate.name}"], both[aggregate.name])
            for aggregate in view.aggregates
        },
    )


def _anew(events: Any, statistic: Statistic, where: Any) -> Any:
    if statistic == "distinct_merchants":
        return events.merchant_id.nunique(where=where)
    return _measure(events, statistic, where)


def _measure(events: Any, statistic: Statistic, where: Any = None) -> Any:
    """One statistic of a group of events; an event without a value counts nothing."""
    value: Any = events[_column(statistic)]
    if statistic == "first_fraud_at":
        return value.min(where=where)
    if statistic in EXTREMES:
        return value.max(where=where)
    if statistic in ("count", "label_count", "distinct_merchants"):
        return value.count(where=where)  # of merchants: of which repeats are taken away
    if statistic in ("amount_sum_of_squares", "genuine_amount_sum_of_squares"):
        # A square beyond int64 makes its sum saturate however it is counted, so it may be cut here.
        value = value.between(-_LARGEST_ROOT, _LARGEST_ROOT).ifelse(
            value * value, value.isnull().ifelse(None, INT64_MAX)
        )
    return value.sum(where=where).fill_null(0)
