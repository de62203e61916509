"""A small trained FraudNet on a small table, as the stages before export leave them."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from sentinel.artifacts import FeatureTable, OnnxModel, Splits, TrainedModel
from sentinel.export.onnx_graph import export
from sentinel.metrics import threshold_at_fpr
from sentinel.model.derived import DerivedFeatures
from sentinel.model.encoding import Encoding
from sentinel.model.inputs import ModelInputs, Vocabulary
from sentinel.model.network import FraudNet, NetworkSize
from sentinel.storage import sha256_path, write_json
from tests.tables import START, canonical_table

DAY_US = 86_400_000_000
PARTS = {"train": (0, 45), "validation": (45, 50), "calibration": (50, 65), "test": (65, 90)}
AGGREGATES = [
    {"name": f"{entity}_{statistic}_7d", "entity": entity, "kind": kind, "statistic": statistic,
     "window_us": 7 * DAY_US, "view": f"{entity}_{kind}"}
    for entity in ("customer", "merchant")
    for kind, statistics in (("spending", ("count", "amount_sum", "amount_sum_of_squares", "amount_max")),
                             ("labels", ("label_count", "fraud_count")))
    for statistic in statistics
]  # fmt: skip
AGES = [
    {"name": "customer_spending_age_us", "view": "customer_spending", "entity": "customer", "kind": "spending",
     "keys": ["customer_id"]}
]  # fmt: skip


@dataclass(frozen=True)
class Trained:
    """`artifacts`: model, table and splits, as the stages take them."""

    home: Path
    artifacts: tuple[TrainedModel, FeatureTable, Splits]
    network: FraudNet


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Generator[None]:
    """On tensors this small, more threads only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_small(tmp_path_factory.mktemp("trained"), ["country", "channel"])


@pytest.fixture(scope="session")
def trained_without_categories(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    return train_small(tmp_path_factory.mktemp("trained"), [])


@pytest.fixture(scope="session")
def onnx_model(trained: Trained) -> OnnxModel:
    return export(*trained.artifacts, home=trained.home, out=trained.home / "onnx")


@pytest.fixture(scope="session")
def onnx_without_categories(trained_without_categories: Trained) -> OnnxModel:
    trained = trained_without_categories
    return export(*trained.artifacts, home=trained.home, out=trained.home / "onnx")


def train_small(home: Path, categorical: list[str], *, rows: int = 6000) -> Trained:
    table = _with_features(canonical_table(rows, seed=5))
    feature_set = {
        "hash": "h", "aggregates": AGGREGATES, "ages": AGES, "numeric": ["distance_km"],
        "categorical": categorical, "slices": [],
    }  # fmt: skip
    folders = {name: home / name for name in ("features", "splits", "train")}
    for folder in folders.values():
        folder.mkdir()
    pq.write_table(table, folders["features"] / "features.parquet")
    write_json(folders["features"] / "feature_set.json", feature_set)
    write_json(folders["splits"] / "splits.json", _splits())
    network = _fit(table, feature_set)
    network.save(folders["train"])
    write_json(folders["train"] / "training.json", {"threshold": _threshold(network, table)})
    digest = {name: sha256_path(folder) for name, folder in folders.items()}
    return Trained(
        home,
        (
            TrainedModel(path="train", sha256=digest["train"], run_id="run", metrics={}),
            FeatureTable(path="features", sha256=digest["features"], rows=rows, feature_set_hash="h"),
            Splits(path="splits", sha256=digest["splits"], table="features/features.parquet", rows={}, frauds={}),
        ),
        network,
    )


def rows_of(table: pa.Table, part: str) -> pa.Table:
    day = (table["event_timestamp"].cast(pa.int64()).to_numpy() - int(START.timestamp() * 1e6)) // DAY_US
    start, end = PARTS[part]
    return table.filter(pa.array((day >= start) & (day < end)))


def _with_features(table: pa.Table) -> pa.Table:
    """Made-up aggregates that know a little of the label, with nulls."""
    random = np.random.default_rng(1)
    fraud = table["is_fraud"].fill_null(False).to_numpy()
    for entry in [*AGGREGATES, *AGES]:
        tilted = fraud & (random.random(len(fraud)) < 0.5)
        value = random.integers(1, 40, len(fraud)) * np.where(tilted, 3, 1) * _unit(entry)
        table = table.append_column(entry["name"], pa.array(value, pa.int64(), mask=random.random(len(fraud)) < 0.05))
    return table


def _unit(entry: dict[str, Any]) -> int:
    units = {"amount_sum": 5000, "amount_sum_of_squares": 50_000_000, "amount_max": 4000}
    return units.get(entry.get("statistic", ""), 1 if "statistic" in entry else 3_600_000_000)


def _splits() -> dict[str, Any]:
    def moment(day: int) -> str:
        return (START + timedelta(days=day)).isoformat()

    return {
        name: {"start": moment(start), "end": moment(end), "rows": 0, "frauds": 0, "unlabelled_is_genuine": True}
        for name, (start, end) in PARTS.items()
    }


def _fit(table: pa.Table, feature_set: dict[str, Any]) -> FraudNet:
    torch.manual_seed(0)
    part = rows_of(table, "train")
    labels = torch.from_numpy(part["is_fraud"].fill_null(False).to_numpy(zero_copy_only=False))
    vocabularies = [Vocabulary.from_column(name, part[name]) for name in feature_set["categorical"]]
    inputs = ModelInputs.from_feature_set(feature_set, vocabularies)
    numeric, categorical = (torch.from_numpy(array) for array in inputs.encode(part))
    derived = DerivedFeatures(inputs, feature_set)(numeric)
    encoding = Encoding.fit(derived, labels, torch.ones(len(labels)), inputs, bins=12)
    network = FraudNet(inputs, feature_set, encoding, NetworkSize(width=96, layers=2, dropout=0.0))
    optimizer = torch.optim.AdamW(network.layers.parameters(), 3e-3)
    for _ in range(60):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(network.score(derived, categorical), labels.float())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.eval()


def _threshold(network: FraudNet, table: pa.Table) -> float:
    part = rows_of(table, "calibration")
    numeric, categorical = (torch.from_numpy(array) for array in network.inputs.encode(part))
    with torch.inference_mode():
        scores = network(numeric, categorical if categorical.shape[1] else None).numpy()
    return threshold_at_fpr(part["is_fraud"].fill_null(False).to_numpy(zero_copy_only=False), scores, 0.02)


@pytest.fixture(scope="session")
def read_json() -> Callable[[Path], Any]:
    return lambda path: json.loads(path.read_text())
