"""A built table with corrections, null keys, clocks that change and everything else that the oracle looks for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from sentinel.config import Column, Columns, Features
from sentinel.features.spec import FeatureSet, feature_set
from tests.features.project import LAG, Project, columns
from tests.tables import TIMESTAMP, canonical_table

RULES = Features(ingestion_lag=LAG, label_delay=timedelta(days=5))
MAPPED: Columns = columns(
    **{name: Column(source=name) for name in ("merchant_id", "recorded_at", "label_available_at")},
    entities={"device": Column(source="device_id")},
    numeric={"distance_km": Column(source="distance_km")},
)
_HOUR = 3_600_000_000


@dataclass(frozen=True)
class Built:
    transactions: Path
    table: Path
    wanted: FeatureSet

    def rows(self) -> pa.Table:
        return parquet.read_table(self.table / "features.parquet")

    def with_rows(self, rows: pa.Table, folder: Path) -> Path:
        """A folder with these rows instead."""
        parquet.write_table(rows, folder / "features.parquet", row_group_size=500)
        return folder


def source_with_corrections(rows: int = 3000) -> pa.Table:
    random = np.random.default_rng(7)
    table = canonical_table(rows, seed=7, customers=40, merchants=25, with_recorded_at=True)
    moments = table["event_timestamp"].cast(pa.int64()).to_numpy()
    bursts = moments - moments % _HOUR  # many at one moment
    moments = np.where(random.random(rows) < 0.3, bursts, moments)
    distance = table["distance_km"].to_pylist()
    distance[5] = float("nan")
    devices = pa.array(random.integers(0, 3, rows), mask=random.random(rows) < 0.05)
    table = _with(table, event_timestamp=pa.array(moments, TIMESTAMP), distance_km=pa.array(distance, pa.float64()))
    table = table.append_column("device_id", devices)
    again = random.choice(rows, rows // 20, replace=False)
    corrected = table.take(pa.array(again))
    arrived = moments[again] + random.integers(1, 900, len(again)) * _HOUR
    corrected = _with(
        corrected,
        recorded_at=pa.array(arrived, TIMESTAMP),
        amount_minor=pa.array(corrected["amount_minor"].to_numpy() + random.integers(-50, 50, len(again))),
        is_fraud=pa.array(random.random(len(again)) < 0.5, mask=random.random(len(again)) < 0.3),
    )
    order = [("event_timestamp", "ascending"), ("transaction_id", "ascending"), ("recorded_at", "ascending")]
    return pa.concat_tables([table, corrected]).sort_by(order)


def build(folder: Path) -> Built:
    project = Project(folder, RULES)
    made = project.build(source_with_corrections(), MAPPED)
    home = project.paths.home
    return Built(home / "transactions.parquet", made.locate(home), feature_set(MAPPED, RULES))


def _with(table: pa.Table, **columns: pa.Array) -> pa.Table:
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    return table
