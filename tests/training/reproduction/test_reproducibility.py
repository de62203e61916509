"""A fresh process repeats the middle of a training; whatever was changed on the way shows in the verdict."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from sentinel.errors import DataDamaged
from sentinel.model.derived import DerivedFeatures
from sentinel.model.inputs import ModelInputs
from sentinel.storage import sha256_file
from sentinel.training.data.rows import ResidentRows, make_rows
from sentinel.training.device.hardware import Hardware, deterministic
from sentinel.training.loop.loop import train
from sentinel.training.loop.probe import AFTER, MODEL, MOMENTS, PROBE, ROWS, START, Probe
from sentinel.training.preparation import make_network
from sentinel.training.reproduction.repeat import repeat
from sentinel.training.reproduction.reproducibility import Verdict, verdict
from tests.model.raw import feature_set, features_table
from tests.training.conftest import SETTINGS

CPU = Hardware(torch.device("cpu"), "fp32")
PATIENT_S = 200  # a loaded machine may be slow; what is told of slowness is tested apart


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a training of some seconds leaves."""
    features = feature_set(categorical=())
    inputs = ModelInputs.from_feature_set(features)
    derive = DerivedFeatures(inputs, features)
    rows = make_rows(features_table(2000), inputs, derive)
    folder = tmp_path_factory.mktemp("probe")
    with deterministic(1):
        net = make_network(rows, derive, inputs, features, SETTINGS)
        train(net, ResidentRows(rows, CPU.device), SETTINGS, CPU, None, seed=1, probe=Probe(folder))
    return folder


@pytest.fixture
def folder(probe: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(probe, tmp_path / "probe"))


def sealed(folder: Path) -> None:
    """Whoever changes a file may also change its digest in probe.json."""
    told = json.loads((folder / PROBE).read_text())
    told["files"] = {name: sha256_file(folder / name) for name in told["files"]}
    (folder / PROBE).write_text(json.dumps(told))


def shift(folder: Path, file: str, by: float, name: str | None = None) -> None:
    tensors = load_file(folder / file)
    name = name or max(tensors, key=lambda one: tensors[one].numel())
    tensors[name].view(-1)[0] += by
    save_file(tensors, folder / file)
    sealed(folder)


def rewrite(folder: Path, file: str, change: Callable[[dict[str, Any]], object]) -> None:
    told = json.loads((folder / file).read_text())
    change(told)
    (folder / file).write_text(json.dumps(told))
    sealed(folder)


def judged(folder: Path) -> Verdict:
    return Verdict(seconds=0.0, **repeat(folder))


def test_a_fresh_process_comes_to_the_same_bits(probe: Path) -> None:
    found = verdict(probe, PATIENT_S)
    assert (found.kind, found.largest_difference, found.first_step_that_differs) == ("bit-exact", 0.0, None), found
    assert found.steps == 30
    assert found.text == "bit-exact"
    assert json.loads(json.dumps(found.as_dict()))["verdict"] == "bit-exact"


def test_weights_that_are_a_little_off_are_within(folder: Path) -> None:
    shift(folder, AFTER, 1e-7)
    found = judged(folder)
    assert found.kind == "within"
    assert found.largest_difference == pytest.approx(1e-7, rel=0.5)
    assert found.first_step_that_differs == found.steps
    assert found.text.startswith("within ") and found.text.endswith("e-07")


def test_weights_that_are_far_off_are_not_reproducible(folder: Path) -> None:
    shift(folder, AFTER, 1e-3)
    found = judged(folder)
    assert (found.kind, found.first_step_that_differs) == ("not reproducible", found.steps)
    assert found.largest_difference == pytest.approx(1e-3, rel=0.01)


@pytest.mark.parametrize(
    "damage",
    [
        lambda folder: shift(folder, MOMENTS, 1e-3),
        lambda folder: shift(folder, ROWS, 1.0, "derived"),
        lambda folder: rewrite(folder, START, lambda told: told["plan"].update(seed=2)),
        lambda folder: rewrite(folder, START, lambda told: told.update(first=told["first"] + 1)),
        lambda folder: shift(folder, f"{MODEL}/weights.safetensors", 1e-2, "layers.0.weight"),
    ],
    ids=["moments", "rows", "another seed", "another step", "weights before"],
)
def test_another_beginning_is_told_by_its_first_step(folder: Path, damage: Callable[[Path], None]) -> None:
    damage(folder)
    found = judged(folder)
    assert (found.kind, found.first_step_that_differs) == ("not reproducible", 1)
    assert found.text == "not reproducible from step 1 of 30 on"


def test_a_step_whose_digest_alone_is_another_one_is_named(folder: Path) -> None:
    rewrite(folder, PROBE, lambda told: told["steps"][6].update(sha256="0" * 64))
    found = judged(folder)
    assert (found.kind, found.first_step_that_differs, found.largest_difference) == ("within", 7, 0.0)


def test_weights_of_another_shape_are_not_reproducible(folder: Path) -> None:
    tensors = load_file(folder / AFTER)
    tensors.pop(min(tensors))
    save_file(tensors, folder / AFTER)
    sealed(folder)
    found = judged(folder)
    assert (found.kind, found.largest_difference) == ("not reproducible", None)
    assert json.loads(json.dumps(found.as_dict(), allow_nan=False))["largest_difference"] is None


@pytest.mark.parametrize("file", [AFTER, MOMENTS, ROWS, START, PROBE, f"{MODEL}/model.json"])
def test_nothing_is_measured_without_a_file(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(DataDamaged):
        repeat(folder)


def test_a_changed_byte_is_damage(folder: Path) -> None:
    tensors = load_file(folder / AFTER)
    name = max(tensors, key=lambda one: tensors[one].numel())
    tensors[name].view(-1)[0] += 1e-7
    save_file(tensors, folder / AFTER)
    with pytest.raises(DataDamaged, match=AFTER):
        repeat(folder)


def test_no_step_is_no_proof(folder: Path) -> None:
    rewrite(folder, PROBE, lambda told: told["steps"].clear())
    with pytest.raises(ValueError, match="no step"):
        repeat(folder)


def test_what_the_process_dies_of_is_told(tmp_path: Path) -> None:
    found = verdict(tmp_path / "nowhere", PATIENT_S)
    assert (found.kind, found.steps, found.largest_difference) == ("not measured", 0, None)
    assert "nowhere" in (found.problem or "")
    assert found.text == "not measured"


def test_too_slow_is_not_measured(probe: Path) -> None:
    found = verdict(probe, 0.01)
    assert found.kind == "not measured"
    assert found.problem == "repeating it took longer than 0.01 s"


def test_the_process_ends_when_it_is_not_its_parent_that_asked(probe: Path, tmp_path: Path) -> None:
    """Killed before it could say whose child it is, the parent is another one."""
    command = [sys.executable, "-m", "sentinel.training.reproduction.repeat", str(probe), str(tmp_path), "0", "1", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []
