"""The INT8 graph: static quantization (QDQ, per channel) of the network's dense layers.

What stays in floating point, and why: the derived features are float64 formulas, and the encoding after them is cheap;
the last layer makes the logit, and in 8 bits it would leave some 250 distinct scores and flip twice the decisions.
The inputs of the first layer lie in [0, 1], so that the plain minimum and maximum are the right ranges: percentile
and entropy calibration, 7-bit weights and signed activations were tried and changed nothing that noise does not.
"""

# onnx and onnxruntime carry no types or loose ones:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from sentinel.errors import TrainingFailed
from sentinel.export.rows import Rows
from sentinel.scoring import Scorer
from sentinel.storage import complete_file

METHOD = "static QDQ, per channel, MinMax"
_SEED = 7
_MOST_FRAUDS = 0.25  # of the calibration rows
_BATCH = 512
INTEGER_PRODUCTS = frozenset(
    {
        "QLinearMatMul", "QLinearConv", "QGemm", "MatMulInteger", "ConvInteger", "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul", "QAttention",
    }
)  # fmt: skip


def write_int8(fp32: Path, path: Path, calibration: Rows, scratch: Path) -> None:
    """Quantize `fp32` into `path` with ranges of the calibration rows. Temporary files lie in `scratch`."""
    prepared = scratch / "prepared.onnx"
    with _temporary_files_in(scratch):
        quant_pre_process(fp32, prepared, skip_symbolic_shape=True)
        layers = dense_layers(onnx.load(prepared))
        if not layers:
            raise TrainingFailed(f"{fp32.name} has no dense layer to quantize: its network is another than FraudNet.")
        quantize_static(
            prepared,
            path,
            _Batches(calibration),
            quant_format=QuantFormat.QDQ,
            op_types_to_quantize=["Gemm", "MatMul"],
            nodes_to_quantize=layers,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=CalibrationMethod.MinMax,
        )
    prepared.unlink()
    graph = _tidied(onnx.load(path))
    onnx.checker.check_model(graph, full_check=True)
    with complete_file(path) as temporary:
        temporary.write_bytes(graph.SerializeToString(deterministic=True))


def dense_layers(graph: onnx.ModelProto) -> list[str]:
    """Names of the products with a stored float32 matrix that make more than one number a row."""
    stored = {
        tensor.name: list(tensor.dims)
        for tensor in graph.graph.initializer
        if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2
    }
    products = (node for node in graph.graph.node if node.op_type in ("Gemm", "MatMul"))
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
