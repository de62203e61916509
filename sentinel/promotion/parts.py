"""The feature rows of one part (train, validation, calibration, test), by the times of splits.json."""

# pyarrow carries no types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from sentinel.artifacts import Splits
from sentinel.errors import RecordInvalid

LEARNED_FROM = ("train", "validation", "calibration")  # parts that shaped the model, its stop or its threshold


def bounds(splits_file: Path, part: str) -> tuple[datetime, datetime]:
    """Start (inclusive) and end (exclusive) of a part, UTC. Raises RecordInvalid when the file does not say."""
    try:
        times = json.loads(splits_file.read_text())[part]
        return datetime.fromisoformat(times["start"]), datetime.fromisoformat(times["end"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RecordInvalid(f"{splits_file} does not give the times of the {part} part ({error!r}).") from error


def learned_until(splits_file: Path) -> datetime:
    """The end of the last part that the model of this split learned from."""
    return max(bounds(splits_file, part)[1] for part in LEARNED_FROM)


def rows_of(
    splits: Splits, part: str, *, home: Path, columns: Sequence[str] | None = None, file: Path | None = None
) -> pa.Table:
    """The rows of one part, in the table's order; `file`: of another table of the same transactions."""
    start, end = bounds(splits.locate(home) / "splits.json", part)
    table = file or home / splits.table
    kind = pa.timestamp("us", "UTC")
    within = [("event_timestamp", ">=", pa.scalar(start, kind)), ("event_timestamp", "<", pa.scalar(end, kind))]
    return pq.read_table(table, columns=list(columns) if columns else None, filters=within)


def aligned(table: pa.Table, scored: pa.Table) -> pa.Table:
    """The feature rows of the scored transactions, in their order. Raises RecordInvalid when one is missing."""
    wanted = scored.column("transaction_id")
    if table.column("transaction_id").equals(wanted):
        return table
    position = pc.call_function(
        "index_in", [wanted], options=pc.SetLookupOptions(table.column("transaction_id").combine_chunks())
    )
    if position.null_count:
        raise RecordInvalid(
            f"{position.null_count} of {scored.num_rows} scored test rows are not in the feature table's test part: "
            "scores and features are of different runs. Run the training again."
        )
    return table.take(position)
