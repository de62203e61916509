"""Train, validation, calibration and test by time, with the label maturity between them.

    history | train | gap | validation | gap | calibration | gap | test | gap | the table's end

A gap is `label_maturity` long: whoever trained at its end knew the labels before it, and no later ones.
Rows count by their age, never by whether their label happens to be known: that would favour early reports. What a
part is fitted on are the labels that were there a gap after its end; one that came later counts as unknown. The test
part is judged by every label there is.
"""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from sentinel.artifacts import FeatureTable, Splits
from sentinel.config import SplitTimes
from sentinel.errors import DataContractError
from sentinel.progress import Progress, silent
from sentinel.storage import complete_folder, sha256_path, write_json

PARTS = ("train", "validation", "calibration", "test")
TABLE, SPLITS = "features.parquet", "splits.json"
READ_ROWS = 8_192  # at once, where a part is read block by block
_ARRIVAL = "label_available_at"
_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class Part:
    """Transactions with start <= event_timestamp < end."""

    start: datetime
    end: datetime


def plan_parts(first: datetime, last: datetime, times: SplitTimes) -> dict[str, Part]:
    """The parts of a table whose transactions happened from `first` to `last`.

    Raises DataContractError when nothing is left to train on.
    """
    maturity = times.label_maturity
    parts: dict[str, Part] = {}
    end = last + _MICROSECOND - maturity
    for name in ("test", "calibration", "validation"):
        length = cast(timedelta, getattr(times, name))
        parts[name] = Part(end - length, end)
        end = end - length - maturity
    parts["train"] = Part(first + times.history, end)
    if parts["train"].start >= end:
        needed = times.history + times.validation + times.calibration + times.test + 4 * maturity
        raise DataContractError(
            f"The table spans {_days(last - first)} days, from {first:%Y-%m-%d} to {last:%Y-%m-%d}, and the parts need "
            f"more than {_days(needed)}: history {_days(times.history)}, validation {_days(times.validation)}, "
            f"calibration {_days(times.calibration)}, test {_days(times.test)} and four gaps of {_days(maturity)} "
            "(label_maturity), before the first day of training. Bring more days, or shorten them in [splits]."
        )
    return {name: parts[name] for name in PARTS}


def split(table: FeatureTable, settings: SplitTimes, *, home: Path, out: Path, progress: Progress = silent) -> Splits:
    """Write splits.json. Raises DataContractError when a part lacks rows or one of the two classes."""
    path = table.locate(home) / TABLE
    dataset = ds.dataset(path)
    moments = dataset.to_table(columns=_with_labels(dataset, ["event_timestamp"]))
    if not moments.num_rows:
        raise DataContractError(f"{path} has no rows. Bring data that the contract accepts.")
    extremes = pc.call_function("min_max", [moments["event_timestamp"]]).as_py()
    parts = plan_parts(_utc(extremes["min"]), _utc(extremes["max"]), settings)
    described: dict[str, dict[str, Any]] = {}
    for done, (name, part) in enumerate(parts.items()):
        progress(done, len(parts), name)
        until = None if name == "test" else (part.end + settings.label_maturity).isoformat()
        bounds = {"start": part.start.isoformat(), "end": part.end.isoformat(), "labels_until": until}
        bounds |= {"unlabelled_is_genuine": settings.unlabelled_is_genuine}
        rows = _labelled(moments.filter(_within(part)), bounds)
        described[name] = {**bounds, "rows": rows.num_rows, "frauds": rows.filter(pc.field("is_fraud")).num_rows}
    _require_both_classes(described)
    with complete_folder(out) as folder:
        write_json(folder / SPLITS, described)
    return Splits(
        path=os.path.relpath(out, home),
        sha256=sha256_path(out),
        table=os.path.relpath(path, home),
        rows={name: part["rows"] for name, part in described.items()},
        frauds={name: part["frauds"] for name, part in described.items()},
    )


def part_ends(transactions: Path, settings: SplitTimes) -> list[datetime]:
    """The ends of the parts that these transactions will be split into; none where they span too short a time."""
    moments = ds.dataset(transactions).to_table(columns=["event_timestamp"])
    extremes = pc.call_function("min_max", [moments["event_timestamp"]]).as_py()
    try:
        return [part.end for part in plan_parts(_utc(extremes["min"]), _utc(extremes["max"]), settings).values()]
    except DataContractError:
        return []


def read_splits(folder: Path) -> dict[str, dict[str, Any]]:
    return cast("dict[str, dict[str, Any]]", json.loads((folder / SPLITS).read_text()))


def read_blocks(table: Path, splits: Mapping[str, Any], name: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of one part, in the table's order, with `columns`; is_fraud has no nulls.

    A few rows at a time: no more than one row group is in memory.
    """
    described = splits[name]
    dataset, within = ds.dataset(table), _within_part(described)
    options = {
        "columns": _with_labels(dataset, columns),
        "filter": within,
        "batch_size": READ_ROWS,
        "batch_readahead": 0,
        "use_threads": False,  # they would read further row groups meanwhile
        "fragment_scan_options": ds.ParquetFragmentScanOptions(pre_buffer=False, use_buffered_stream=True),
    }
    for file in dataset.get_fragments(within):
        for group in file.split_by_row_group(within):
            for batch in group.scanner(**options).to_batches():
                if batch.num_rows:
                    yield _labelled(pa.Table.from_batches([batch]), described).select(list(columns))


def _with_labels(dataset: ds.Dataset, columns: Sequence[str]) -> list[str]:
    """`columns` and what says whether a row is fraud, and since when."""
    labels = [name for name in ("is_fraud", _ARRIVAL) if name in dataset.schema.names]
    return list(dict.fromkeys([*columns, *labels]))


def _within_part(described: Mapping[str, Any]) -> pc.Expression:
    return _within(Part(datetime.fromisoformat(described["start"]), datetime.fromisoformat(described["end"])))


def _within(part: Part) -> pc.Expression:
    moment = pc.field("event_timestamp")
    start, end = (pa.scalar(value, pa.timestamp("us", "UTC")) for value in (part.start, part.end))
    return (moment >= start) & (moment < end)


def _labelled(rows: pa.Table, described: Mapping[str, Any]) -> pa.Table:
    """A row without a label, or whose label came after `labels_until`, is genuine, or left out."""
    label = rows["is_fraud"]
    if described["labels_until"] is not None and _ARRIVAL in rows.column_names:
        until = pa.scalar(datetime.fromisoformat(described["labels_until"]), pa.timestamp("us", "UTC"))
        is_late = pc.fill_null(pc.call_function("greater", [rows[_ARRIVAL], until]), False)
        label = pc.call_function("if_else", [is_late, pa.scalar(None, pa.bool_()), label])
    if described["unlabelled_is_genuine"]:
        label = pc.fill_null(label, False)
    rows = rows.set_column(rows.schema.get_field_index("is_fraud"), "is_fraud", label)
    return rows.filter(pc.field("is_fraud").is_valid())


def _require_both_classes(parts: Mapping[str, Mapping[str, Any]]) -> None:
    poor = [name for name, part in parts.items() if not 0 < part["frauds"] < part["rows"]]
    if poor:
        found = "; ".join(
            f"{name} {part['start'][:10]} to {part['end'][:10]}: {part['rows']:,} rows, {part['frauds']:,} frauds"
            for name, part in parts.items()
        )
        raise DataContractError(
            f"Every part needs frauds and genuine rows, and {', '.join(poor)} {'lacks' if len(poor) == 1 else 'lack'} "
            f"them ({found}). Bring more data, or change the lengths in [splits]."
        )


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


def _days(length: timedelta) -> str:
    return f"{length / timedelta(days=1):.3g}"
