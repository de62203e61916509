"""A dense network of 470 MB in fp32 and in static INT8: size of the file, and rows a second by batch.

    python -m benchmarks.int8_network [--json FILE] [--batches 1,16,64,256,1024]

Seven layers of 4,096, quantized per channel as every model here is, on ONNX Runtime with every core. The time is that
of a thousand rows, from three seconds of calls; the ratio is to fp32 at the same batch. The last lines compare the
files, and each one's best batch.
"""

# onnx carries loose types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.helper as build
import pyarrow as pa
from onnx import numpy_helper

from benchmarks.report import Measurement, make_document, measure, publish
from sentinel.export.int8_graph import prepared, write_static
from sentinel.export.rows import Rows
from sentinel.scoring import Scorer

PACKAGES = ("onnx", "onnxruntime")
BATCHES = (1, 16, 64, 256, 1024)
INPUTS, WIDTH, LAYERS = 256, 4096, 7
FP32, INT8 = "fp32", "int8"
_CALIBRATION_ROWS = 256
_LEAST_SECONDS = 3.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--batches", default=",".join(map(str, BATCHES)), help="rows of one call")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_work(**options.worker)))
        return
    with tempfile.TemporaryDirectory() as folder:
        graphs = _write(Path(folder))
        measurements = [
            measure(__spec__.name, {"graph": str(graph), "batch": batch}, f"batch {batch}", name)
            for batch in map(int, options.batches.split(","))
            for name, graph in graphs.items()
        ]
        sizes = {name: graph.stat().st_size for name, graph in graphs.items()}
    document = make_document("int8_network", PACKAGES, measurements, lambda each: f"{each.case}/{FP32}")
    document |= {"bytes": sizes, "smaller": sizes[FP32] / sizes[INT8], "rows_per_s": _rates(measurements)}
    publish(document, options.json)
    _tell(document)


def _tell(document: dict[str, Any]) -> None:
    rates = document["rows_per_s"]
    best = {name: max(found, key=lambda batch: found[batch]) for name, found in rates.items()}
    same = {batch: rates[INT8][batch] / rates[FP32][batch] for batch in rates[FP32]}
    at = max(same, key=lambda batch: same[batch])
    sizes, smaller = document["bytes"], document["smaller"]
    print(f"files: {sizes[FP32]:,} and {sizes[INT8]:,} bytes, {smaller:.2f} times smaller")
    print(f"same batch: {same[at]:.2f} times the rows a second at {at}")
    print(
        f"each at its best: {rates[INT8][best[INT8]]:,.0f} rows/s ({best[INT8]}) against "
        f"{rates[FP32][best[FP32]]:,.0f} ({best[FP32]}): {rates[INT8][best[INT8]] / rates[FP32][best[FP32]]:.2f} times"
    )


def _rates(measurements: list[Measurement]) -> dict[str, dict[str, float]]:
    rates: dict[str, dict[str, float]] = {FP32: {}, INT8: {}}
    for each in measurements:
        if each.median:
            rates[each.contender][each.case] = 1000 / each.median
    return rates


def _write(folder: Path) -> dict[str, Path]:
    graphs = {name: folder / f"{name}.onnx" for name in (FP32, INT8)}
    onnx.save_model(_network(), graphs[FP32])
    numeric = np.random.default_rng(1).normal(size=(_CALIBRATION_ROWS, INPUTS))
    rows = Rows(pa.table({}), numeric, np.empty((_CALIBRATION_ROWS, 0), np.int64))
    with prepared(graphs[FP32], folder) as source:
        write_static(source, graphs[INT8], rows, per_channel=True)
    return graphs


def _network() -> onnx.ModelProto:
    """Random weights (He), the contract's names."""
    random = np.random.default_rng(0)
    sizes = [INPUTS, *[WIDTH] * (LAYERS + 1), 1]
    nodes = [build.make_node("Cast", ["numeric"], ["hidden_0"], to=onnx.TensorProto.FLOAT)]
    stored: list[onnx.TensorProto] = [numpy_helper.from_array(np.array([1], np.int64), "axis")]
    for number, (given, made) in enumerate(pairwise(sizes)):
        weight = (random.standard_normal((given, made), np.float32) * np.sqrt(2 / given)).astype(np.float32)
        stored += [numpy_helper.from_array(weight, f"weight_{number}")]
        stored += [numpy_helper.from_array(np.zeros(made, np.float32), f"bias_{number}")]
        layer = [f"hidden_{number}", f"weight_{number}", f"bias_{number}"]
        nodes.append(build.make_node("Gemm", layer, [f"sum_{number}"], name=f"layer_{number}"))
        nodes.append(build.make_node("Relu", [f"sum_{number}"], [f"hidden_{number + 1}"]))
    nodes[-1] = build.make_node("Sigmoid", [nodes[-2].output[0]], ["wide"])
    nodes.append(build.make_node("Squeeze", ["wide", "axis"], ["probability"]))
    inputs = [build.make_tensor_value_info("numeric", onnx.TensorProto.DOUBLE, ["batch", INPUTS])]
    outputs = [build.make_tensor_value_info("probability", onnx.TensorProto.FLOAT, ["batch"])]
    body = build.make_graph(nodes, "dense", inputs, outputs, stored)
    return build.make_model(body, opset_imports=[build.make_opsetid("", 18)], ir_version=10)


def _work(graph: str, batch: int) -> dict[str, Any]:
    """Seconds of a thousand rows."""
    scorer = Scorer(Path(graph), threads=len(os.sched_getaffinity(0)))
    numeric = np.random.default_rng(2).normal(size=(batch, INPUTS))
    scorer.run(numeric)
    started, calls = time.perf_counter(), 0
    while time.perf_counter() - started < _LEAST_SECONDS:
        scorer.run(numeric)
        calls += 1
    return {"seconds": (time.perf_counter() - started) / (calls * batch) * 1000, "calls": calls}


if __name__ == "__main__":
    main()
