"""A small feature table on disk, and what the stages make of it."""

from __future__ import annotations

from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sentinel.artifacts import FeatureTable
from sentinel.config import SplitTimes, Training
from sentinel.storage import sha256_path, write_json
from tests.model.raw import feature_set, features_table

DAY = timedelta(days=1)
TIMES = SplitTimes(history=5 * DAY, validation=10 * DAY, calibration=10 * DAY, test=15 * DAY, label_maturity=3 * DAY)
SETTINGS = Training(
    seed=3,
    false_positive_rate=0.02,
    epochs=4,
    patience=2,
    batch_size=128,
    width=32,
    layers=2,
    bins=8,
    trees=5,
    tree_depth=2,
    precision="fp32",
    device="cpu",
)


@pytest.fixture(scope="package", autouse=True)
def one_thread() -> Generator[None]:
    """On tensors this small, more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def store_table(home: Path, table: pa.Table) -> FeatureTable:
    folder = home / "features"
    folder.mkdir(parents=True)
    pq.write_table(table, folder / "features.parquet")
    write_json(folder / "feature_set.json", feature_set())
    return FeatureTable(path="features", sha256=sha256_path(folder), rows=table.num_rows, feature_set_hash="h")


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def table(home: Path) -> FeatureTable:
    return store_table(home, features_table(6000))
