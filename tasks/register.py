"""Stage register: the release as a version of the MLflow model registry, alias `challenger`."""

from __future__ import annotations

from datetime import timedelta

from sentinel.artifacts import RegisteredVersion, Release
from tasks.run import Run
from tasks.stage import Work, stage


def _mlflow_holds_the_version(run: Run, registered: RegisteredVersion) -> bool:
    from sentinel.promotion.store.opening import read_catalogue

    stored = read_catalogue(run.tracking_uri, run.config.name).of_release(registered.sha256)
    return stored is not None and stored.version == registered.version


@stage(
    code=("sentinel/promotion",),
    settings=lambda run: [run.tracking_uri],
    timeout=timedelta(minutes=30),
    retries=2,
    is_still_there=_mlflow_holds_the_version,
)
def register(work: Work, release: Release) -> RegisteredVersion:
    from sentinel.promotion.registry import Registry

    run = work.run
    registry = Registry(run.tracking_uri, run.config.name, run.paths, run.registry_database_url)
    return registry.register(release, author=run.author)
