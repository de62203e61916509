"""What a run leaves in MLflow. The server and the run are arguments: nothing here is global."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor
from pydantic import BaseModel

from sentinel.artifacts import FeatureTable, RawData
from sentinel.errors import ServiceUnavailable
from sentinel.paths import Paths
from tasks.run import Run, library_versions

logger = logging.getLogger("sentinel.tracking")


def tracking_client(uri: str, paths: Paths) -> MlflowClient:
    """A client of the server at `uri`. Raises ServiceUnavailable when a named server does not answer."""
    keep_mlflow_off_the_terminal()
    if uri.startswith("sqlite:"):
        paths.mlflow_database.parent.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(uri)
    try:
        client.search_experiments(max_results=1)
    except MlflowException as error:
        raise ServiceUnavailable(
            f"The MLflow server {uri} does not answer: {str(error).splitlines()[0]} "
            "Start it, or mend MLFLOW_TRACKING_URI or services.mlflow_tracking_uri in the configuration."
        ) from error
    return client


def keep_mlflow_off_the_terminal() -> None:
    """It prints a traceback for what it raises anyway; like any library's, its records belong into the run's log."""
    mlflow_logger = logging.getLogger("mlflow")
    mlflow_logger.handlers.clear()
    mlflow_logger.propagate = True


def start_training_run(run: Run, raw: RawData, table: FeatureTable, unfinished: str | None) -> str:
    """Begin an MLflow run for one training, or go on with the `unfinished` one, and write down what it is made of.

    Returns the run's id.
    """
    client = tracking_client(run.tracking_uri, run.paths)
    experiment = experiment_named(client, run.config.name, run.tracking_uri, run.paths)
    _end_abandoned_runs(client, experiment)
    if unfinished and _take_up(client, unfinished, run):
        return unfinished
    mlflow_run = client.create_run(experiment, run_name=run.id, tags={"mlflow.source.git.commit": run.code.commit})
    tags = {
        "sentinel.run": run.id,
        "git_commit": run.code.commit,
        "git_is_clean": str(run.code.is_clean).lower(),
        "data_version": raw.version,
        "data_digest": raw.transactions_sha256,
        "feature_set_hash": table.feature_set_hash,
        "lock_sha256": run.lock_sha256,
    }
    params = {**_flat({"training": run.config.training, "splits": run.config.splits}), "rows": str(raw.rows)}
    params |= {f"version.{library}": found for library, found in library_versions().items()}
    client.log_batch(
        mlflow_run.info.run_id,
        params=[Param(name, value) for name, value in params.items()],
        tags=[RunTag(name, value) for name, value in tags.items()],
    )
    return str(mlflow_run.info.run_id)


@contextmanager
def tracked_training(run: Run, run_id: str) -> Iterator[None]:
    """Sample system metrics during the block, and end the MLflow run as it ended: FINISHED or FAILED."""
    client = tracking_client(run.tracking_uri, run.paths)
    monitor = SystemMetricsMonitor(run_id, sampling_interval=5, tracking_uri=run.tracking_uri)
    monitor.start()
    status = "FAILED"
    try:
        yield
        status = "FINISHED"
    finally:
        end_tracked(client, monitor, run_id, status)


def end_tracked(client: MlflowClient, monitor: SystemMetricsMonitor, run_id: str, status: str) -> None:
    """Of a training that failed, as on a full disk, its own error is what is told, and a tracker that fails is not."""
    try:
        monitor.finish()
        client.set_terminated(run_id, status)
    except Exception as error:
        if status == "FINISHED":
            raise
        lines = str(error).strip().splitlines() or [type(error).__name__]
        logger.warning("MLflow could not be told that run %s has failed: %s", run_id, lines[0])


class EpochMetrics:
    """Collects the metrics of a training and writes them in few calls."""

    def __init__(self, run: Run, run_id: str) -> None:
        self._client = tracking_client(run.tracking_uri, run.paths)
        self._run_id = run_id

    def __call__(self, name: str, value: float, step: int) -> None:
        self._client.log_metric(self._run_id, name, value, step=step)


def log_metrics(run: Run, run_id: str, metrics: Mapping[str, float]) -> None:
    now = int(time.time() * 1000)
    entries = [Metric(name, value, now, 0) for name, value in metrics.items()]
    tracking_client(run.tracking_uri, run.paths).log_batch(run_id, metrics=entries)


def log_files(run: Run, run_id: str, files: list[Path], folder: str) -> None:
    client = tracking_client(run.tracking_uri, run.paths)
    for file in files:
        client.log_artifact(run_id, str(file), folder)


def log_folder(run: Run, run_id: str, content: Path, folder: str) -> None:
    """Every file of `content` below the run's artifact folder `folder`."""
    tracking_client(run.tracking_uri, run.paths).log_artifacts(run_id, str(content), folder)


def set_tags(run: Run, run_id: str, tags: Mapping[str, str]) -> None:
    entries = [RunTag(name, value) for name, value in tags.items()]
    tracking_client(run.tracking_uri, run.paths).log_batch(run_id, tags=entries)


def experiment_named(client: MlflowClient, name: str, uri: str, paths: Paths) -> str:
    """The experiment's id; it is created when it is not there."""
    existing = client.get_experiment_by_name(name)
    if existing is not None:
        return str(existing.experiment_id)
    # a server keeps artifacts where it was told to; the embedded database has no such word
    location = (paths.mlflow_artifacts / name).as_uri() if uri.startswith("sqlite:") else None
    return str(client.create_experiment(name, artifact_location=location))


def _take_up(client: MlflowClient, unfinished: str, run: Run) -> bool:
    """Whether MLflow still has the run of a training that was killed; then it runs again."""
    try:
        client.update_run(unfinished, status="RUNNING")
        client.set_tag(unfinished, "sentinel.run", run.id)
    except MlflowException:
        return False
    return True


def _end_abandoned_runs(client: MlflowClient, experiment: str) -> None:
    """One run at a time per name: whatever still says RUNNING was killed."""
    for abandoned in client.search_runs([experiment], "attributes.status = 'RUNNING'"):
        client.set_terminated(abandoned.info.run_id, "KILLED")


def _flat(sections: Mapping[str, BaseModel]) -> dict[str, str]:
    return {
        f"{section}.{key}": str(value)
        for section, model in sections.items()
        for key, value in model.model_dump(mode="json").items()
    }
