"""`sentinel tune` from a file of transactions to a configuration; the command is called as a function."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import torch
from mlflow import MlflowClient

from flows.cli.evaluate import KnownProtocol
from flows.cli.tune import tune
from sentinel.config import load_config
from sentinel.data.simulator import simulate
from sentinel.errors import ConfigInvalid
from sentinel.training.tuning import search as tuning
from tests.conftest import ROOT

QUICK = """
[training]
epochs = 1
width = 16
bins = 4
dropout = 0.25
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A checkout without code; the process environment, which a command prepares, is put back."""
    before, threads, root = dict(os.environ), torch.get_num_threads(), tmp_path / "project"
    torch.set_num_threads(1)
    (root / "configs").mkdir(parents=True)
    (root / "configs" / "default.toml").write_text((ROOT / "configs" / "default.toml").read_text() + QUICK)
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copytree(ROOT / "feature_repo", root / "feature_repo")
    monkeypatch.chdir(root)
    for name in ("SENTINEL_HOME", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    yield root
    torch.set_num_threads(threads)
    os.environ.clear()
    os.environ.update(before)


def tuned(capsys: pytest.CaptureFixture[str], data: Path, trials: int) -> dict[str, Any]:
    tune(data=data, trials=trials, as_json=True)
    return json.loads(capsys.readouterr().out)


def test_search_goes_on_leaves_nested_runs_and_writes_its_winner(
    project: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = {name: tuning.SPACE[name] for name in ("learning_rate", "dropout")}
    monkeypatch.setattr(tuning, "SPACE", few)
    source = project.parent / "source.parquet"
    simulate(source, 20_000, seed=7)
    before, after = tuned(capsys, source, 1), tuned(capsys, source, 2)

    start = next(trial for trial in after["trials"] if trial["number"] == 0)
    assert start == before["trials"][0] and start["settings"]["dropout"] == 0.25
    assert len(after["trials"]) == 2 and len(after["folds"]) > 1
    assert after["best"]["mean"]["pr_auc"] == max(trial["mean"]["pr_auc"] for trial in after["trials"])
    winner = load_config(project / "configs" / "default_tuned.toml")
    assert winner.name == "default"
    assert {key: getattr(winner.training, key) for key in few} == after["best"]["settings"]

    client = MlflowClient(f"sqlite:///{project / '.sentinel' / 'mlflow' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name(after["mlflow"]["experiment"])
    assert experiment and before["mlflow"] == after["mlflow"]
    parent = after["mlflow"]["run_id"]
    nested = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert sorted(str(run.info.run_name) for run in nested) == ["trial 0", "trial 1"]
    assert {run.info.status for run in [*nested, client.get_run(parent)]} == {"FINISHED"}
    begun = next(run for run in nested if run.info.run_name == "trial 0")
    assert begun.data.params["training.dropout"] == "0.25"
    assert begun.data.metrics["mean_pr_auc"] == start["mean"]["pr_auc"]
    assert begun.data.metrics[f"roc_auc/{after['folds'][0]}"] == start["folds"][after["folds"][0]]["roc_auc"]
    for table in (project / ".sentinel" / "tables" / "default").iterdir():
        assert sorted(file.name for file in table.iterdir()) == ["feature_set.json", "features.parquet"]


def test_what_is_missing_is_told_in_a_sentence(project: Path) -> None:
    shutil.copy(ROOT / "configs" / "handbook.toml", project / "configs")
    with pytest.raises(ConfigInvalid, match=r"Run `sentinel run --config configs/default.toml` first, or give --data"):
        tune()
    with pytest.raises(ConfigInvalid, match=r"There is no file nowhere\.parquet"):
        tune(data=Path("nowhere.parquet"))
    with pytest.raises(ConfigInvalid, match="Give them with --data"):
        tune(protocol=KnownProtocol.handbook)
