"""The deployment of a config on a Prefect server: by schedule every night, or by hand at any time."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, cast

import httpx
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists
from prefect.flows import Flow
from prefect.schedules import Cron

from flows.environment import library_environment
from sentinel.config import Config
from sentinel.errors import ServiceUnavailable
from sentinel.paths import Paths

WORK_POOL = "sentinel"
ENTRYPOINT = "flows/train_to_deploy.py:train_to_deploy"
# What a worker's process must know of the deploying one, when it is set there.
_HANDED_ON = ("MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "AWS_PROFILE")


@dataclass(frozen=True)
class Deployed:
    name: str
    id: str
    work_pool: str
    cron: str
    time_zone: str
    api_url: str


def deploy(config: Config, paths: Paths, api_url: str) -> Deployed:
    """Register the deployment named after the config; repeat it after every change of the config.

    Raises ServiceUnavailable when the server does not answer.
    """
    try:
        _ensure_work_pool()
        source = cast("Flow[..., Any]", flow.from_source(source=str(paths.root), entrypoint=ENTRYPOINT))
        deployment = cast(
            RunnerDeployment,
            source.to_deployment(
                name=config.name,
                work_pool_name=WORK_POOL,
                description=f"Main job of {config.name}: nightly, or started by hand.",
                parameters={"config": os.path.relpath(config.file.resolve(), paths.root)},
                schedule=Cron(config.schedule.cron, timezone=config.schedule.time_zone),
                concurrency_limit=ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.ENQUEUE),
                job_variables={"env": _worker_environment(paths), "working_dir": str(paths.root)},
                tags=["sentinel", config.name],
            ),
        )
        deployment_id = deployment.apply()
    except (httpx.HTTPError, RuntimeError) as error:
        raise ServiceUnavailable(
            f"The Prefect server {api_url} does not answer as one: {str(error).splitlines()[0]} "
            "Start it, or mend PREFECT_API_URL or services.prefect_api_url in the configuration."
        ) from error
    schedule = config.schedule
    return Deployed(config.name, str(deployment_id), WORK_POOL, schedule.cron, schedule.time_zone, api_url)


def _ensure_work_pool() -> None:
    with get_client(sync_client=True) as client:
        try:
            client.create_work_pool(WorkPoolCreate(name=WORK_POOL, type="process"))
        except ObjectAlreadyExists:
            return


def _worker_environment(paths: Paths) -> dict[str, str]:
    handed_on = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    return {**library_environment(paths), "SENTINEL_HOME": str(paths.home), **handed_on}
