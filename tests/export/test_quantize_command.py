"""`sentinel models quantize` on the model of a run; the command is called as a function."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
import typer

from flows.cli.quantize import GridName, quantize
from sentinel.artifacts import OnnxModel
from sentinel.errors import DataDamaged, RecordInvalid
from sentinel.export import grid, speed
from sentinel.export.made_from import MadeFrom, write_made_from
from tests.conftest import ROOT
from tests.export.conftest import Trained

EVERY_RUN = {"fp32", "int8_dynamic", "int8_static_per_tensor", "int8_static_per_channel"}
LENIENT = "\n[gates]\nmin_pr_auc = 0\nmax_variant_pr_auc_loss = 0.05\nmax_variant_flips = 0.02\n"


@pytest.fixture
def home(trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[Path]:
    """A checkout without code whose home has the artifacts of a run; the environment is put back afterwards."""
    before, root = dict(os.environ), tmp_path / "project"
    (root / "configs").mkdir(parents=True)
    text = (ROOT / "configs" / "default.toml").read_text().partition("[gates]")[0]
    (root / "configs" / "default.toml").write_text(text + LENIENT)
    shutil.copy(ROOT / "pyproject.toml", root)
    shutil.copytree(trained.home, tmp_path / "home")
    monkeypatch.chdir(root)
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(speed, "_THROUGHPUT_SECONDS", 0.02)
    monkeypatch.setattr(grid, "_MANY_ROUNDS", 4)
    yield tmp_path / "home"
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def after_a_run(home: Path, trained: Trained, onnx_model: OnnxModel) -> Path:
    folder = home / "stages" / "default" / "quantize" / "k"
    folder.mkdir(parents=True)
    write_made_from(folder, MadeFrom(onnx_model, *trained.artifacts))
    return home


def tried(capsys: pytest.CaptureFixture[str], name: GridName) -> dict[str, Any]:
    quantize(name, as_json=True)
    return json.loads(capsys.readouterr().out)


def test_the_full_grid_tries_everything_and_says_what_would_win(
    after_a_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = tried(capsys, GridName.FULL)
    variants, folder = found["variants"], Path(found["folder"])
    assert variants.keys() > EVERY_RUN | {
        "fp16",
        "int8_static_per_tensor_entropy",
        "int8_static_per_channel_percentile",
    }
    assert {f"int8_static_per_channel_without_{left_out}" for left_out in (0, 2)} <= variants.keys()
    assert variants["int8_static_per_channel_without_0"]["integer_matrix_products"] == 3
    assert variants["fp16"]["precision"] == "fp16" and variants["fp16"]["largest_shift"] < 0.01
    assert found["chosen"] in variants and found["reason"].startswith(f"{found['chosen']} serves: ")
    assert [layer["kl_divergence"] > 0 for layer in found["layers"]] == [True] * 3
    assert [layer["flips"] for layer in found["layers"]] == sorted(
        (layer["flips"] for layer in found["layers"]), reverse=True
    )
    assert all("was asked for" in sentence or "cannot run" in sentence for sentence in found["unusable"].values())
    assert sorted(file.name for file in folder.iterdir()) == ["grid.json", "pareto.png"]
    assert json.loads((folder / "grid.json").read_text())["chosen"] == found["chosen"]
    assert list(after_a_run.glob("quantization-*")) == []


def test_the_short_grid_shows_the_four_of_every_run(after_a_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    quantize()
    shown = capsys.readouterr().out
    assert all(any(name in line for line in shown.splitlines()) for name in EVERY_RUN)
    assert "would win" in shown and "pareto.png" in shown
    assert "layer" not in shown and "fp16" not in shown


def test_without_a_run_the_sentence_says_what_to_do(home: Path) -> None:
    with pytest.raises(RecordInvalid, match=r"Run `sentinel run --config configs/default\.toml` first"):
        quantize()


def test_a_model_that_is_not_what_it_was_is_refused(after_a_run: Path) -> None:
    weights = after_a_run / "train" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DataDamaged, match="stage train, is not what it was"):
        quantize()


def test_an_interruption_ends_in_a_sentence_and_leaves_nothing(
    after_a_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(grid, "prepare", interrupted)
    with pytest.raises(typer.Exit):
        quantize()
    assert "Interrupted. Nothing was kept" in capsys.readouterr().err
    assert list(after_a_run.glob("quantization*")) == []
