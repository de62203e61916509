"""A few thousand rows of a feature table around the ends of its parts, and their copy with another future."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from numpy.typing import NDArray

MOMENT = pa.timestamp("us", "UTC")
FEW = 300  # rows of a part that nothing is fitted on
WORDS = pa.array([f"changed-{number}" for number in range(2)])  # categories that nobody knew
NULLS = 0.1
DELETED, REPEATED = 0.2, 0.2


def sample_around(table: Path, splits: Mapping[str, Any], rows: int, frauds: int) -> pa.Table:
    """The last `rows` rows of train and of calibration, more where they hold less than `frauds`, and what follows them.

    Slices of time, so that only a few row groups are read.
    """
    moments = ds.dataset(table).to_table(columns=["event_timestamp", "is_fraud"])
    time = _microseconds(moments["event_timestamp"])
    fraud = pc.fill_null(moments["is_fraud"], False).to_numpy()
    wanted: list[tuple[int, int]] = []
    for name, part in splits.items():
        start, end = (_scalar(datetime.fromisoformat(part[edge])).value for edge in ("start", "end"))
        inside = _by_time(time, start, end)
        if name in ("train", "calibration"):
            wanted.append((_tail(time[inside], fraud[inside], rows, frauds), end))
            wanted.append((end, _head(time[_by_time(time, end, None)], rows // 3)))
        else:
            wanted.append((start, _head(time[inside], FEW)))
    moment = pc.field("event_timestamp")
    slices = [(moment >= _scalar(start)) & (moment < _scalar(end)) for start, end in wanted]
    chosen = slices[0]
    for further in slices[1:]:
        chosen = chosen | further
    return ds.dataset(table).to_table(filter=chosen)


def with_another_future(table: pa.Table, part: Mapping[str, Any], seed: int) -> pa.Table:
    """`table` with every value and label from the part's end on at random; rows there vanish, move and repeat.

    Labels of earlier rows that came after the part's `labels_until` are turned round.
    """
    random = np.random.default_rng(seed)
    cutoff = datetime.fromisoformat(part["end"])
    later = _microseconds(table["event_timestamp"]) >= _scalar(cutoff).value
    past, future = table.filter(pa.array(~later)), table.filter(pa.array(later))
    kept = np.flatnonzero(random.random(future.num_rows) >= DELETED)
    repeated = kept[random.random(len(kept)) < REPEATED]
    future = future.take(pa.array(np.concatenate([kept, repeated])))
    columns = [_changed(future[name], name, cutoff, random) for name in future.column_names]
    late = _with_late_labels_turned(past, datetime.fromisoformat(part["labels_until"]))
    return pa.concat_tables([late, pa.table(columns, schema=table.schema)])


def _with_late_labels_turned(past: pa.Table, until: datetime) -> pa.Table:
    if "label_available_at" not in past.column_names:
        return past
    label = past["is_fraud"]
    is_late = pc.fill_null(pc.call_function("greater", [past["label_available_at"], _scalar(until)]), False)
    turned = pc.call_function("if_else", [is_late, pc.call_function("invert", [label]), label])
    return past.set_column(past.column_names.index("is_fraud"), "is_fraud", turned)


def _microseconds(moments: pa.ChunkedArray) -> NDArray[np.int64]:
    return moments.cast(MOMENT).cast(pa.int64()).to_numpy()


def _by_time(time: NDArray[np.int64], start: int, end: int | None) -> NDArray[np.intp]:
    """Positions of the rows within [start, end), ascending in time."""
    inside = np.flatnonzero((time >= start) if end is None else (time >= start) & (time < end))
    return inside[np.argsort(time[inside], kind="stable")]


def _tail(time: NDArray[np.int64], fraud: NDArray[np.bool_], rows: int, frauds: int) -> int:
    """From when on there are so many rows with so many frauds."""
    of_fraud = np.flatnonzero(fraud)
    first_fraud = int(of_fraud[-frauds]) if len(of_fraud) >= frauds else 0
    return int(time[max(0, min(len(time) - rows, first_fraud))])


def _head(time: NDArray[np.int64], rows: int) -> int:
    """Until when there are so many rows, the end not included."""
    return int(time[min(rows, len(time)) - 1]) + 1 if len(time) else 0


def _scalar(moment: int | datetime) -> pa.Scalar:
    return pa.scalar(moment, MOMENT)


def _changed(column: pa.ChunkedArray, name: str, cutoff: datetime, random: np.random.Generator) -> pa.Array:
    rows, kind = len(column), column.type
    missing = random.random(rows) < NULLS
    if name == "event_timestamp":
        first = _scalar(cutoff).value
        last = _microseconds(column).max(initial=first)
        return pa.array(random.integers(first, last + 1, rows), MOMENT).cast(kind)
    if pa.types.is_boolean(kind):
        return pa.array(random.random(rows) < 0.5, kind, mask=missing)
    if pa.types.is_integer(kind):
        return pa.array(random.integers(0, 10**7, rows), kind, mask=missing & _may_be_null(name))
    if pa.types.is_floating(kind):
        return pa.array(random.normal(0, 1000, rows), kind, mask=missing)
    if pa.types.is_string(kind):
        return WORDS.take(pa.array(random.integers(0, len(WORDS), rows), mask=missing))
    return column.combine_chunks()


def _may_be_null(name: str) -> bool:
    return name not in ("transaction_id", "customer_id", "amount_minor")
