"""Stage features: leakage-safe aggregates from the Feast store, joined to each transaction as of its time."""

from __future__ import annotations

from datetime import timedelta

from sentinel.artifacts import FeatureTable, ValidatedData
from tasks.stage import Work, stage


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
        name=config.name, paths=work.run.paths, out=work.out, progress=work.progress,
    )  # fmt: skip
