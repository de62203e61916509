"""The dense layers in fp16; derived features, encoding and the logit stay as exported.

ONNX Runtime's CPU provider computes few products in fp16 and casts around the others: this pays on a GPU, if anywhere.
Its own converter (onnxruntime.transformers.float16) gives two casts one name where most nodes are left out.
"""

# onnx carries loose types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingTypeStubs=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from sentinel.export.int8_graph import Prepared
from sentinel.storage import complete_file


def write_fp16(source: Prepared, path: Path) -> None:
    """Convert the dense layers alone: their weights are stored in fp16, with casts at their borders."""
    model = onnx.load(source.graph)
    stored = {tensor.name: tensor for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        nodes += _in_half(node, stored) if node.name in source.layers else [node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    del model.graph.value_info[:]
    onnx.checker.check_model(model)
    with complete_file(path) as temporary:
        temporary.write_bytes(model.SerializeToString(deterministic=True))


def _in_half(node: onnx.NodeProto, stored: dict[str, onnx.TensorProto]) -> list[onnx.NodeProto]:
    """The layer between a cast of its input and one of its output; its stored operands are changed in place."""
    for name in node.input:
        if name in stored and stored[name].data_type == onnx.TensorProto.FLOAT:
            stored[name].CopyFrom(numpy_helper.from_array(numpy_helper.to_array(stored[name]).astype(np.float16), name))
    given, answer = node.input[0], node.output[0]
    narrow, wide = f"{answer}_given_fp16", f"{answer}_fp16"
    node.input[0], node.output[0] = narrow, wide
    return [
        helper.make_node("Cast", [given], [narrow], to=onnx.TensorProto.FLOAT16),
        node,
        helper.make_node("Cast", [wide], [answer], to=onnx.TensorProto.FLOAT),
    ]
