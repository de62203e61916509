"""The deployments of a config on a Prefect server: the main job, the look for reviewers' answers, and their form."""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, cast
from urllib.parse import urlsplit

import httpx
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists
from prefect.flows import Flow
from prefect.schedules import Cron, Interval

from flows.environment import library_environment
from sentinel.config import Config
from sentinel.errors import ServiceUnavailable
from sentinel.paths import Paths

WORK_POOL = "sentinel"
ENTRYPOINT = "flows/train_to_deploy.py:train_to_deploy"
REVIEW, FORM = "flows/review.py:review", "flows/review.py:review_form"
# What a worker's process must know of the deploying one, when it is set there. Passwords are set where the worker runs.
_HANDED_ON = (
    "MLFLOW_TRACKING_URI", "REDIS_URL", "SENTINEL_REGISTRY_DATABASE_URL", "AWS_ENDPOINT_URL", "AWS_PROFILE",
)  # fmt: skip


@dataclass(frozen=True)
class Deployed:
    """`id` and `cron`: of the main job. `review_id`, `form_id`: of the look for answers, and of the reviewer's form."""

    name: str
    id: str
    work_pool: str
    cron: str
    time_zone: str
    api_url: str
    review_id: str
    form_id: str


def deploy(config: Config, paths: Paths, api_url: str) -> Deployed:
    """Register the deployments named after the config; repeat it after every change of the config.

    Raises ServiceUnavailable when the server does not answer.
    """
    schedule = config.schedule
    pause = timedelta(seconds=config.promotion.review_check_seconds)
    try:
        _ensure_work_pool()
        main = _deployment(
            config, paths, ENTRYPOINT, f"Main job of {config.name}: nightly, or started by hand.",
            schedule=Cron(schedule.cron, timezone=schedule.time_zone),
            concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
        )  # fmt: skip
        review = _deployment(
            config, paths, REVIEW, f"Acts on reviewers' answers about {config.name}, and guards its champion.",
            schedule=Interval(pause),
            concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW),
        )  # fmt: skip
        form = _deployment(config, paths, FORM, f"The form about a version of {config.name} that waits.")
    except (httpx.HTTPError, RuntimeError) as error:
        raise ServiceUnavailable(
            f"The Prefect server {api_url} does not answer as one: {str(error).splitlines()[0]} "
            "Start it, or mend PREFECT_API_URL or services.prefect_api_url in the configuration."
        ) from error
    return Deployed(config.name, main, WORK_POOL, schedule.cron, schedule.time_zone, api_url, review, form)


def _deployment(config: Config, paths: Paths, entrypoint: str, description: str, **more: Any) -> str:
    """Register one; its id."""
    source = cast("Flow[..., Any]", flow.from_source(source=str(paths.root), entrypoint=entrypoint))
    deployment = cast(
        RunnerDeployment,
        source.to_deployment(
            name=config.name,
            work_pool_name=WORK_POOL,
            description=description,
            parameters={"config": os.path.relpath(config.file.resolve(), paths.root)},
            job_variables={"env": _worker_environment(paths), "working_dir": str(paths.root)},
            tags=["sentinel", config.name],
            **more,
        ),
    )
    return str(deployment.apply())


def _ensure_work_pool() -> None:
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
        except ObjectAlreadyExists:
            return


def _worker_environment(paths: Paths) -> dict[str, str]:
    handed_on = {name: os.environ[name] for name in _HANDED_ON if name in os.environ and not _tells(os.environ[name])}
    return {**library_environment(paths), "SENTINEL_HOME": str(paths.home), **handed_on}


def _tells(address: str) -> bool:
    """Whether it holds a password, which everybody who sees the deployment would see."""
    parts = urlsplit(address)
    return parts.password is not None or "password=" in parts.query
