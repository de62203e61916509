"""A stored training counts only while MLflow holds its run, and never without a verdict."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from sentinel.artifacts import TrainedModel
from sentinel.config import load_config
from sentinel.paths import Paths
from sentinel.storage import write_json
from tasks.run import Code, Run
from tasks.train import train
from tests.conftest import ROOT

TRAINED = TrainedModel(path="trained", sha256="a" * 64, run_id="r" * 32, metrics={})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """With an MLflow database that knows the training."""
    config, paths = load_config(ROOT / "configs" / "handbook.toml"), Paths(tmp_path, tmp_path / "home")
    paths.mlflow_database.parent.mkdir(parents=True)
    with closing(sqlite3.connect(paths.mlflow_database)) as database:
        database.execute("CREATE TABLE runs (run_uuid TEXT, lifecycle_stage TEXT)")
        database.execute("INSERT INTO runs VALUES (?, 'active')", (TRAINED.run_id,))
        database.commit()
    (paths.home / TRAINED.path).mkdir()
    return Run("run", config, paths, f"sqlite:///{paths.mlflow_database}", Path("lock"), "lock", Code("none", False))


def judged(run: Run, problem: str | None) -> None:
    write_json(run.paths.home / TRAINED.path / "training.json", {"reproducibility": {"problem": problem}})


def test_training_that_mlflow_holds_stands(run: Run) -> None:
    judged(run, None)
    assert train.is_still_there(run, TRAINED)


def test_training_that_mlflow_lost_is_done_again(run: Run) -> None:
    judged(run, None)
    with closing(sqlite3.connect(run.paths.mlflow_database)) as database:
        database.execute("UPDATE runs SET lifecycle_stage = 'deleted'")
        database.commit()
    assert not train.is_still_there(run, TRAINED)


def test_training_whose_verdict_was_not_measured_is_done_again(run: Run) -> None:
    """A machine that was too busy for it once must not refuse the model for ever."""
    judged(run, "repeating it took longer than 10 s")
    assert not train.is_still_there(run, TRAINED)
