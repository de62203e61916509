from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

import sentinel.training.fit
from sentinel.artifacts import FeatureTable, Splits, TrainedModel
from sentinel.config import Training
from sentinel.metrics import pr_auc
from sentinel.model.network import FraudNet
from sentinel.storage import listing
from sentinel.training.data.splits import read_splits, split
from sentinel.training.fit import fit, remove_unfinished
from sentinel.training.loop.not_finite import BAD_BATCHES, BadRows
from sentinel.training.reproduction.weights import compare_files
from tests.fresh_process import in_a_fresh_process
from tests.training.conftest import SETTINGS, TIMES
from tests.training.parts import read_part

PICTURES = {
    "precision_recall",
    "calibration",
    "score_histogram",
    "training_curves",
    "confusion",
    "importance",
    "slices",
}
ALLOWED = {".safetensors", ".json", ".parquet", ".png"}


@dataclass(frozen=True)
class Run:
    home: Path
    folder: Path
    splits: Splits
    trained: TrainedModel
    logged: list[tuple[str, float, int]]


def run_fit(home: Path, table: FeatureTable, name: str, settings: Training = SETTINGS) -> Run:
    splits = split(table, TIMES, home=home, out=home / f"{name}-splits")
    logged: list[tuple[str, float, int]] = []
    trained = fit(
        table, splits, settings, run_id="run-1", home=home, out=home / name,
        log_metric=lambda metric, value, step: logged.append((metric, value, step)),
    )  # fmt: skip
    return Run(home, home / name, splits, trained, logged)


@pytest.fixture(scope="module")
def run(home: Path, table: FeatureTable) -> Run:
    return run_fit(home, table, "model")


def record(run: Run) -> dict[str, object]:
    return json.loads((run.folder / "training.json").read_text())


def test_a_model_comes_with_record_scores_and_pictures(run: Run) -> None:
    files = {path.relative_to(run.folder).as_posix() for path in run.folder.rglob("*") if path.is_file()}
    pictures = {f"pictures/{name}.png" for name in PICTURES}
    assert files == pictures | {"weights.safetensors", "model.json", "inputs.json", "training.json", "scores.parquet"}
    assert run.trained.holds(run.home) and run.trained.run_id == "run-1"
    assert all((run.folder / picture).read_bytes().startswith(b"\x89PNG") for picture in pictures)


def test_no_artifact_can_hold_code(run: Run) -> None:
    for path in run.folder.rglob("*"):
        if path.is_file():
            assert path.suffix in ALLOWED
            assert not path.read_bytes().startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK\x03\x04"))


def test_stored_scores_are_those_of_the_stored_model(run: Run) -> None:
    net = FraudNet.load(run.folder)
    scores = pq.read_table(run.folder / "scores.parquet")
    test = scores.filter(np.array(scores["split"].to_pylist()) == "test")
    raw = read_part(
        run.home / run.splits.table, read_splits(run.splits.locate(run.home)), "test", list(net.inputs.columns)
    )
    numeric, codes = net.inputs.encode(raw)
    with torch.inference_mode():
        expected = net(torch.from_numpy(numeric), torch.from_numpy(codes)).numpy()
    np.testing.assert_allclose(test["probability"].to_numpy(), expected, atol=1e-6)
    assert test.column_names == [
        "split", "transaction_id", "event_timestamp", "customer_id", "amount_minor", "is_fraud", "channel",
        "fraud_kind", "customer_spending_age_us", "merchant_spending_age_us", "customer_merchant_spending_age_us",
        "probability", "logistic",
    ]  # fmt: skip


def test_figures_are_those_of_the_stored_scores(run: Run) -> None:
    scores = pq.read_table(run.folder / "scores.parquet").to_pandas()
    for name in ("validation", "calibration", "test"):
        part = scores[scores["split"] == name]
        assert len(part) == run.splits.rows[name]
        assert run.trained.metrics[f"{name}_pr_auc"] == pytest.approx(pr_auc(part["is_fraud"], part["probability"]))
        assert run.trained.metrics[f"{name}_logistic_pr_auc"] == pytest.approx(
            pr_auc(part["is_fraud"], part["logistic"])
        )


def test_the_model_learned_something(run: Run) -> None:
    prevalence = run.splits.frauds["test"] / run.splits.rows["test"]
    assert run.trained.metrics["test_pr_auc"] > 10 * prevalence
    assert run.trained.metrics["test_expected_calibration_error"] < 0.03


def test_threshold_keeps_the_budget_on_the_calibration_rows(run: Run) -> None:
    scores = pq.read_table(run.folder / "scores.parquet").to_pandas()
    part = scores[(scores["split"] == "calibration") & ~scores["is_fraud"]]
    flagged = (part["probability"] >= record(run)["threshold"]).mean()
    assert 0 < flagged <= 0.02


def test_record_says_how_it_was_made(run: Run) -> None:
    found = record(run)
    assert found["precision"] == "fp32" and found["device"] == "cpu" and found["run_id"] == "run-1"
    history = found["history"]
    best = max(history, key=lambda epoch: epoch["validation_pr_auc"])
    assert found["best_epoch"] == best["number"]
    assert set(found["metrics"]) == {"validation", "calibration", "test"}
    assert found["threshold_budget"]["budget"] == "false_positive_rate"
    assert found["threshold_budget"]["kept_on_calibration"] <= found["threshold_budget"]["asked"] == 0.02
    assert found["intervals"]["pr_auc"]["value"] == pytest.approx(run.trained.metrics["test_pr_auc"])
    assert {each["by"] for each in found["slices"]} >= {"amount_minor", "channel", "fraud_kind", "customer"}
    assert set(found["importance"]) == {*FraudNet.load(run.folder).inputs.numeric, "channel"}


def test_every_epoch_is_logged(run: Run) -> None:
    epochs = len(record(run)["history"])
    assert [step for name, _, step in run.logged if name == "train_loss"] == list(range(1, epochs + 1))


def fit_in_two_processes(home: Path, table: FeatureTable) -> None:
    sentinel.training.fit.TIMEOUT_S = 200  # a loaded machine may be slow; what is told of slowness is tested apart
    run_fit(home, table, "together", SETTINGS.model_copy(update={"devices": 2}))


def test_a_training_in_two_processes_is_repeated_to_the_bit(run: Run, table: FeatureTable) -> None:
    in_a_fresh_process(fit_in_two_processes, run.home, table)
    together = run.home / "together"
    found = json.loads((together / "training.json").read_text())
    verdict = {name: value for name, value in found["reproducibility"].items() if name != "seconds"}
    assert verdict == {
        "verdict": "bit-exact", "kind": "bit-exact", "largest_difference": 0.0, "first_step_that_differs": None,
        "steps": 30, "problem": None,
    }  # fmt: skip
    assert found["processes"] == 2 and record(run)["processes"] == 1
    difference = compare_files(run.folder / "weights.safetensors", together / "weights.safetensors")
    assert 0 < difference.largest < 1e-5, "sums are taken in another order"


def test_a_second_run_is_the_same_to_the_bit(run: Run, table: FeatureTable) -> None:
    again = run_fit(run.home, table, "again")
    first, second = listing(run.folder), listing(again.folder)
    del first["training.json"], second["training.json"]  # it has seconds in it
    del first["pictures/training_curves.png"], second["pictures/training_curves.png"]
    assert first == second


def test_batches_that_end_a_training_are_kept_by_the_ids_of_their_transactions(run: Run, table: FeatureTable) -> None:
    settings = SETTINGS.model_copy(update={"learning_rate": 1e38, "max_skipped_steps": 0, "epochs": 2})
    with pytest.raises(BadRows) as failed:
        run_fit(run.home, table, "bad", settings)
    file = run.home / f"bad.{BAD_BATCHES}"
    assert failed.value.file == file and f"These batches are in {file}" in str(failed.value)
    batches = json.loads(file.read_text())
    train = read_part(
        run.home / run.splits.table, read_splits(run.splits.locate(run.home)), "train", ["transaction_id", "is_fraud"]
    )
    known = dict(zip(train["transaction_id"].to_pylist(), train["is_fraud"].to_pylist(), strict=True))
    assert all(
        len(ids) > 16 and set(ids) <= known.keys() and any(known[each] for each in ids) for ids in batches.values()
    )
    assert not np.array_equal(train["transaction_id"].to_numpy(), np.arange(len(train))), "positions would do"


def test_what_killed_trainings_left_is_removed_and_finished_ones_are_not(tmp_path: Path) -> None:
    for name in ("a.unfinished/checkpoints", "b.unfinished", "b", f"c.{BAD_BATCHES}"):
        (tmp_path / name).mkdir(parents=True)
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"b", f"c.{BAD_BATCHES}"}
