"""Stage quantize: four variants measured side by side; and the choice between them, which measures nothing."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path

from sentinel.artifacts import Candidates, FeatureTable, OnnxModel, Splits, TrainedModel, Variants
from sentinel.storage import sha256_json
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
    log_files(run, variants.run_id, [work.out / "measurements.json"], "export")
    return variants


def choose(run: Run, variants: Variants) -> Candidates:
    """No stage: a changed bound judges the recorded measurements anew and measures nothing."""
    from sentinel.export.choice import bounds_of
    from sentinel.export.choice import choose as choose_variant

    paths = run.paths
    candidates = choose_variant(variants, run.config.gates, home=paths.home)
    decided_on = {"variants": variants.sha256, "bounds": asdict(bounds_of(run.config.gates))}
    picture = paths.stage(run.config.name, "choice", sha256_json(decided_on)) / "pareto.png"
    if not picture.exists():
        _draw(run, variants, picture)
    return replace(candidates, picture=paths.relative(picture))


def _draw(run: Run, variants: Variants, picture: Path) -> None:
    from sentinel.export.choice import bounds_of, choose_variant, read_measurements
    from sentinel.export.pareto import draw_pareto
    from tasks.tracking import log_files

    measured, bounds = read_measurements(variants, home=run.paths.home), bounds_of(run.config.gates)
    draw_pareto(measured, choose_variant(measured, bounds), bounds, picture)
    log_files(run, variants.run_id, [picture], "export")


def _figures(measurements: Path) -> dict[str, float]:
    """Every figure of every variant, as `<variant>.<figure>`."""
    variants = json.loads(measurements.read_text())["variants"]
    return {
        f"{variant}.{name}": float(value)
        for variant, figures in variants.items()
        for name, value in figures.items()
        if isinstance(value, int | float)
    }
