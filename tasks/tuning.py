"""What a search for settings leaves in MLflow: one run for the search, a nested one for each trial.

In an experiment of its own, NAME-tuning: a nightly training ends what still runs in the experiment NAME.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from sentinel.paths import Paths
from sentinel.training.tuning.folds import Scores
from sentinel.training.tuning.search import Search, Tried
from tasks.tracking import experiment_named, tracking_client

SEARCH, TRIAL, OUTCOME = "sentinel.search", "sentinel.trial", "sentinel.outcome"


def experiment_of(name: str) -> str:
    return f"{name}-tuning"


@dataclass
class TrialRuns:
    """The watcher of a search that writes each trial into a run below `parent`."""

    client: MlflowClient
    experiment: str
    parent: str
    open_run: str | None = None
    status: str = "FAILED"  # how the search ends

    def began(self, number: int, settings: Mapping[str, Any]) -> None:
        tags = {MLFLOW_PARENT_RUN_ID: self.parent, TRIAL: str(number)}
        run = self.client.create_run(self.experiment, run_name=f"trial {number}", tags=tags)
        self.open_run = str(run.info.run_id)
        params = [Param(f"training.{key}", str(value)) for key, value in settings.items()]
        self.client.log_batch(self.open_run, params=params)

    def judged(self, step: int, fold: str, scores: Scores, so_far: Scores) -> None:
        assert self.open_run
        metrics = [_metric(f"{figure}/{fold}", value, step) for figure, value in scores.to_dict().items()]
        metrics += [_metric(f"mean_{figure}", value, step) for figure, value in so_far.to_dict().items()]
        self.client.log_batch(self.open_run, metrics=metrics)

    def ended(self, tried: Tried) -> None:
        assert self.open_run
        outcome = tried.failure or ("complete" if tried.is_complete else "stopped early")
        self.client.set_tag(self.open_run, OUTCOME, outcome)
        self.close("FAILED" if tried.failure else "FINISHED")

    def keep_best(self, best: Tried, config: Path) -> None:
        """Into the search's own run: the best trial's figures, and the configuration that was written."""
        assert best.mean
        figures = [_metric(f"best_mean_{figure}", value, best.number) for figure, value in best.mean.to_dict().items()]
        self.client.log_batch(self.parent, metrics=figures, tags=[RunTag("sentinel.best_trial", str(best.number))])
        self.client.log_artifact(self.parent, str(config))

    def close(self, status: str) -> None:
        if self.open_run:
            self.client.set_terminated(self.open_run, status)
            self.open_run = None


@contextmanager
def tracked_search(search: Search, uri: str, paths: Paths, name: str) -> Iterator[TrialRuns]:
    """The watcher for `search`. The run of an earlier call that did not end it is taken up again."""
    client = tracking_client(uri, paths)
    experiment = experiment_named(client, experiment_of(name), uri, paths)
    runs = TrialRuns(client, experiment, _parent(client, experiment, search))
    for killed in _below(client, experiment, runs.parent):
        client.set_terminated(killed, "KILLED")
    try:
        yield runs
    finally:
        runs.close("KILLED")
        client.set_terminated(runs.parent, runs.status)


def _parent(client: MlflowClient, experiment: str, search: Search) -> str:
    """The run of this search: that of an earlier call, or a new one."""
    earlier = client.search_runs([experiment], f"tags.`{SEARCH}` = '{search.name}'", max_results=1)
    if earlier:
        client.update_run(earlier[0].info.run_id, status="RUNNING")
        return str(earlier[0].info.run_id)
    run = client.create_run(experiment, run_name=search.name, tags={SEARCH: search.name})
    params = {f"start.{key}": value for key, value in search.start.items()} | {"folds": " ".join(search.folds)}
    client.log_batch(run.info.run_id, params=[Param(key, str(value)) for key, value in params.items()])
    return str(run.info.run_id)


def _below(client: MlflowClient, experiment: str, parent: str) -> list[str]:
    """The trials' runs that nobody ended: their process was killed."""
    asked = f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{parent}' and attributes.status = 'RUNNING'"
    return [str(run.info.run_id) for run in client.search_runs([experiment], asked)]


def _metric(name: str, value: float, step: int) -> Metric:
    return Metric(name, value, int(time.time() * 1000), step)
