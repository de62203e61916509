"""Stage champion_features: the champion's own feature set on today's data, when the candidate has another one."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from sentinel.artifacts import FeatureTable, ValidatedData
from tasks.in_use import models_in_use
from tasks.stage import Work, stage

if TYPE_CHECKING:
    from sentinel.promotion.layout import Champion


@stage(code=("sentinel/features",), settings=lambda run: [], timeout=timedelta(hours=4))
def champion_features(work: Work, validated: ValidatedData, champion: Champion) -> FeatureTable:
    from sentinel.features.retrieval import rebuild_features

    run = work.run
    described = run.paths.absolute(champion.release_path) / "feature_set.json"
    return rebuild_features(
        validated, described, run.config.features,
        name=run.config.name, paths=run.paths, out=work.out, in_use=models_in_use(run), progress=work.progress,
    )  # fmt: skip
