"""Stage register: the release as a version of the MLflow model registry, alias `challenger`."""

from __future__ import annotations

from datetime import timedelta

from sentinel.artifacts import RegisteredVersion, Release
from tasks.stage import Work, stage


@stage(
    code=("sentinel/promotion",),
    settings=lambda run: [run.tracking_uri],
    timeout=timedelta(minutes=30),
    retries=2,
)
def register(work: Work, release: Release) -> RegisteredVersion:
    from sentinel.promotion.registry import Registry

    run = work.run
    return Registry(run.tracking_uri, run.config.name, run.paths).register(release)
