"""Stage export: one ONNX graph from raw inputs to probability, held against torch."""

from __future__ import annotations

from datetime import timedelta

from sentinel.artifacts import FeatureTable, OnnxModel, Splits, TrainedModel
from tasks.stage import Work, stage


@stage(
    code=("sentinel/export", "sentinel/model", "sentinel/scoring.py"),
    settings=lambda run: [],
    timeout=timedelta(hours=1),
)
def export(work: Work, trained: TrainedModel, table: FeatureTable, splits: Splits) -> OnnxModel:
    from sentinel.export.onnx_graph import export as export_graph
    from tasks.tracking import log_files, log_metrics

    run = work.run
    onnx = export_graph(trained, table, splits, home=run.paths.home, out=work.out, progress=work.progress)
    log_metrics(run, onnx.run_id, {"onnx_max_difference": onnx.parity})
    log_files(run, onnx.run_id, [work.out / "parity.json"], "export")
    return onnx
