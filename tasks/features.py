"""Stage features: leakage-safe aggregates from the Feast store, joined to each transaction as of its time."""

from __future__ import annotations

import logging
from datetime import timedelta

from sentinel.artifacts import FeatureTable, ValidatedData
from tasks.in_use import models_in_use
from tasks.run import Run
from tasks.stage import Work, stage

logger = logging.getLogger("sentinel.features")


@stage(
    code=("sentinel/features", "feature_repo"),
    settings=lambda run: [run.config.columns, run.config.features],
    timeout=timedelta(hours=4),
)
def features(work: Work, validated: ValidatedData) -> FeatureTable:
    from sentinel.features.retrieval import build_features

    config = work.run.config
    return build_features(
        validated, config.columns, config.features,
        name=config.name, paths=work.run.paths, out=work.out, in_use=models_in_use(work.run), progress=work.progress,
    )  # fmt: skip


def point_feast_at(run: Run, table: FeatureTable) -> None:
    """Let Feast's registry name this run's files; a table from the cache may be older than what it names."""
    from sentinel.features.applied import is_applied
    from sentinel.features.in_use import lost_features

    in_use = models_in_use(run)
    if not is_applied(run.paths, run.config.name, table):
        from sentinel.features.store import apply_table

        apply_table(run.paths, run.config.name, table.locate(run.paths.home), in_use=in_use)
    for sentence in lost_features(run.paths, run.config.name, in_use):
        logger.warning(sentence)
