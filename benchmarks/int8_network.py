"""A network of 450 MB in static INT8 beside fp32: size, and throughput by batch, in ONNX Runtime on one core.

    python -m benchmarks.int8_network [--json FILE] [--width 4288] [--layers 7]

The graph has the contract's inputs and output and dense layers of random weights; it is quantized and run by the code
of the stage (per channel, QDQ). `seconds` are those of a thousand rows; the ratio is to fp32 at the same batch: 0.25 is
four times its throughput. The contenders take turns, each batch in a process of its own; loading is not in the time.
What the post-mortem promises is 3.9 times smaller and 3.5 times the throughput, on a processor with VNNI.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.report import Measurement, Run, make_document, measure, publish

PACKAGES = ("onnx", "onnxruntime", "numpy")
CONTENDERS = ("fp32", "int8")
BATCHES = (1, 16, 64, 256, 512, 1024)
ROUNDS = 3
INPUTS, CALIBRATION_ROWS = 512, 512
LEAST_SECONDS = 1.5
PROMISED_SIZE, PROMISED_THROUGHPUT = 3.9, 3.5
SEED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--width", type=int, default=4288)
    parser.add_argument("--layers", type=int, default=7)
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_work(**options.worker)))
        return
    with tempfile.TemporaryDirectory() as folder:
        made = measure(
            __spec__.name, {"folder": folder, "width": options.width, "layers": options.layers}, "making", "both",
            repeats=1, limit_s=600, limit_mb=6000,
        )  # fmt: skip
        measurements = _measure_in_rounds(folder)
        document = make_document("int8_network", PACKAGES, [made, *measurements], _reference)
        sizes = {name: (Path(folder) / f"{name}.onnx").stat().st_size for name in CONTENDERS}
    document["summary"] = _summary(sizes, measurements)
    publish(document, options.json)
    print(json.dumps(document["summary"], indent=2))


def _measure_in_rounds(folder: str) -> list[Measurement]:
    runs: dict[tuple[int, str], list[Run]] = {(batch, name): [] for batch in BATCHES for name in CONTENDERS}
    for _ in range(ROUNDS):
        for (batch, name), found in runs.items():
            task = {"folder": folder, "contender": name, "batch": batch}
            found += measure(__spec__.name, task, _case(batch), name, repeats=1, limit_mb=6000).runs
    return [Measurement(_case(batch), name, tuple(found)) for (batch, name), found in runs.items()]


def _case(batch: int) -> str:
    return f"batch {batch}"


def _reference(each: Measurement) -> str:
    return f"{each.case}/fp32"


def _summary(sizes: dict[str, int], measurements: list[Measurement]) -> dict[str, Any]:
    """The ratios that are promised: of the files, and of the rows a second, at one batch and each at its own best."""
    rows = {(each.case, each.contender): 1000 / each.median for each in measurements if each.median}
    gains = {
        _case(batch): rows[_case(batch), "int8"] / rows[_case(batch), "fp32"]
        for batch in BATCHES
        if (_case(batch), "int8") in rows and (_case(batch), "fp32") in rows
    }
    best = {name: max((speed, case) for (case, one), speed in rows.items() if one == name) for name in CONTENDERS}
    same_batch, own_best = gains[best["int8"][1]], best["int8"][0] / best["fp32"][0]
    smaller = sizes["fp32"] / sizes["int8"]
    return {
        "bytes": sizes,
        "times_smaller": smaller,
        "rows_per_s_at_best": {name: {"batch": case, "rows_per_s": speed} for name, (speed, case) in best.items()},
        "times_throughput_by_batch": gains,
        "times_throughput_at_int8_best_batch": same_batch,
        "times_throughput_each_at_its_best": own_best,
        "holds": {
            f"{PROMISED_SIZE} times smaller": smaller >= PROMISED_SIZE,
            f"{PROMISED_THROUGHPUT} times fp32 at the best batch of INT8": same_batch >= PROMISED_THROUGHPUT,
            f"{PROMISED_THROUGHPUT} times fp32 at its own best batch": own_best >= PROMISED_THROUGHPUT,
        },
    }


def _work(folder: str, width: int = 0, layers: int = 0, contender: str | None = None, batch: int = 0) -> dict[str, Any]:
    return _make(Path(folder), width, layers) if contender is None else _run(Path(folder), contender, batch)


def _run(folder: Path, contender: str, batch: int) -> dict[str, Any]:
    from sentinel.scoring import Scorer

    scorer = Scorer(folder / f"{contender}.onnx")
    numeric = _inputs(batch)
    scorer.run(numeric)
    started, turns = time.perf_counter(), 0
    while time.perf_counter() - started < LEAST_SECONDS:
        scorer.run(numeric)
        turns += 1
    seconds = (time.perf_counter() - started) / (turns * batch) * 1000
    return {"seconds": seconds, "rows_per_s": round(1000 / seconds, 1), "turns": turns}


def _make(folder: Path, width: int, layers: int) -> dict[str, Any]:
    import pyarrow as pa

    from sentinel.export.int8_graph import count_integer_products, write_int8
    from sentinel.export.prepared import prepare
    from sentinel.export.recipes import EVERY_RUN
    from sentinel.export.rows import Rows

    started = time.perf_counter()
    _write_network(folder / "fp32.onnx", width, layers)
    prepare(folder / "fp32.onnx", folder / "prepared.onnx")
    rows = Rows(pa.table({}), _inputs(CALIBRATION_ROWS), np.empty((CALIBRATION_ROWS, 0), np.int64))
    write_int8(folder / "prepared.onnx", folder / "int8.onnx", EVERY_RUN[-1], rows)
    (folder / "prepared.onnx").unlink()
    products = count_integer_products(folder / "int8.onnx", folder)
    return {"seconds": time.perf_counter() - started, "integer_matrix_products": products}


def _inputs(rows: int) -> np.ndarray:
    return np.random.default_rng(SEED).random((rows, INPUTS))


def _write_network(file: Path, width: int, layers: int) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    random = np.random.default_rng(SEED)
    nodes = [helper.make_node("Cast", ["numeric"], ["x0"], name="cast", to=TensorProto.FLOAT)]
    stored: list[onnx.TensorProto] = []
    before = INPUTS
    for layer, after in enumerate([*[width] * layers, 1]):
        weights = random.standard_normal((before, after), np.float32) * np.float32(np.sqrt(2 / before))
        stored += [
            numpy_helper.from_array(weights, f"w{layer}"),
            numpy_helper.from_array(np.zeros(after, np.float32), f"b{layer}"),
        ]
        nodes.append(helper.make_node("Gemm", [f"x{layer}", f"w{layer}", f"b{layer}"], [f"y{layer}"], f"dense{layer}"))
        nodes.append(helper.make_node("Relu", [f"y{layer}"], [f"x{layer + 1}"], f"relu{layer}"))
        before = after
    nodes[-1] = helper.make_node("Sigmoid", [f"y{layers}"], ["p"], "sigmoid")
    stored.append(numpy_helper.from_array(np.array([-1], np.int64), "shape"))
    nodes.append(helper.make_node("Reshape", ["p", "shape"], ["probability"], "flat"))
    graph = helper.make_graph(
        nodes, "large",
        [helper.make_tensor_value_info("numeric", TensorProto.DOUBLE, ["batch", INPUTS])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["batch"])],
        stored,
    )  # fmt: skip
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), file)


if __name__ == "__main__":
    main()
