"""What reads the artifacts of a run refuses code in every disguise; the runs themselves are read in tests/main_job."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path

import onnx
import onnx.helper as build
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import save_file

from tests.artifact_formats import _BY_SUFFIX, parse, refusals


def pickled() -> bytes:
    return pickle.dumps({"weights": [0.1, 0.2]})


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("archive/data.pkl", pickled())
    return content.getvalue()


@pytest.mark.parametrize("suffix", sorted(set(_BY_SUFFIX) - {".db-wal", ".db-shm", ".db-journal"}))
@pytest.mark.parametrize("content", [pickled(), zipped(), b"\x80\x05\x95"], ids=["pickle", "zip", "cut short"])
def test_a_pickle_is_refused_whatever_it_is_called(tmp_path: Path, suffix: str, content: bytes) -> None:
    (tmp_path / f"weights{suffix}").write_bytes(content)
    assert refusals(tmp_path) != []


@pytest.mark.parametrize("name", ["model.pt", "model.pkl", "scores.npz", "model.joblib", "model", "a.bin", "x.db-wal"])
def test_an_unknown_format_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{}")
    assert refusals(tmp_path) != []


def test_what_torch_saves_is_refused_and_safetensors_are_not(tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    save_file({"a": torch.arange(6.0).view(2, 3), "b": torch.zeros((), dtype=torch.int64)}, file)
    parse(file)
    whole = file.read_bytes()
    file.write_bytes(whole + pickled())
    assert "behind its tensors" in refusals(tmp_path)[0]
    torch.save({"a": torch.zeros(3)}, file)
    assert refusals(tmp_path) != []


def test_bytes_hidden_in_a_table_are_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"x": [1, 2]}), tmp_path / "rows.parquet")
    assert refusals(tmp_path) == []
    pq.write_table(pa.table({"x": [pickled()]}), tmp_path / "rows.parquet")
    assert "bytes of which nothing is known" in refusals(tmp_path)[0]


def test_an_operator_of_somebody_is_refused(tmp_path: Path) -> None:
    value = [build.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
    node = build.make_node("Run", ["x"], ["y"], domain="somebody")
    domains = [build.make_opsetid("", 17), build.make_opsetid("somebody", 1)]
    model = build.make_model(build.make_graph([node], "g", value[:1], value[1:]), opset_imports=domains, ir_version=9)
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    assert "operators of its own" in refusals(tmp_path)[0]
