"""The fp32 graph as quantizers want it, and what they leave behind taken away again."""

# onnx and onnxruntime carry no types or loose ones:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

import os
import tempfile
from collections.abc import Generator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path

import onnx
from onnxruntime.quantization.shape_inference import quant_pre_process

from sentinel.errors import TrainingFailed
from sentinel.storage import complete_file


def prepare(fp32: Path, path: Path) -> None:
    """Write `fp32` with its shapes inferred and its nodes fused, as every quantizer starts from."""
    with quiet_quantizer(path.parent):
        quant_pre_process(fp32, path, skip_symbolic_shape=True)


def dense_layers(graph: onnx.ModelProto) -> list[str]:
    """Names of the products with a stored float32 matrix, in order; the last one makes the logit."""
    return list(_matrices(graph))


def hidden_layers(graph: onnx.ModelProto) -> list[str]:
    """The dense layers that make more than one number a row: what is quantized where nothing else is said."""
    found = [name for name, shape in _matrices(graph).items() if 1 not in shape]
    if not found:
        raise TrainingFailed("The graph has no dense layer to quantize: its network is another than FraudNet.")
    return found


def activations_after(graph: onnx.ModelProto, layers: Sequence[str]) -> list[str]:
    """Names of the rectifiers that read one of `layers`."""
    made = {name for node in graph.graph.node if node.name in layers for name in node.output}
    return [node.name for node in graph.graph.node if node.op_type == "Relu" and node.input[0] in made]


def _matrices(graph: onnx.ModelProto) -> dict[str, list[int]]:
    """The shape of the stored matrix of each dense layer."""
    stored = {
        tensor.name: list(tensor.dims)
        for tensor in graph.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2
    }
    products = (node for node in graph.graph.node if node.op_type in ("Gemm", "MatMul"))
    return {node.name: stored[node.input[1]] for node in products if node.input[1] in stored}


def write_graph_file(model: onnx.ModelProto, path: Path) -> None:
    """Without the quantizer's notes and the operator sets that no node uses; checked against the specification."""
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    del model.metadata_props[:]
    del model.graph.value_info[:]
    onnx.checker.check_model(model, full_check=True)
    with complete_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


@contextmanager
def quiet_quantizer(folder: Path) -> Generator[None]:
    """onnxruntime's quantizers write whole models to the system's temporary folder, which may be small, and print."""
    before = tempfile.tempdir
    tempfile.tempdir = os.fspath(folder)
    try:
        with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
            yield
    finally:
        tempfile.tempdir = before
