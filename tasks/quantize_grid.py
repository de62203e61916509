"""Stage quantize_grid: many variants measured, for a person to look at; nothing of it is promoted."""

from __future__ import annotations

from datetime import timedelta

from sentinel.artifacts import FeatureTable, OnnxModel, Splits, TrainedModel, Variants
from tasks.stage import Work, stage


@stage(code=(), settings=lambda run: [run.id], timeout=timedelta(hours=12), is_cached=False)
def quantize_grid(work: Work, onnx: OnnxModel, trained: TrainedModel, table: FeatureTable, splits: Splits) -> Variants:
    from sentinel.export.grid import quantize_grid as measure_grid

    run = work.run
    return measure_grid(
        onnx, trained, table, splits, run.config.export, home=run.paths.home, out=work.out, progress=work.progress
    )
