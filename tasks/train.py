"""Stage train: one MLflow run a training, with everything that made the model."""

from __future__ import annotations

import json
from datetime import timedelta

from sentinel.artifacts import FeatureTable, RawData, Splits, TrainedModel
from tasks.run import Run
from tasks.shown import show_picture
from tasks.stage import Work, stage


def _stands(run: Run, trained: TrainedModel) -> bool:
    """Whether MLflow holds the run, and a verdict that was not measured, as on a busy machine, is not kept for ever."""
    from sentinel.promotion.store.opening import holds_run

    record = json.loads((trained.locate(run.paths.home) / "training.json").read_text())
    return record["reproducibility"]["problem"] is None and holds_run(run.tracking_uri, trained.run_id)


@stage(
    code=(
        "sentinel/training",
        "sentinel/model",
        "sentinel/metrics.py",
        "sentinel/slices.py",
        "tasks/tracking.py",
        "tasks/record.py",
    ),
    settings=lambda run: [run.config.training, run.tracking_uri],
    timeout=timedelta(hours=12),
    is_still_there=_stands,
)
def train(work: Work, raw: RawData, table: FeatureTable, splits: Splits) -> TrainedModel:
    from sentinel.training.fit import fit, remove_unfinished, unfinished_run
    from sentinel.training.loop.not_finite import BadRows
    from tasks.record import ingredients, log_ingredients, log_outcome
    from tasks.tracking import EpochMetrics, log_files, log_metrics, start_training_run, tracked_training

    run, config = work.run, work.run.config
    run_id = start_training_run(run, raw, table, unfinished_run(work.out))
    with tracked_training(run, run_id):
        log_ingredients(run, run_id, ingredients(run, raw, table, splits))
        try:
            trained = fit(
                table, splits, config.training, run_id=run_id,
                home=run.paths.home, out=work.out, progress=work.progress, log_metric=EpochMetrics(run, run_id),
            )  # fmt: skip
        except BadRows as error:
            log_files(run, run_id, [error.file], "training")
            raise
        pictures = sorted((work.out / "pictures").glob("*.png"))
        log_metrics(run, run_id, trained.metrics)
        log_files(run, run_id, pictures, "pictures")
        log_files(run, run_id, [work.out / "training.json"], "training")
        features = table.locate(run.paths.home)
        log_files(run, run_id, [features / "features.json", features / "feature_set.json"], "features")
        log_outcome(run, run_id, trained)
    remove_unfinished(work.out.parent)  # one run at a time has this name
    show_picture(work.out / "pictures" / "precision_recall.png", "precision-recall", "Precision and recall on test")
    return trained
