"""Stage quantize: FP32 and INT8 measured side by side, and one chosen."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

from sentinel.artifacts import Candidates, FeatureTable, OnnxModel, Splits, TrainedModel
from tasks.stage import Work, stage


@stage(
    code=("sentinel/export", "sentinel/model/inputs.py", "sentinel/metrics.py", "sentinel/scoring.py"),
    settings=lambda run: [
        run.config.export, run.config.gates.max_variant_pr_auc_loss, run.config.gates.max_variant_flips,
        run.config.gates.false_positive_rate,
    ],
    timeout=timedelta(hours=2),
)  # fmt: skip
def quantize(work: Work, onnx: OnnxModel, trained: TrainedModel, table: FeatureTable, splits: Splits) -> Candidates:
    from sentinel.export.quantization import quantize as quantize_graph
    from tasks.tracking import log_files, log_metrics

    run, config = work.run, work.run.config
    candidates = quantize_graph(
        onnx, trained, table, splits, config.export, config.gates,
        home=run.paths.home, out=work.out, progress=work.progress,
    )  # fmt: skip
    log_metrics(run, candidates.run_id, _figures(work.out / "measurements.json"))
    log_files(run, candidates.run_id, [work.out / "measurements.json"], "export")
    return candidates


def _figures(measurements: Path) -> dict[str, float]:
    """Every figure of every variant, as `<variant>.<figure>`."""
    variants = json.loads(measurements.read_text())["variants"]
    return {
        f"{variant}.{name}": float(value)
        for variant, figures in variants.items()
        for name, value in figures.items()
        if isinstance(value, int | float)
    }
