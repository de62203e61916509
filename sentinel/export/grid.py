"""The full grid: calibration methods, layers left out by their sensitivity, fp16, and every provider there is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

from sentinel.artifacts import FeatureTable, OnnxModel, Splits, TrainedModel, Variants
from sentinel.config import Export
from sentinel.export.choice import MEASUREMENTS
from sentinel.export.int8_graph import Calibration, Prepared, prepared
from sentinel.export.onnx_graph import GRAPH
from sentinel.export.pareto import PICTURE, draw_pareto
from sentinel.export.quantization import make_record, measure_variants, read_calibration, read_threshold
from sentinel.export.rows import Rows, read_rows
from sentinel.export.variants import IN_EVERY_RUN, Variant, write_variant, write_variants
from sentinel.metrics import kl_divergence
from sentinel.progress import Progress, silent
from sentinel.scoring import PROVIDER, Scorer, available_providers
from sentinel.storage import complete_folder, require_free_disk, sha256_path, write_json

_ROOM = 1_000_000_000


def quantize_grid(
    onnx: OnnxModel,
    trained: TrainedModel,
    table: FeatureTable,
    splits: Splits,
    export: Export,
    *,
    home: Path,
    out: Path,
    progress: Progress = silent,
) -> Variants:
    """Like `quantization.quantize`, over the full grid; what training recorded and the bounds stay the same."""
    source = onnx.locate(home) / GRAPH
    require_free_disk(out, 40 * source.stat().st_size + _ROOM)
    threshold = read_threshold(trained.locate(home))
    with complete_folder(out) as folder:
        progress(0, 1, "calibrating")
        calibration = read_calibration(trained, table, splits, export, home)
        with prepared(source, folder) as ready:
            order = by_sensitivity(source, ready, calibration, folder)
            variants = full_grid(order, available_providers())
            write_variants(variants, source, ready, calibration, folder)
        rows = read_rows("test", trained, table, splits, home)
        figures = measure_variants(variants, rows, threshold, folder, progress)
        record = {**make_record(figures, threshold, len(rows), calibration), "layers_by_sensitivity": order}
        write_json(folder / MEASUREMENTS, record)
        draw_pareto(figures, folder / PICTURE)
    return Variants(path=os.path.relpath(out, home), sha256=sha256_path(out), run_id=onnx.run_id)


def full_grid(layers: Sequence[str], providers: Sequence[str]) -> tuple[Variant, ...]:
    """`layers`: the most sensitive first. Every one of them in fp32 would be fp32 itself."""
    methods = [
        Variant(f"int8_static_{ranges}_{method.lower()}", "static", per_channel=ranges == "per_channel", method=method)
        for ranges in ("per_tensor", "per_channel")
        for method in get_args(Calibration)
        if method != "MinMax"
    ]
    without = [
        Variant(f"int8_static_without_{count}", "static", per_channel=True, left_out=tuple(layers[:count]))
        for count in range(1, len(layers))
    ]
    on_cpu = (*IN_EVERY_RUN, *methods, *without, Variant("fp16", "fp16"))
    elsewhere = [
        replace(variant, name=f"{variant.name}_{provider.removesuffix('ExecutionProvider').lower()}", provider=provider)
        for provider in providers
        if provider != PROVIDER
        for variant in on_cpu
    ]
    return (*on_cpu, *elsewhere)


def by_sensitivity(fp32: Path, source: Prepared, calibration: Rows, scratch: Path) -> list[str]:
    """The layers by what quantizing each alone does to the scores of the calibration rows, the worst first."""
    expected = Scorer(fp32).score(calibration.numeric, calibration.categorical)

    def harm(layer: str) -> float:
        others = tuple(other for other in source.layers if other != layer)
        alone = Variant("alone", "static", per_channel=True, left_out=others)
        write_variant(alone, fp32, source, calibration, scratch / "alone.onnx")
        found = Scorer(scratch / "alone.onnx").score(calibration.numeric, calibration.categorical)
        (scratch / "alone.onnx").unlink()
        return kl_divergence(expected, found)

    return sorted(source.layers, key=harm, reverse=True)
