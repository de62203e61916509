"""The FP32 graph: raw inputs to probability in standard ONNX operators, and the proof that it answers like torch.

Equal weights give an equal file, byte for byte, and no path of this machine is in it. Parity is measured here
and judged by the gate.
"""

# torch and onnx type many of their functions loosely:
# pyright: reportUnknownMemberType=false, reportMissingTypeStubs=false

from __future__ import annotations

import logging
import os
import shutil
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import torch
from numpy.typing import NDArray

from sentinel.artifacts import FeatureTable, OnnxModel, Splits, TrainedModel
from sentinel.errors import TrainingFailed
from sentinel.export.rows import INPUTS, Rows, read_rows
from sentinel.model.network import FraudNet
from sentinel.progress import Progress, silent
from sentinel.scoring import Scorer
from sentinel.storage import complete_file, complete_folder, require_free_disk, sha256_path, write_json

OPSET = 18
GRAPH, PARITY = "fp32.onnx", "parity.json"
PARITY_ROWS, PARITY_BATCHES = 10_000, (1, 2, 1000)
_TORCH_ROWS = 500  # at batches of 1 and 2 in torch, too, where a single row takes 1.5 ms
_MOST_BYTES = 1_900_000_000  # a graph of 2 GB would have to keep its weights in another file
_LARGEST_DIFFERENCE = 1.0  # two probabilities cannot be further apart
Block = tuple[NDArray[np.float64], NDArray[np.int64]]  # rows as the graph takes them
_REGISTRATION = logging.getLogger("torch.onnx._internal.exporter._registration")


def export(
    model: TrainedModel,
    table: FeatureTable,
    splits: Splits,
    *,
    home: Path,
    out: Path,
    progress: Progress = silent,
) -> OnnxModel:
    """Write fp32.onnx, inputs.json and parity.json. Raises TrainingFailed when the model is beyond the exporter."""
    trained = model.locate(home)
    require_free_disk(out, 4 * sum(file.stat().st_size for file in trained.iterdir() if file.is_file()))
    network = FraudNet.load(trained)
    with complete_folder(out) as folder:
        progress(0, 3, "translating the network")
        write_graph(network, folder / GRAPH)
        shutil.copyfile(trained / INPUTS, folder / INPUTS)
        progress(1, 3, "reading test rows")
        rows = read_rows("test", model, table, splits, home).spread(PARITY_ROWS)
        progress(2, 3, "comparing with torch")
        parity = measure_parity(network, Scorer(folder / GRAPH), rows)
        largest = max(entry["max_absolute_difference"] for entry in parity.values())
        write_json(folder / PARITY, {"opset": OPSET, "max_absolute_difference": largest, "batches": parity})
    progress(3, 3, "exported")
    return OnnxModel(path=os.path.relpath(out, home), sha256=sha256_path(out), run_id=model.run_id, parity=largest)


def write_graph(network: FraudNet, path: Path) -> None:
    """Translate, check against the ONNX specification, and write."""
    size = sum(tensor.nbytes for tensor in network.state_dict().values())
    if size > _MOST_BYTES:
        raise TrainingFailed(
            f"The network holds {size / 1e9:.1f} GB of weights, and one ONNX file takes {_MOST_BYTES / 1e9:.1f} GB. "
            "Make training.width or training.layers smaller."
        )
    graph = to_graph(network)
    onnx.checker.check_model(graph, full_check=True)
    with complete_file(path) as temporary:
        temporary.write_bytes(graph.SerializeToString(deterministic=True))


def to_graph(network: FraudNet) -> onnx.ModelProto:
    """`network` with inputs `numeric` and `categorical` (absent when it has none), output `probability`."""
    example: dict[str, torch.Tensor] = {"numeric": torch.zeros(2, len(network.inputs.numeric), dtype=torch.float64)}
    if network.inputs.categorical:
        example["categorical"] = torch.zeros(2, len(network.inputs.categorical), dtype=torch.int64)
    batch = torch.export.Dim("batch")
    with _quiet_exporter():
        program = torch.onnx.export(
            network.eval(),
            kwargs=example,
            dynamo=True,
            dynamic_shapes={name: {0: batch} for name in example},
            input_names=list(example),
            output_names=["probability"],
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise TrainingFailed("torch's exporter returned no program for this model. Report this with model.json.")
    return _without_traces(program.model_proto)


def measure_parity(network: FraudNet, scorer: Scorer, rows: Rows) -> dict[str, dict[str, float]]:
    """Rows compared and largest absolute difference, by the graph's batch size, over every row at each size.

    torch answers all rows in batches of 1,000, and some at the graph's batch size, too: what it answers hardly depends
    on the batch, and a row at a time would take 15 s.
    """
    expected = _in_batches(lambda block: _torch_scores(network, *block), rows, max(PARITY_BATCHES))
    some = rows.spread(_TORCH_ROWS)
    measured: dict[str, dict[str, float]] = {}
    for batch in PARITY_BATCHES:
        found = _in_batches(lambda block: scorer.run(*block), rows, batch)
        largest = _largest_difference(expected, found)
        if batch < max(PARITY_BATCHES):
            same = _in_batches(lambda block: _torch_scores(network, *block), some, batch)
            largest = max(
                largest, _largest_difference(same, _in_batches(lambda block: scorer.run(*block), some, batch))
            )
        measured[str(batch)] = {"rows": len(rows), "max_absolute_difference": largest}
    return measured


def _in_batches(answer: Callable[[Block], NDArray[np.float32]], rows: Rows, batch: int) -> NDArray[np.float32]:
    starts = range(0, len(rows), batch)
    return np.concatenate([answer((rows.numeric[at : at + batch], rows.categorical[at : at + batch])) for at in starts])


def _largest_difference(expected: NDArray[np.float32], found: NDArray[np.float32]) -> float:
    """A non-finite answer on either side counts as the largest difference there can be."""
    difference = np.abs(expected.astype(np.float64) - found)
    return float(np.where(np.isfinite(difference), difference, _LARGEST_DIFFERENCE).max())


def _torch_scores(
    network: FraudNet, numeric: NDArray[np.float64], categorical: NDArray[np.int64]
) -> NDArray[np.float32]:
    codes = [torch.from_numpy(categorical)] if network.inputs.categorical else []
    with torch.inference_mode():
        return cast("NDArray[np.float32]", network(torch.from_numpy(numeric), *codes).numpy())


@contextmanager
def _quiet_exporter() -> Generator[None]:
    """What torch 2.13 says on every export that no user can act upon."""
    level = _REGISTRATION.level
    _REGISTRATION.setLevel(logging.ERROR)  # "torchvision is not installed", of operators we do not use
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
            warnings.filterwarnings("ignore", r"# The axis name: batch will not be used", UserWarning)
            yield
    finally:
        _REGISTRATION.setLevel(level)


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """Drop the exporter's notes (stack traces with local paths); names, shapes and values stay."""
    noted: list[Any] = [model, model.graph, *model.graph.node, *model.graph.input, *model.graph.output]
    noted += [*model.graph.initializer, *model.graph.value_info]
    for entry in noted:
        del entry.metadata_props[:]
        entry.ClearField("doc_string")
    return model
