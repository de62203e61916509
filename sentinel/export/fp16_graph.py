"""The fp16 graph: what follows the derived features in float16, for providers that multiply it.

The derived features stay float64, and so does their way to float32, because a square of amounts overflows float16. The
forest stays float32: float16 would move a value over the threshold that it is compared with.
"""

# onnx and onnxruntime carry no types or loose ones:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from pathlib import Path

import onnx
from onnxruntime.transformers.float16 import convert_float_to_float16

from sentinel.export.prepared import dense_layers, write_graph_file


def write_fp16(prepared: Path, path: Path) -> None:
    """The dense layers and what lies between them in float16, everything before and beside them as it was."""
    model = onnx.load(prepared)
    layers = dense_layers(model)
    kept = [node.name for node in model.graph.node if node.name not in _network(model, layers)]
    write_graph_file(convert_float_to_float16(model, keep_io_types=True, node_block_list=kept), path)


def _network(model: onnx.ModelProto, layers: list[str]) -> set[str]:
    """The names of the nodes from the first dense layer to the last one: what the later layers are computed from."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    found, open_nodes = set(layers), [node for node in model.graph.node if node.name in layers[1:]]
    while open_nodes:
        node = open_nodes.pop()
        before = [made_by[name] for name in node.input if name in made_by]
        fresh = [one for one in before if one.name not in found]
        found |= {one.name for one in fresh}
        open_nodes += fresh
    return found
