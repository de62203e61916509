"""INT8 graphs: dynamic and static (QDQ) quantization of the network's dense layers.

What stays in floating point, and why: the derived features are float64 formulas, and the encoding after them is cheap;
the last layer makes the logit, and in 8 bits it would leave some 250 distinct scores and flip twice the decisions.
The inputs of the first layer lie in [0, 1], so that the plain minimum and maximum are the right ranges for them.

A dynamic graph takes its ranges from the rows of each call, so that an answer depends on the rows beside it.
"""

# onnx and onnxruntime carry no types or loose ones:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import tempfile
from collections.abc import Collection, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process

from sentinel.errors import TrainingFailed
from sentinel.export.rows import Rows
from sentinel.scoring import Scorer
from sentinel.storage import complete_file

Calibration = Literal["MinMax", "Entropy", "Percentile"]
_SEED = 7
_MOST_FRAUDS = 0.25  # of the calibration rows
_BATCH = 512
_DENSE = ("Gemm", "MatMul")
INTEGER_PRODUCTS = frozenset(
    {
        "QLinearMatMul", "QLinearConv", "QGemm", "MatMulInteger", "ConvInteger", "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul", "QAttention",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Prepared:
    """An fp32 graph whose shapes are inferred, and the names of its dense layers; `scratch` holds what is temporary."""

    graph: Path
    layers: tuple[str, ...]
    scratch: Path


@contextmanager
def prepared(fp32: Path, scratch: Path) -> Generator[Prepared]:
    """What every quantization of `fp32` begins with. Raises TrainingFailed when there is nothing to quantize."""
    graph = scratch / "prepared.onnx"
    with _temporary_files_in(scratch):
        quant_pre_process(fp32, graph, skip_symbolic_shape=True)
        layers = dense_layers(onnx.load(graph))
        if not layers:
            raise TrainingFailed(f"{fp32.name} has no dense layer to quantize: its network is another than FraudNet.")
        yield Prepared(graph, tuple(layers), scratch)
    graph.unlink()


def write_static(
    source: Prepared,
    path: Path,
    calibration: Rows,
    *,
    per_channel: bool,
    method: Calibration = "MinMax",
    left_out: Collection[str] = (),
) -> None:
    """Quantize weights and activations with ranges of the calibration rows; layers `left_out` stay fp32."""
    quantize_static(
        source.graph,
        path,
        _Batches(calibration),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=list(_DENSE),
        nodes_to_quantize=[layer for layer in source.layers if layer not in left_out],
        per_channel=per_channel,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[method],
    )
    _write_tidied(path)


def write_dynamic(source: Prepared, path: Path) -> None:
    """Quantize the weights; activations take their range from each call."""
    graph = onnx.load(source.graph)
    del graph.graph.value_info[:]  # ONNX Runtime replaces Gemm by MatMul and Add, and would stumble over the old shapes
    layers = [*source.layers, *(f"{layer}_MatMul" for layer in source.layers)]
    quantize_dynamic(
        graph, path, op_types_to_quantize=list(_DENSE), nodes_to_quantize=layers, weight_type=QuantType.QInt8
    )
    _write_tidied(path)


def dense_layers(graph: onnx.ModelProto) -> list[str]:
    """Names of the products with a stored float32 matrix that make more than one number a row."""
    stored = {
        tensor.name: list(tensor.dims)
        for tensor in graph.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2
    }
    products = (node for node in graph.graph.node if node.op_type in _DENSE)
    return [node.name for node in products if 1 not in stored.get(node.input[1], [1])]


def sample_calibration(labels: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Positions of at most `count` rows, seeded, in order; frauds are up to a quarter, however rare they are."""
    random = np.random.default_rng(_SEED)
    frauds, genuine = np.flatnonzero(labels), np.flatnonzero(~labels)
    drawn = random.permutation(frauds)[: max(1, int(count * _MOST_FRAUDS))]
    rest = random.permutation(genuine)[: count - len(drawn)]
    return np.sort(np.concatenate([drawn, rest]))


def count_integer_products(graph: Path, scratch: Path) -> int:
    """Matrix products in integers after ONNX Runtime's optimization for this machine: those that really run."""
    optimized = scratch / "optimized.onnx"
    Scorer(graph, optimized=optimized)
    nodes = onnx.load(optimized).graph.node
    optimized.unlink()
    return sum(node.op_type in INTEGER_PRODUCTS for node in nodes)


def _write_tidied(path: Path) -> None:
    graph = _tidied(onnx.load(path))
    onnx.checker.check_model(graph, full_check=True)
    with complete_file(path) as temporary:
        temporary.write_bytes(graph.SerializeToString(deterministic=True))


def _tidied(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without ONNX Runtime's notes, and without the operator sets that it names and no node uses."""
    used = {node.domain for node in model.graph.node}
    kept = [entry for entry in model.opset_import if entry.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    del model.metadata_props[:]
    del model.graph.value_info[:]
    return model


class _Batches(CalibrationDataReader):
    def __init__(self, rows: Rows) -> None:
        self._feeds = self._iterate(rows)

    def get_next(self) -> dict[str, NDArray[np.generic]]:
        return cast("dict[str, NDArray[np.generic]]", next(self._feeds, None))  # None says that was all

    @staticmethod
    def _iterate(rows: Rows) -> Iterator[dict[str, NDArray[np.generic]]]:
        for start in range(0, len(rows), _BATCH):
            block = slice(start, start + _BATCH)
            feed: dict[str, NDArray[np.generic]] = {"numeric": rows.numeric[block]}
            if rows.categorical.shape[1]:
                feed["categorical"] = rows.categorical[block]
            yield feed


@contextmanager
def _temporary_files_in(folder: Path) -> Generator[None]:
    """onnxruntime.quantization writes whole models to the system's temporary folder, which may be small."""
    before = tempfile.tempdir
    tempfile.tempdir = str(folder)
    try:
        yield
    finally:
        tempfile.tempdir = before
