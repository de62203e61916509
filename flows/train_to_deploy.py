"""The main job: raw transactions to a fraud model in production, or a reasoned refusal."""

from __future__ import annotations

import logging
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any
from uuid import uuid4

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.runtime import deployment
from prefect.states import Completed
from pydantic import Field

import tasks
from flows.environment import redis_url, registry_database_url, require_mlflow, tracking_uri
from flows.exclusive import one_run_at_a_time
from flows.logs import logged_run
from flows.result import RunResult, read_result
from sentinel.config import load_config
from sentinel.paths import find_paths
from sentinel.promotion.authors import read_author
from sentinel.spark_installed import require_engine
from sentinel.storage import sha256_file
from tasks.run import Run, installed_lock, read_code

logger = logging.getLogger("sentinel.run")

ConfigParameter = Annotated[str, Field(min_length=6)]
VersionParameter = Annotated[str | None, Field(min_length=1)]


# Prefect keeps the error of a run that fails, and would pickle it
@flow(name="train-to-deploy", flow_run_name="{config}", validate_parameters=True, result_serializer="json")
def train_to_deploy(
    config: ConfigParameter = "configs/default.toml", data_version: VersionParameter = None
) -> State[Any]:
    """Pull, validate, build features, train, export, judge and, when every gate passes, promote.

    Args:
        config: TOML file of the data set, from the project's folder.
        data_version: Git revision whose data pointer is used; empty for the work tree's.
    """
    run = open_run(config, data_version)
    lock = run.paths.lock(run.config.name)
    with logged_run(run.id, run.paths.logs), one_run_at_a_time(lock, run.id, _starter(), logger.warning):
        result = make_champion(run)
    return Completed(message=result.sentence, name=result.state_name, data=result.as_dict())


def make_champion(run: Run) -> RunResult:
    """The table of contents."""
    raw = tasks.pull(run)
    validated = tasks.validate(run, raw)
    drift = tasks.compare(run, validated, tasks.find_champion_data(run, raw))
    table = tasks.features(run, validated)
    tasks.point_feast_at(run, table)
    splits = tasks.split(run, table)
    audit = tasks.audit(run, validated, table, splits)
    trained = tasks.train(run, raw, table, splits)
    onnx = tasks.export(run, trained, table, splits)
    variants = tasks.quantize(run, onnx, trained, table, splits)
    candidates = tasks.choose(run, variants)
    champion = tasks.find_opponent(run, candidates)
    champion_table = tasks.features_of_champion(run, validated, table, champion)
    if champion_table is not None:
        tasks.materialize(run, champion_table)
    online = tasks.materialize(run, table)
    report = tasks.gate(run, validated, splits, audit, online, trained, onnx, candidates, champion, champion_table)
    decision = tasks.standing_decision(run, candidates)
    if decision is None:
        libraries = tasks.libraries(run)
        release = tasks.package(run, raw, validated, table, splits, trained, onnx, candidates, report, libraries)
        tasks.publish_where_configured(run, release)
        version = tasks.register(run, release)
        decision = tasks.promote(run, report, version)
        tasks.ask_reviewer(run, decision)
    else:
        tasks.publish_where_configured(run, decision)
    return read_result(run, raw, validated, drift, report, decision)


def open_run(config: str, data_version: str | None) -> Run:
    """Check everything a run needs to know about itself before it starts."""
    paths = find_paths(Path.cwd(), os.environ)
    checked = load_config(paths.root / config)
    require_engine(checked.features)
    uri = tracking_uri(checked, paths)
    require_mlflow(uri)
    lock = installed_lock(paths.root)
    return Run(
        id=f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{uuid4().hex[:6]}",
        config=checked,
        paths=paths,
        tracking_uri=uri,
        lock=lock,
        lock_sha256=sha256_file(lock),
        code=read_code(paths.root),
        redis_url=redis_url(checked),
        registry_database_url=registry_database_url(checked),
        author=read_author(paths.root),
        data_version=data_version,
    )


def _starter() -> str:
    """Who started this run, in words for the one who has to wait."""
    return f"deployment {deployment.name}" if deployment.id else "the command line"
