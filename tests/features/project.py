"""A data set of a few rows in a project folder of its own, and its features through the real build and Feast."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from sentinel.artifacts import FeatureTable, ValidatedData
from sentinel.config import Column, Columns, Features
from sentinel.features.in_use import InUse
from sentinel.features.retrieval import build_features
from sentinel.paths import Paths
from sentinel.storage import sha256_file

START = datetime(2026, 3, 1, 12, tzinfo=UTC)
LAG = timedelta(seconds=1)
HERE = Path(__file__).resolve().parents[2]
_TYPES = {
    "event_timestamp": pa.timestamp("us", "UTC"),
    "recorded_at": pa.timestamp("us", "UTC"),
    "label_available_at": pa.timestamp("us", "UTC"),
    "amount_minor": pa.int64(),
    "is_fraud": pa.bool_(),
}


def columns(**mapped: Any) -> Columns:
    """The contract without merchant, arrival and label time, unless they are `mapped`."""
    needed = ("transaction_id", "event_timestamp", "customer_id", "amount", "is_fraud")
    return Columns(**{name: Column(source=name) for name in needed}, **mapped)


def columns_of(row: dict[str, Any]) -> Columns:
    optional = ("merchant_id", "recorded_at", "label_available_at")
    return columns(**{name: Column(source=name) for name in optional if name in row})


def row(number: int, after: timedelta, **values: Any) -> dict[str, Any]:
    """A transaction of customer 1 over 10.00, `after` START, without a label."""
    return {
        "transaction_id": number, "event_timestamp": START + after, "customer_id": 1, "amount_minor": 1000,
        "is_fraud": None, **values,
    }  # fmt: skip


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    key_type = pa.array([each["customer_id"] for each in rows]).type
    kinds = {**_TYPES, "customer_id": key_type, "merchant_id": key_type}
    return pa.table({name: pa.array([each[name] for each in rows], kinds.get(name)) for name in rows[0]})


@dataclass
class Project:
    """`home` and `root` are folders of the test's own."""

    folder: Path
    rules: Features = field(default_factory=lambda: Features(ingestion_lag=LAG, label_delay=timedelta(days=7)))

    @property
    def paths(self) -> Paths:
        return Paths(self.folder / "root", self.folder / "home")

    def store_data(self, table: pa.Table) -> ValidatedData:
        shutil.copytree(HERE / "feature_repo", self.paths.feature_repo, dirs_exist_ok=True)
        file = self.paths.home / "transactions.parquet"
        file.parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table, file)
        return ValidatedData(
            path="verdict", sha256="0", transactions="transactions.parquet", transactions_sha256=sha256_file(file),
            expectations=0, rows=table.num_rows,
        )  # fmt: skip

    def build(
        self, table: pa.Table, mapped: Columns, name: str = "tiny", out: str = "out", in_use: Sequence[InUse] = ()
    ) -> FeatureTable:
        data = self.store_data(table)
        folder = self.paths.home / out
        return build_features(data, mapped, self.rules, name=name, paths=self.paths, out=folder, in_use=in_use)

    def features(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The rows of features.parquet."""
        made = self.build(table_of(rows), columns_of(rows[0]))
        return parquet.read_table(made.locate(self.paths.home) / "features.parquet").to_pylist()
