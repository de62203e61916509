from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from sentinel.artifacts import FeatureTable
from sentinel.config import Training
from sentinel.errors import DataContractError
from sentinel.storage import sha256_path, write_json
from sentinel.training.handbook import evaluation as handbook_evaluation
from sentinel.training.handbook.evaluation import FOLD_SETTINGS, evaluate, fold_settings
from sentinel.training.handbook.protocol import TEST_FOLDS, VALIDATION_FOLDS
from sentinel.training.tuning import peer_models
from tests.model.raw import START_US, feature_set, features_table
from tests.training.conftest import SETTINGS

FIGURES = {"roc_auc", "pr_auc", "card_precision_at_100"}
FEW_SEEDS = (1, 2)


@pytest.fixture(autouse=True)
def few_seeds_and_trees(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    frozen = json.loads(peer_models.TUNED.read_text())
    for key, trees in {"xgboost": "n_estimators", "catboost": "iterations"}.items():
        frozen["peers"][key]["settings"][trees] = 10
    write_json(tmp_path / "tuned_peers.json", frozen)
    monkeypatch.setattr(peer_models, "TUNED", tmp_path / "tuned_peers.json")
    monkeypatch.setattr(handbook_evaluation, "SEEDS", FEW_SEEDS)


def in_the_books_weeks(home: Path, first: datetime) -> FeatureTable:
    """A table of 50 of the protocol's days in the contract's columns, with many customers and few rows."""
    rows = features_table(5000, days=50)
    shift = int(first.timestamp()) * 1_000_000 - START_US
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


def test_document_has_folds_seeds_mean_peers_and_ceiling(tmp_path: Path) -> None:
    steps: list[float] = []
    document = evaluate(
        in_the_books_weeks(tmp_path, datetime(2018, 7, 20, tzinfo=UTC)), SETTINGS, home=tmp_path,
        progress=lambda done, total, doing="": steps.append(done / total)
    )  # fmt: skip
    json.dumps(document, allow_nan=False)
    assert [fold["start"] for fold in document["folds"]] == [str(start) for start in TEST_FOLDS]
    assert all(len(fold["seeds"]) == len(document["seeds"]) == len(FEW_SEEDS) for fold in document["folds"])
    for which in ("network", "catboost"):
        found = document["mean"] if which == "network" else document["baselines"]["catboost_same_features"]
        assert found["pr_auc"] == pytest.approx(np.mean([fold[which]["pr_auc"] for fold in document["folds"]]))
    assert np.mean([seed["pr_auc"] for seed in document["seeds"]]) == pytest.approx(document["mean"]["pr_auc"])
    assert document["mean"]["pr_auc"] > 0.3
    assert set(document["ceiling"]) == set(document["baselines"]["xgboost_same_features"]) == FIGURES
    assert document["ceiling"]["pr_auc"] == pytest.approx(1.0)  # every fraud is of a scenario that hindsight knows
    lost = document["lost_roc_auc"]["1"]
    assert lost["share"] == 1 and lost["lost"] == pytest.approx(1 - document["mean"]["roc_auc"])
    assert set(document["baselines"]["single_split"]) == {"random forest", "XGBoost"}
    assert steps == sorted(steps) and steps[-1] == 1


def test_a_look_at_the_validation_folds_needs_no_test_row_and_shows_no_test_figure(tmp_path: Path) -> None:
    table = in_the_books_weeks(tmp_path, datetime(2018, 6, 15, tzinfo=UTC))  # nothing of the test weeks is there
    document = evaluate(table, SETTINGS, home=tmp_path, which="validation")
    assert [fold["start"] for fold in document["folds"]] == [str(start) for start in VALIDATION_FOLDS]
    assert (document["judged_on"], document["baselines"]["published"]) == ("validation", {})
    assert document["baselines"]["single_split"] is None


def test_the_configurations_own_words_come_before_those_of_the_folds() -> None:
    silent, spoken = Training(), Training.model_validate({"epochs": 3})
    assert fold_settings(silent).model_dump() == silent.model_dump() | FOLD_SETTINGS
    assert fold_settings(spoken).epochs == 3
    assert fold_settings(spoken).batch_size == FOLD_SETTINGS["batch_size"]


def test_data_of_another_year_are_refused(tmp_path: Path) -> None:
    rows = features_table(500).append_column("merchant_id", pa.array([1] * 500))
    with pytest.raises(DataContractError, match="2018-07-25"):
        evaluate(store(tmp_path, rows), SETTINGS, home=tmp_path)
