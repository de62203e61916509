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
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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
MOST_BYTES = 1_900_000_000  # of one file: protobuf ends at 2 GiB, and a file beside it would be a second thing to trust
PARITY_ROWS, PARITY_BATCHES = 10_000, (1, 2, 1000)
_WHOLE = 1000  # rows of a batch in which torch scores all; in ones of 1 and 2 rows it would take half a minute
_TORCH_ALONE = 1000  # of the rows, at most, that torch scores at each batch size too
_LARGEST_DIFFERENCE = 1.0  # two probabilities cannot be further apart
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
    require_one_file(network)
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


def require_one_file(network: torch.nn.Module) -> None:
    """Raise TrainingFailed for a network whose graph would need external data."""
    needed = sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values())
    if needed > MOST_BYTES:
        raise TrainingFailed(
            f"The network has {needed / 1e9:.2f} GB of weights, and one graph file holds {MOST_BYTES / 1e9:g} GB at "
            "most. Make training.width, training.layers or training.trees smaller, and train again."
        )


def write_graph(network: FraudNet, path: Path) -> None:
    """Translate, check against the ONNX specification, and write."""
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
    """By batch size: how many rows were compared, and the largest absolute difference.

    The graph scores every row in batches of that size; torch scores every row in large batches, and `torch_rows` of
    them at that size too. The larger of both differences counts.
    """
    expected = _torch_scores(network, rows, _WHOLE)
    some = rows.spread(_TORCH_ALONE)
    measured: dict[str, dict[str, float]] = {}
    for batch in PARITY_BATCHES:
        largest = _difference(expected, _graph_scores(scorer, rows, batch))
        torch_rows = rows if batch == _WHOLE else some
        if torch_rows is some:
            alone = _difference(_torch_scores(network, some, batch), _graph_scores(scorer, some, batch))
            largest = max(largest, alone)
        measured[str(batch)] = {
            "rows": len(rows), "torch_rows": len(torch_rows), "max_absolute_difference": largest,
        }  # fmt: skip
    return measured


def _difference(expected: NDArray[np.float32], answers: NDArray[np.float32]) -> float:
    """A non-finite answer on either side counts as the largest difference there can be."""
    difference = np.abs(expected.astype(np.float64) - answers)
    return float(np.where(np.isfinite(difference), difference, _LARGEST_DIFFERENCE).max())


def _graph_scores(scorer: Scorer, rows: Rows, batch: int) -> NDArray[np.float32]:
    return np.concatenate([scorer.run(*block) for block in _blocks(rows, batch)])


def _torch_scores(network: FraudNet, rows: Rows, batch: int) -> NDArray[np.float32]:
    scores: list[NDArray[np.float32]] = []
    with torch.inference_mode():
        for numeric, categorical in _blocks(rows, batch):
            codes = [torch.from_numpy(categorical)] if network.inputs.categorical else []
            scores.append(network(torch.from_numpy(numeric), *codes).numpy())
    return np.concatenate(scores)


def _blocks(rows: Rows, batch: int) -> Iterator[tuple[NDArray[np.float64], NDArray[np.int64]]]:
    for at in range(0, len(rows), batch):
        yield rows.numeric[at : at + batch], rows.categorical[at : at + batch]


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
