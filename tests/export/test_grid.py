from __future__ import annotations

import json

import pytest

from sentinel.artifacts import OnnxModel
from sentinel.config import Export
from sentinel.errors import ServiceUnavailable
from sentinel.export.grid import full_grid, quantize_grid
from sentinel.scoring import Scorer, available_providers
from tests.export.conftest import Trained


def test_grid_tries_methods_left_out_layers_fp16_and_every_provider():
    names = {
        variant.name for variant in full_grid(["worst", "best"], ["CUDAExecutionProvider", "CPUExecutionProvider"])
    }
    on_cpu = {
        "fp32", "fp16", "int8_dynamic", "int8_static_per_tensor", "int8_static_per_channel", "int8_static_without_1",
        "int8_static_per_tensor_entropy", "int8_static_per_tensor_percentile", "int8_static_per_channel_entropy",
        "int8_static_per_channel_percentile",
    }  # fmt: skip
    assert names == on_cpu | {f"{name}_cuda" for name in on_cpu}
    (without,) = [one for one in full_grid(["worst", "best"], []) if one.left_out]
    assert without.left_out == ("worst",)


def test_every_variant_of_the_grid_is_measured(trained: Trained, onnx_model: OnnxModel):
    found = quantize_grid(
        onnx_model, *trained.artifacts, Export(calibration_rows=300), home=trained.home, out=trained.home / "grid"
    )
    folder = found.locate(trained.home)
    record = json.loads((folder / "measurements.json").read_text())
    wanted = full_grid(record["layers_by_sensitivity"], available_providers())
    assert set(record["variants"]) == {variant.name for variant in wanted}
    assert all(figures["latency_p99_ms"] > 0 and "kl_divergence" in figures for figures in record["variants"].values())
    assert record["variants"]["int8_static_without_1"]["integer_matrix_products"] == 1
    assert (folder / "pareto.png").stat().st_size < 100_000
    assert not [path for path in folder.iterdir() if path.name.startswith(("prepared", "alone", "optimized"))]


def test_provider_that_is_not_there_is_told_and_nothing_falls_back(trained: Trained, onnx_model: OnnxModel):
    graph = onnx_model.locate(trained.home) / "fp32.onnx"
    assert Scorer(graph).providers == ("CPUExecutionProvider",)
    with pytest.raises(ServiceUnavailable, match="CUDAExecutionProvider is not among what this ONNX Runtime has"):
        Scorer(graph, provider="CUDAExecutionProvider")
