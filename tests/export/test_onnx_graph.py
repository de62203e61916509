from __future__ import annotations

import getpass
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from sentinel.artifacts import OnnxModel
from sentinel.errors import TrainingFailed
from sentinel.export.onnx_graph import measure_parity, require_one_file, write_graph
from sentinel.export.rows import read_rows
from sentinel.model.network import FraudNet
from sentinel.scoring import Scorer
from tests.export.conftest import Trained


@pytest.fixture(scope="module")
def exported(trained: Trained, onnx_model: OnnxModel) -> Path:
    assert onnx_model.holds(trained.home)
    assert onnx_model.run_id == "run"
    return onnx_model.locate(trained.home)


def test_folder_holds_the_graph_its_inputs_and_the_parity(exported: Path, trained: Trained):
    assert sorted(file.name for file in exported.iterdir()) == ["fp32.onnx", "inputs.json", "parity.json"]
    assert (exported / "inputs.json").read_bytes() == (trained.home / "train" / "inputs.json").read_bytes()


def test_graph_answers_like_torch_at_every_batch_size(
    exported: Path, trained: Trained, read_json: Callable[[Path], Any]
):
    parity, rows = read_json(exported / "parity.json"), len(read_rows("test", *trained.artifacts, trained.home))
    assert set(parity["batches"]) == {"1", "2", "1000"}
    assert all(entry["rows"] == rows for entry in parity["batches"].values())
    assert all(entry["torch_rows"] >= min(rows, 1000) for entry in parity["batches"].values())
    assert parity["max_absolute_difference"] <= 1e-5


def test_parity_sees_a_graph_of_other_weights(exported: Path, trained: Trained, tmp_path: Path):
    other = FraudNet.load(trained.home / "train")
    with torch.no_grad():
        other.shift += 0.01
    write_graph(other, tmp_path / "other.onnx")
    rows = read_rows("test", *trained.artifacts, trained.home)
    parity = measure_parity(trained.network, Scorer(tmp_path / "other.onnx"), rows)
    assert all(entry["max_absolute_difference"] > 1e-4 for entry in parity.values())


def test_parity_counts_an_answer_that_is_no_number_as_the_largest_difference(exported: Path, trained: Trained):
    other = FraudNet.load(trained.home / "train")
    with torch.no_grad():
        other.shift += float("nan")
    rows = read_rows("test", *trained.artifacts, trained.home).spread(3)
    parity = measure_parity(other, Scorer(exported / "fp32.onnx"), rows)
    assert all(entry["max_absolute_difference"] == 1.0 for entry in parity.values())


def test_a_network_that_one_file_cannot_hold_is_refused_in_a_sentence():
    with torch.device("meta"):
        network = torch.nn.Sequential(torch.nn.Linear(20_000, 20_000), torch.nn.Linear(20_000, 4_000))
    with pytest.raises(TrainingFailed, match=r"1\.92 GB of weights, and one graph file holds 1\.9 GB"):
        require_one_file(network)
    require_one_file(network[0])


def test_graph_has_named_inputs_a_dynamic_batch_and_standard_operators(exported: Path, trained: Trained):
    graph = onnx.load(exported / "fp32.onnx")
    shapes = {
        value.name: [dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim]
        for value in [*graph.graph.input, *graph.graph.output]
    }
    numeric = len(trained.network.inputs.numeric)
    assert shapes == {"numeric": ["batch", numeric], "categorical": ["batch", 2], "probability": ["batch"]}
    assert [(entry.domain, entry.version >= 17) for entry in graph.opset_import] == [("", True)]
    assert {node.domain for node in graph.graph.node} == {""}
    assert all(not tensor.HasField("data_location") or not tensor.external_data for tensor in graph.graph.initializer)


def test_same_weights_give_the_same_bytes(exported: Path, trained: Trained, tmp_path: Path):
    write_graph(FraudNet.load(trained.home / "train"), tmp_path / "again.onnx")
    assert (tmp_path / "again.onnx").read_bytes() == (exported / "fp32.onnx").read_bytes()


def test_no_path_of_this_machine_is_in_the_file(exported: Path, trained: Trained):
    content = (exported / "fp32.onnx").read_bytes()
    for place in (str(Path.cwd()), str(trained.home), str(Path.home()), str(Path(torch.__file__).parent), ".py"):
        assert place.encode() not in content, place
    assert f"/{getpass.getuser()}/".encode() not in content


def test_export_says_nothing(trained: Trained, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_graph(FraudNet.load(trained.home / "train"), tmp_path / "quiet.onnx")
    assert capfd.readouterr() == ("", "")


def test_without_categories_the_graph_has_no_such_input(
    trained_without_categories: Trained, onnx_without_categories: OnnxModel
):
    trained = trained_without_categories
    folder = onnx_without_categories.locate(trained.home)
    assert [value.name for value in onnx.load(folder / "fp32.onnx").graph.input] == ["numeric"]
    rows = read_rows("test", *trained.artifacts, trained.home)
    assert np.isfinite(Scorer(folder / "fp32.onnx").score(rows.numeric)).all()
