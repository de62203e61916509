"""What each dense layer alone costs when it is quantized, and which to leave out first."""

# onnx carries loose types:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx

from sentinel.export.divergence import kl_divergence
from sentinel.export.int8_graph import write_int8
from sentinel.export.prepared import dense_layers, hidden_layers
from sentinel.export.recipes import Recipe
from sentinel.export.rows import Rows
from sentinel.export.variants import Yardstick
from sentinel.progress import Progress, silent
from sentinel.scoring import Scorer

_THREADS = 2


@dataclass(frozen=True)
class LayerEffect:
    """Of one dense layer in INT8, all others in fp32."""

    layer: str
    flips: int
    kl_divergence: float
    largest_shift: float


def measure_sensitivity(
    fp32: Path, prepared: Path, calibration: Rows, yardstick: Yardstick, folder: Path, progress: Progress = silent
) -> list[LayerEffect]:
    """Every dense layer, that of the logit too, the most sensitive first: most flips, then the largest divergence."""
    layers = dense_layers(onnx.load(prepared))
    rows = yardstick.rows
    reference = Scorer(fp32, _THREADS).score(rows.numeric, rows.categorical)
    before = reference.astype(np.float64) >= yardstick.threshold
    effects: list[LayerEffect] = []
    for done, layer in enumerate(layers):
        progress(done, len(layers), f"quantizing {layer} alone")
        graph = folder / "one_layer.onnx"
        write_int8(prepared, graph, Recipe("one_layer", "static", per_channel=True, layers=(layer,)), calibration)
        scores = Scorer(graph, _THREADS).score(rows.numeric, rows.categorical)
        graph.unlink()
        flips = int(((scores.astype(np.float64) >= yardstick.threshold) != before).sum())
        shift = float(np.abs(scores.astype(np.float64) - reference).max())
        effects.append(LayerEffect(layer, flips, kl_divergence(reference, scores), shift))
    return sorted(effects, key=lambda effect: (-effect.flips, -effect.kl_divergence))


def by_sensitivity(prepared: Path, effects: list[LayerEffect]) -> Iterator[Recipe]:
    """All layers, then without the most sensitive one, and so on, but for the set that every run quantizes."""
    graph = onnx.load(prepared)
    of_every_run = set(hidden_layers(graph))
    for left_out in range(len(effects)):
        kept = {effect.layer for effect in effects[left_out:]}
        if kept != of_every_run:
            layers = tuple(layer for layer in dense_layers(graph) if layer in kept)
            yield Recipe(f"int8_static_per_channel_without_{left_out}", "static", per_channel=True, layers=layers)
