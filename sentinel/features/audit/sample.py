"""Which rows of features.parquet the oracle counts anew: some for each way in which a row can be hard.

A few row groups are read, not the file: the first, the last, those with a change of clocks, and others at random.
"""

# pyarrow carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingTypeArgument=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import parquet

from sentinel.features.audit.oracle import Ints, microseconds_of, numbered_keys, positions
from sentinel.features.spec import FeatureSet, FeatureView, microseconds

ROW_GROUPS = 8

_CLOCKS = ("Europe/Berlin", "America/New_York")
_DAY = 86_400_000_000
_SECOND = 1_000_000
_SPREAD = 150
_OF_ONE_KIND = 40
_OF_ONE_VIEW = 10  # on either side of its ttl
_CANDIDATES = 1000  # rows without a value, of which those are kept whose key was met just before the ttl

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Sample:
    """Rows of features.parquet, in its order. `strata`: how many were taken for each reason; a row may have several."""

    rows: pa.Table
    strata: dict[str, int]


def choose_sample(features: Path, wanted: FeatureSet, corrected: pa.ChunkedArray, seed: int) -> Sample:
    """`corrected`: ids of transactions with several versions. The same seed chooses the same rows."""
    file = parquet.ParquetFile(features)
    random = np.random.default_rng(seed)
    groups = _row_groups(file, random)
    ages = [view.age for view in wanted.views]
    columns = ["transaction_id", "event_timestamp", "is_fraud", *wanted.keys, *ages]
    rows = file.read_row_groups(groups, columns)
    strata = dict(_strata(rows, wanted, corrected, random))
    chosen = np.unique(np.concatenate(list(strata.values())))
    counts = {name: len(places) for name, places in strata.items()}
    return Sample(_read(file, groups, chosen), counts)


def _row_groups(file: Any, random: np.random.Generator) -> list[int]:
    of = file.metadata.num_row_groups
    changes = [group for group in range(of) if _has_clock_change(file, group)]
    chosen = {0, of - 1, *random.permutation(changes)[: ROW_GROUPS // 2].tolist()} if of else set[int]()
    others = random.permutation([group for group in range(of) if group not in chosen])
    return sorted({*chosen, *others[: ROW_GROUPS - len(chosen)].tolist()})


def _has_clock_change(file: Any, group: int) -> bool:
    place = file.schema_arrow.get_field_index("event_timestamp")
    moments = file.metadata.row_group(group).column(place).statistics
    return moments is not None and moments.has_min_max and bool(_days_of_change(moments.min, moments.max))


def _days_of_change(first: datetime, last: datetime) -> list[int]:
    """Days (since 1970, UTC) on which some clock changes to or from daylight saving time."""
    zones = [ZoneInfo(name) for name in _CLOCKS]
    found: list[int] = []
    for day in range(int(first.timestamp()) // 86_400, int(last.timestamp()) // 86_400 + 1):
        morning = datetime.fromtimestamp(day * 86_400, UTC)
        evening = morning + timedelta(days=1)
        if any(morning.astimezone(zone).utcoffset() != evening.astimezone(zone).utcoffset() for zone in zones):
            found.append(day)
    return found


def _read(file: Any, groups: list[int], chosen: Ints) -> pa.Table:
    """All columns of the `chosen` rows, numbered through the `groups`, a group at a time."""
    found: list[pa.Table] = [file.schema_arrow.empty_table()]
    start = 0
    for group in groups:
        end = start + file.metadata.row_group(group).num_rows
        if len(own := chosen[(chosen >= start) & (chosen < end)]):
            found.append(file.read_row_group(group).take(pa.array(own - start)))
        start = end
    return pa.concat_tables(found)


def _strata(
    rows: pa.Table, wanted: FeatureSet, corrected: pa.ChunkedArray, random: np.random.Generator
) -> Iterator[tuple[str, Ints]]:
    count = rows.num_rows
    moments = microseconds_of(rows, "event_timestamp")
    days = _days_of_change(_date(moments.min()), _date(moments.max())) if count else []
    to_midnight = np.minimum(moments % _DAY, _DAY - moments % _DAY)

    def some(of: Bools, at_most: int = _OF_ONE_KIND) -> Ints:
        places = np.flatnonzero(of)
        return random.choice(places, at_most, replace=False) if len(places) > at_most else places

    yield "spread", np.unique(np.linspace(0, count - 1, min(_SPREAD, count)).astype(np.int64))
    yield "first_and_last", np.unique([*range(min(3, count)), *range(max(0, count - 3), count)]).astype(np.int64)
    yield "same_second", some(_shares_second(rows, wanted, moments))
    yield "corrected", some(positions(rows["transaction_id"], corrected) >= 0)
    yield "just_before_ttl", _flat(_nearest_below_ttl(rows, view) for view in wanted.views)
    yield "just_after_ttl", _flat(_nearest_above_ttl(rows, view, moments, random) for view in wanted.views)
    yield "without_history", some(np.logical_and.reduce([_is_null(rows[view.age]) for view in wanted.views]))
    yield "clock_change", some(np.isin(moments // _DAY, days))
    yield "midnight", _smallest(to_midnight, _OF_ONE_KIND)
    yield "null_key", some(np.logical_or.reduce([_is_null(rows[key]) for key in wanted.keys]))
    yield "fraud", some(rows["is_fraud"].fill_null(False).to_numpy())


def _shares_second(rows: pa.Table, wanted: FeatureSet, moments: Ints) -> Bools:
    """Rows that share a second and a key with one of the next three rows of the file, or of the three before."""
    shares = np.zeros(rows.num_rows, np.bool_)
    second = moments // _SECOND
    for apart in range(1, 4):
        places = np.flatnonzero(second[apart:] == second[:-apart])
        earlier, later = rows.take(pa.array(places)), rows.take(pa.array(places + apart))
        for key in wanted.keys:
            is_same = pc.call_function("equal", [earlier[key], later[key]]).fill_null(False).to_numpy()
            shares[places[is_same]] = shares[places[is_same] + apart] = True
    return shares


def _nearest_below_ttl(rows: pa.Table, view: FeatureView) -> Ints:
    """Rows whose value is the oldest of all that may still be used."""
    age = rows[view.age].fill_null(-1).to_numpy()
    oldest = _smallest(-age, _OF_ONE_VIEW)
    return oldest[age[oldest] >= 0]


def _nearest_above_ttl(rows: pa.Table, view: FeatureView, moments: Ints, random: np.random.Generator) -> Ints:
    """Rows without a value whose key was met before, the shortest time longer ago than the ttl."""
    without = np.flatnonzero(_is_null(rows[view.age]))
    candidates = np.sort(random.permutation(without)[:_CANDIDATES])
    key, own = numbered_keys(rows, rows.take(pa.array(candidates)), view)
    met = np.flatnonzero(key >= 0)
    order = met[np.lexsort((moments[met], key[met]))]
    has_previous = key[order[1:]] == key[order[:-1]]
    ago = np.full(rows.num_rows, -1)
    ago[order[1:][has_previous]] = (moments[order[1:]] - moments[order[:-1]])[has_previous]
    expired = candidates[(own >= 0) & (ago[candidates] > microseconds(view.ttl))]
    return expired[_smallest(ago[expired], _OF_ONE_VIEW)]


def _smallest(values: Ints, at_most: int) -> Ints:
    return np.argpartition(values, at_most)[:at_most] if len(values) > at_most else np.arange(len(values))


def _is_null(column: pa.ChunkedArray) -> Bools:
    return column.is_null().to_numpy()


def _flat(places: Iterator[Ints]) -> Ints:
    return np.unique(np.concatenate(list(places)))


def _date(moment: int) -> datetime:
    return datetime.fromtimestamp(int(moment) // _SECOND, UTC)
