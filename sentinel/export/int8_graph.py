"""INT8 graphs: the network's dense layers quantized, dynamically or statically (QDQ).

What stays in floating point, and why: the derived features are float64 formulas, and the encoding after them is cheap;
the forest compares and adds, and has no product; the last layer makes the logit, and in 8 bits it would leave some 250
distinct scores and flip twice the decisions. The inputs of the first layer lie in [0, 1], so that the plain minimum
and maximum are good ranges; `sentinel models quantize --grid full` measures the others. A static range is taken after
the rectifier, which then is the range's lower end and no node: all 256 steps lie where values do, and the integer
product writes integers. That halved the decisions that flip.
"""

# onnx and onnxruntime carry no types or loose ones:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import onnx
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_dynamic, quantize_static

from sentinel.export.calibration import CalibrationBatches
from sentinel.export.prepared import activations_after, hidden_layers, quiet_quantizer, write_graph_file
from sentinel.export.recipes import Recipe
from sentinel.export.rows import Rows
from sentinel.scoring import Scorer

_PRODUCTS = ["Gemm", "MatMul"]
INTEGER_PRODUCTS = frozenset(
    {
        "QLinearMatMul", "QLinearConv", "QGemm", "MatMulInteger", "ConvInteger", "MatMulIntegerToFloat",
        "DynamicQuantizeMatMul", "QAttention",
    }
)  # fmt: skip


def write_int8(prepared: Path, path: Path, recipe: Recipe, calibration: Rows) -> None:
    """Quantize `prepared` into `path` by `recipe`; temporary files lie beside it."""
    graph = onnx.load(prepared)
    layers = recipe.layers or hidden_layers(graph)
    with quiet_quantizer(path.parent):
        if recipe.method == "dynamic":
            _write_dynamic(graph, path, layers)
        else:
            nodes = [*layers, *activations_after(graph, layers)]
            _write_static(prepared, path, nodes, recipe, calibration)
    write_graph_file(onnx.load(path), path)


def _write_static(prepared: Path, path: Path, nodes: list[str], recipe: Recipe, calibration: Rows) -> None:
    quantize_static(
        prepared,
        path,
        CalibrationBatches(calibration),
        quant_format=QuantFormat.QDQ,
        op_types_to_quantize=[*_PRODUCTS, "Relu"],
        nodes_to_quantize=nodes,
        per_channel=recipe.per_channel,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        calibrate_method=CalibrationMethod[recipe.calibration],
    )


def _write_dynamic(model: onnx.ModelProto, path: Path, layers: Sequence[str]) -> None:
    del model.graph.value_info[:]  # they tell the shapes of the matrices that the quantizer is about to transpose
    quantize_dynamic(
        model,
        path,
        op_types_to_quantize=_PRODUCTS,
        nodes_to_quantize=[*layers, *(f"{layer}_MatMul" for layer in layers)],  # so it renames a Gemm
        weight_type=QuantType.QInt8,
    )


def count_integer_products(graph: Path, scratch: Path) -> int:
    """Matrix products in integers after ONNX Runtime's optimization for this machine: those that really run."""
    optimized = scratch / "optimized.onnx"
    Scorer(graph, optimized=optimized)
    nodes = onnx.load(optimized).graph.node
    optimized.unlink()
    return sum(node.op_type in INTEGER_PRODUCTS for node in nodes)
