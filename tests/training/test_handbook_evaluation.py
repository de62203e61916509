from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentinel.artifacts import FeatureTable
from sentinel.errors import DataContractError
from sentinel.storage import sha256_path, write_json
from sentinel.training.handbook_evaluation import SEEDS, evaluate
from tests.model.raw import START_US, feature_set, features_table
from tests.training.conftest import SETTINGS

FIGURES = {"roc_auc", "pr_auc", "card_precision_at_100"}
STARTS = ["2018-07-25", "2018-08-01", "2018-08-08", "2018-08-15"]


def in_the_books_weeks(home: Path) -> FeatureTable:
    """A table of the protocol's weeks in the contract's columns, with many customers and few rows."""
    rows = features_table(5000, days=50)
    shift = int(datetime(2018, 7, 20, tzinfo=UTC).timestamp()) * 1_000_000 - START_US
    moments = pa.array(rows["event_timestamp"].cast(pa.int64()).to_numpy() + shift, pa.timestamp("us", "UTC"))
    random = np.random.default_rng(0)
    scenarios = ["1" if fraud else "0" for fraud in rows["is_fraud"].to_pylist()]
    rows = rows.set_column(1, "event_timestamp", moments)
    rows = rows.set_column(2, "customer_id", pa.array(random.integers(0, 3000, rows.num_rows)))
    rows = rows.append_column("merchant_id", pa.array(random.integers(0, 50, rows.num_rows)))
    return store(home, rows.append_column("fraud_scenario", pa.array(scenarios)))


def store(home: Path, rows: pa.Table) -> FeatureTable:
    folder = home / "features"
    folder.mkdir()
    pq.write_table(rows, folder / "features.parquet")
    write_json(folder / "feature_set.json", feature_set(categorical=()))
    return FeatureTable(path="features", sha256=sha256_path(folder), rows=rows.num_rows, feature_set_hash="h")


def test_document_has_folds_mean_baselines_and_ceiling(tmp_path: Path) -> None:
    steps: list[float] = []
    document = evaluate(
        in_the_books_weeks(tmp_path), SETTINGS, home=tmp_path,
        progress=lambda done, total, doing="": steps.append(done / total)
    )  # fmt: skip
    json.dumps(document, allow_nan=False)
    assert [fold["start"] for fold in document["folds"]] == STARTS
    assert all(len(fold["seeds"]) == len(SEEDS) for fold in document["folds"])
    assert document["mean"]["pr_auc"] == pytest.approx(
        np.mean([fold["network"]["pr_auc"] for fold in document["folds"]])
    )
    assert document["mean"]["pr_auc"] > 0.3
    assert set(document["ceiling"]) == set(document["baselines"]["xgboost_same_features"]) == FIGURES
    assert document["ceiling"]["pr_auc"] == pytest.approx(1.0)  # every fraud is of a scenario that hindsight knows
    assert set(document["baselines"]["single_split"]) == {"random forest", "XGBoost"}
    assert steps == sorted(steps) and steps[-1] == 1


def test_data_of_another_year_are_refused(tmp_path: Path) -> None:
    rows = features_table(500).append_column("merchant_id", pa.array([1] * 500))
    with pytest.raises(DataContractError, match="2018-07-25"):
        evaluate(store(tmp_path, rows), SETTINGS, home=tmp_path)
