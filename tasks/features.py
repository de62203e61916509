"""Stage features: leakage-safe aggregates from the Feast store, joined to each transaction as of its time."""

from __future__ import annotations

from datetime import timedelta

from sentinel.artifacts import FeatureTable, ValidatedData
from tasks.run import Run
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


def point_feast_at(run: Run, table: FeatureTable) -> None:
    """Let Feast's registry name this run's files; a table from the cache may be older than what it names."""
    from sentinel.features.applied import is_applied

    if not is_applied(run.paths, run.config.name, table):
        from sentinel.features.store import apply_table

        apply_table(run.paths, run.config.name, table.locate(run.paths.home))
