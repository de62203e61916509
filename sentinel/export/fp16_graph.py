"""The fp16 graph: the hidden dense layers and what lies between them in float16, for providers that multiply it.

The derived features stay float64 and their encoding float32, because a square of amounts overflows float16; the last
layer makes the logit, of which float16 would leave few values; the forest compares, and float16 would move a value over
its threshold. ONNX Runtime's own converter names a cast once for each node that reads it, which no checker accepts.
"""

# onnx carries loose types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sentinel.export.prepared import hidden_layers, write_graph_file

_HALF = "_fp16"


def write_fp16(prepared: Path, path: Path) -> None:
    model = onnx.load(prepared)
    region = _between(model, hidden_layers(model))
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    made = {output for node in model.graph.node if node.name in region for output in node.output}
    nodes: list[onnx.NodeProto] = []
    halved: set[str] = set()
    for node in model.graph.node:
        if node.name not in region:
            nodes.append(node)
            continue
        for name in set(node.input) - halved - made:
            halved.add(name)
            if name in stored:
                model.graph.initializer.append(_half(stored[name]))
            else:
                nodes.append(_cast(name, name + _HALF, onnx.TensorProto.FLOAT16))
        nodes += [_in_half(node), *(_cast(name + _HALF, name, onnx.TensorProto.FLOAT) for name in node.output)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    _drop_unread(model)
    write_graph_file(model, path)


def _between(model: onnx.ModelProto, layers: list[str]) -> set[str]:
    """The names of `layers` and of the nodes that lead from one of them to another."""
    made_by = {output: node for node in model.graph.node for output in node.output}
    found, unvisited = set(layers), [node for node in model.graph.node if node.name in layers[1:]]
    while unvisited:
        before = [made_by[name] for name in unvisited.pop().input if name in made_by]
        fresh = [node for node in before if node.name not in found]
        found |= {node.name for node in fresh}
        unvisited += fresh
    return found


def _in_half(node: onnx.NodeProto) -> onnx.NodeProto:
    """`node` on the float16 copies of its inputs, with float16 outputs."""
    changed = onnx.NodeProto()
    changed.CopyFrom(node)
    changed.input[:] = [name + _HALF for name in node.input]
    changed.output[:] = [name + _HALF for name in node.output]
    return changed


def _half(tensor: onnx.TensorProto) -> onnx.TensorProto:
    limit = np.finfo(np.float16).max
    values = np.clip(numpy_helper.to_array(tensor), -limit, limit)
    return numpy_helper.from_array(values.astype(np.float16), tensor.name + _HALF)


def _cast(name: str, output: str, to: int) -> onnx.NodeProto:
    return helper.make_node("Cast", [name], [output], name=f"cast_{output}", to=to)


def _drop_unread(model: onnx.ModelProto) -> None:
    """Casts back to float32 that only the region itself would have read, and the matrices in float32."""
    read = {name for node in model.graph.node for name in node.input} | {value.name for value in model.graph.output}
    nodes = [node for node in model.graph.node if any(name in read for name in node.output)]
    tensors = [tensor for tensor in model.graph.initializer if tensor.name in read]
    del model.graph.node[:]
    del model.graph.initializer[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(tensors)
