"""Stage quantize: fp32 and INT8 variants measured side by side; and the choice between them, which costs nothing."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from sentinel.artifacts import Candidates, FeatureTable, OnnxModel, Splits, TrainedModel, Variants
from tasks.run import Run
from tasks.stage import Work, stage


@stage(
    code=("sentinel/export", "sentinel/model/inputs.py", "sentinel/metrics.py", "sentinel/scoring.py"),
    settings=lambda run: [run.config.export],
    timeout=timedelta(hours=2),
)
def quantize(work: Work, onnx: OnnxModel, trained: TrainedModel, table: FeatureTable, splits: Splits) -> Variants:
    from sentinel.export.quantization import quantize as quantize_graph
    from tasks.tracking import log_files, log_metrics

    run = work.run
    variants = quantize_graph(
        onnx, trained, table, splits, run.config.export, home=run.paths.home, out=work.out, progress=work.progress
    )
    log_metrics(run, variants.run_id, _figures(work.out / "measurements.json"))
    log_files(run, variants.run_id, [work.out / "measurements.json", work.out / "pareto.png"], "export")
    return variants


def choose(run: Run, variants: Variants) -> Candidates:
    """No stage: a changed bound judges the recorded measurements anew and measures nothing."""
    from sentinel.export.choice import choose as choose_variant

    return choose_variant(variants, run.config.gates, home=run.paths.home)


def _figures(measurements: Path) -> dict[str, float]:
    """Every figure of every variant, as `<variant>.<figure>`."""
    variants = json.loads(measurements.read_text())["variants"]
    return {
        f"{variant}.{name}": float(value)
        for variant, figures in variants.items()
        for name, value in figures.items()
        if isinstance(value, int | float)
    }
