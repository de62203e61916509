"""A recorded training once more: the same data, settings and seed, then weight beside weight. Registers nothing."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.states import Completed
from pydantic import Field

import tasks
from flows.exclusive import one_run_at_a_time
from flows.logs import logged_run
from flows.train_to_deploy import ConfigParameter, open_run
from sentinel.training.reproduction.record import (
    Difference,
    environment_differences,
    feature_differences,
    machine_differences,
)
from sentinel.training.reproduction.weights import Comparison, compare_files
from tasks.kept_training import Kept, as_recorded, fetch_training, machine_here, settings_here
from tasks.record import WEIGHTS, environment
from tasks.run import Pinned, Run

logger = logging.getLogger("sentinel.reproduce")

_TOLD = 8  # differences in the sentence; the document has them all
_NOTHING_ELSE = (
    "Data, features, code, lock, packages, settings and machine are as they were: the training itself is not "
    "deterministic. See training.deterministic in its configuration."
)


@dataclass(frozen=True)
class Reproduced:
    """`differences`: what was not as it was then, with or without effect on the weights."""

    kept: Kept
    comparison: Comparison
    differences: tuple[Difference, ...]
    weights: Path

    @property
    def holds(self) -> bool:
        return self.comparison.kind != "different"

    @property
    def sentence(self) -> str:
        run_id, version = self.kept.run_id, self.kept.ingredients.data.version
        known = told(self.differences)
        if self.comparison.kind == "bit-exact":
            although = f", although this is not as it was then: {known}" if known else ""
            return (
                f"Reproduced: trained again on data {version}, run {run_id} has the same weights to the bit{although}."
            )
        apart = f"by up to {self.comparison.largest:.2g} (in {self.comparison.where})"
        begin = "Reproduced within the tolerance" if self.holds else "Not reproduced"
        why = f"Not as it was then: {known}." if known else _NOTHING_ELSE
        return f"{begin}: trained again, the weights of run {run_id} differ {apart}. {why}"

    def as_dict(self) -> dict[str, Any]:
        finite = self.comparison.largest if self.comparison.largest != float("inf") else None
        return {
            "run_id": self.kept.run_id,
            "run": self.kept.ingredients.run,
            "name": self.kept.ingredients.name,
            "kind": self.comparison.kind,
            "largest_difference": finite,
            "tensor": self.comparison.where,
            "data_version": self.kept.ingredients.data.version,
            "seed": self.kept.ingredients.seed,
            "weights_sha256": self.kept.outcome.weights_sha256,
            "weights": str(self.weights),
            "differences": [asdict(one) for one in self.differences],
            "sentence": self.sentence,
        }


# Prefect keeps the error of a run that fails, and would pickle it
@flow(name="reproduce", flow_run_name="{run_id}", validate_parameters=True, result_serializer="json")
def reproduce(
    run_id: Annotated[str, Field(min_length=1)], config: ConfigParameter = "configs/default.toml"
) -> State[Any]:
    """Train a recorded run again and compare the weights.

    Args:
        run_id: The training's MLflow run, or the run of ours that trained it.
        config: TOML file that names the MLflow server; the settings are those of the record.
    """
    asked = open_run(config, None)
    asked.paths.home.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=asked.paths.home, prefix="reproducing-") as scratch:
        kept = fetch_training(asked, run_id, Path(scratch))
        run = _as_then(asked, kept)
        lock = run.paths.lock(run.config.name)
        with logged_run(run.id, run.paths.logs), one_run_at_a_time(lock, run.id, "sentinel reproduce", logger.warning):
            result = train_again(run, kept)
    return Completed(message=result.sentence, name=result.comparison.kind.capitalize(), data=result.as_dict())


def train_again(run: Run, kept: Kept) -> Reproduced:
    """The way from the pinned data to the weights."""
    machine = kept.outcome.machine
    settings = settings_here(run.config.training, machine)
    found = environment_differences(kept.ingredients.environment, environment(run))
    found += machine_differences(machine, machine_here(settings, machine.threads))
    _warn(found)
    raw = tasks.pull(run)
    validated = tasks.validate(run, raw)
    table = tasks.features(run, validated)
    splits = tasks.split(run, table)
    of_features = feature_differences(kept.ingredients, table.sha256, splits.sha256)
    _warn(of_features)
    again = tasks.reproduce(run, table, splits, settings, machine.threads)
    weights = again.locate(run.paths.home) / WEIGHTS
    return Reproduced(kept, compare_files(kept.weights, weights), (*found, *of_features), weights)


def told(differences: Sequence[Difference]) -> str:
    """The differences in words."""
    words = [one.sentence for one in differences[:_TOLD]]
    more = len(differences) - len(words)
    return "; ".join([*words, f"and {more} more"] if more > 0 else words)


def _as_then(asked: Run, kept: Kept) -> Run:
    """A run with the recorded settings on the recorded data."""
    data = kept.ingredients.data
    return replace(asked, config=as_recorded(kept, asked.config.file), pinned=Pinned(data.version, data.bytes))


def _warn(differences: Sequence[Difference]) -> None:
    if differences:
        logger.warning("Not as it was then: %s.", told(differences))
