"""The production output held against the oracle: what every row must keep, and a sample of rows counted anew."""

# pyarrow carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportMissingTypeArgument=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from sentinel.features.audit.blocks import BLOCK, rows_with
from sentinel.features.audit.oracle import ASKED_AT, Answer, expected_features, moments_asked, positions
from sentinel.features.audit.probes import Probes
from sentinel.features.audit.sample import choose_sample
from sentinel.features.audit.unchanged import compare_with_source
from sentinel.features.spec import FeatureSet
from sentinel.progress import Progress, silent

HISTORY_ROWS = 400_000  # of the source, by each key: what the oracle holds in memory

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Mismatch:
    """`transaction_id`: for a probe the name of its case. `window` is None for an age."""

    feature: str
    transaction_id: int | str
    found: int | None
    expected: int | None
    window: timedelta | None


@dataclass(frozen=True)
class OracleVerdict:
    """`fault`: what the whole output fails to keep of its source, in a sentence; None when it keeps all."""

    rows: int  # of the whole output
    fault: str | None
    rows_checked: int
    values_checked: int
    strata: Mapping[str, int]
    mismatches: tuple[Mismatch, ...]

    @property
    def holds(self) -> bool:
        return self.fault is None and not self.mismatches and self.rows_checked > 0


def check_against_oracle(
    transactions: Path, table: Path, wanted: FeatureSet, *, seed: int, progress: Progress = silent
) -> OracleVerdict:
    """Check the folder `table` (features.parquet), made from `transactions`: what all rows keep, and a sample's values.

    Out of core: memory for a few row groups.
    """
    features = table / "features.parquet"
    comparison = compare_with_source(transactions, features, wanted, progress=progress)
    if comparison.fault is not None:
        return OracleVerdict(comparison.rows, comparison.fault, 0, 0, {}, ())
    sample = choose_sample(features, wanted, comparison.corrected, seed)
    source = parquet.ParquetFile(transactions)
    keys = _affordable_keys(source, wanted, sample.rows)
    history = _history(source, keys, sample.rows, bool(len(comparison.corrected)))
    moments = pa.array(moments_asked(history, wanted, sample.rows), pa.timestamp("us", "UTC"))
    expected = expected_features(history, wanted, sample.rows.append_column(ASKED_AT, moments))
    is_checked = _checked_values(sample.rows, wanted, keys)
    names = sample.rows["transaction_id"].to_pylist()
    mismatches = tuple(_mismatches(sample.rows, wanted, expected, names, is_checked))
    values = sum(int(checked.sum()) for checked in is_checked.values())
    return OracleVerdict(comparison.rows, None, sample.rows.num_rows, values, sample.strata, mismatches)


def check_probes(probes: Probes, wanted: FeatureSet, found: pa.Table) -> tuple[Mismatch, ...]:
    """Hold the answers (`wanted.columns`, a row a question) to the probes, built with any data, against the oracle.

    A mismatch names its case instead of a transaction.
    """
    asked = probes.questions.rename_columns({"event_timestamp": ASKED_AT})
    expected = expected_features(probes.transactions, wanted, asked)
    everywhere = dict.fromkeys(wanted.columns, np.ones(asked.num_rows, np.bool_))
    return tuple(_mismatches(found, wanted, expected, probes.cases, everywhere))


def _mismatches(
    found: pa.Table,
    wanted: FeatureSet,
    expected: Sequence[Answer],
    names: Sequence[int | str],
    is_checked: Mapping[str, Bools],
) -> Iterator[Mismatch]:
    for place, (feature, window) in enumerate(_columns_and_windows(wanted)):
        values = found[feature].to_pylist()
        for row in np.flatnonzero(is_checked[feature]).tolist():
            if values[row] != expected[row][place]:
                yield Mismatch(feature, names[row], values[row], expected[row][place], window)


def _columns_and_windows(wanted: FeatureSet) -> Iterator[tuple[str, timedelta | None]]:
    """`wanted.columns`, each with its window; None for an age."""
    for view in wanted.views:
        for name, aggregate in zip(view.columns, view.aggregates, strict=True):
            yield name, aggregate.window
    for view in wanted.views:
        yield view.age, None


def _affordable_keys(source: Any, wanted: FeatureSet, asked: pa.Table) -> dict[str, pa.ChunkedArray]:
    """Of each key column the asked keys, the rarest first, until they would make too long a history.

    A key that half of all rows share is not counted anew; the others tell enough.
    """
    keys = {name: asked[name].unique().drop_null() for name in wanted.keys}
    counts = {name: np.zeros(len(values), np.int64) for name, values in keys.items()}
    for batch in source.iter_batches(BLOCK, columns=list(keys)):
        block = pa.Table.from_batches([batch])
        for name, values in keys.items():
            place = positions(block[name], pa.chunked_array([values]))
            counts[name] += np.bincount(place[place >= 0], minlength=len(values))
    return {name: pa.chunked_array([_affordable(values, counts[name])]) for name, values in keys.items()}


def _affordable(values: pa.Array, counts: NDArray[np.int64]) -> pa.Array:
    order = np.argsort(counts, kind="stable")
    is_kept = np.zeros(len(values), np.bool_)
    is_kept[order] = np.cumsum(counts[order]) <= HISTORY_ROWS
    return values.filter(pa.array(is_kept))


def _history(source: Any, keys: dict[str, pa.ChunkedArray], asked: pa.Table, has_versions: bool) -> pa.Table:
    """Every version of each transaction that has one of the keys in any version, and of those asked about."""
    named = [name for name in source.schema_arrow.names if name in _READ or name in keys]
    if not has_versions:
        return rows_with(source, keys, named)
    ids = rows_with(source, keys, ["transaction_id"])["transaction_id"]
    ids = pa.chunked_array([pa.chunked_array([*ids.chunks, *asked["transaction_id"].chunks]).unique()])
    return rows_with(source, {"transaction_id": ids}, named)


_READ = (
    "transaction_id",
    "event_timestamp",
    "recorded_at",
    "merchant_id",
    "amount_minor",
    "is_fraud",
    "label_available_at",
)


def _checked_values(asked: pa.Table, wanted: FeatureSet, keys: dict[str, pa.ChunkedArray]) -> dict[str, Bools]:
    """Of each column, the rows whose history is complete: that of one key of a pair holds the pair's."""
    found: dict[str, Bools] = {}
    for view in wanted.views:
        is_checked = np.zeros(asked.num_rows, np.bool_)
        for key in view.keys:
            is_checked |= (positions(asked[key], keys[key]) >= 0) | asked[key].is_null().to_numpy()
        found |= dict.fromkeys((*view.columns, view.age), is_checked)
    return found
