"""A training that MLflow holds: fetched, checked, and brought as near to here and now as this machine allows."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException
from pydantic import ValidationError

from sentinel.config import Config, Training
from sentinel.errors import RecordInvalid, TrainingFailed
from sentinel.storage import sha256_file
from sentinel.training.device.hardware import choose_hardware
from sentinel.training.processes.launch import count_processes
from sentinel.training.reproduction.record import Ingredients, Machine, Outcome, read_ingredients, read_outcome
from tasks.record import MODEL, RECORD, WEIGHTS, machine
from tasks.run import Run
from tasks.tracking import tracking_client

_KNOWN_BY = "Give the run_id that `sentinel models show` prints, or the id of the run that trained it."


@dataclass(frozen=True)
class Kept:
    """What MLflow holds of a training. `weights`: a file in the folder that it was fetched into."""

    run_id: str
    ingredients: Ingredients
    outcome: Outcome
    weights: Path


def fetch_training(run: Run, wanted: str, folder: Path) -> Kept:
    """Bring the record of an MLflow run, or of the run of ours that trained it, into `folder`.

    Raises RecordInvalid when there is none, or its weights are not those that it ended with.
    """
    client = tracking_client(run.tracking_uri, run.paths)
    run_id = _find(run, wanted)
    try:
        record = Path(client.download_artifacts(run_id, RECORD, str(folder)))
        weights = Path(client.download_artifacts(run_id, f"{MODEL}/{WEIGHTS}", str(folder)))
    except (MlflowException, OSError) as error:
        raise RecordInvalid(
            f"MLflow run {run_id} keeps no record of a finished training: it ended early, or was made before such "
            f"records were kept. {_KNOWN_BY}"
        ) from error
    kept = Kept(run_id, read_ingredients(record), read_outcome(record), weights)
    if sha256_file(weights) != kept.outcome.weights_sha256:
        raise RecordInvalid(
            f"The weights that MLflow keeps of run {run_id} are not those that the training ended with: nothing can be "
            "compared with them. Restore MLflow's artifacts from a copy."
        )
    return kept


def _find(run: Run, wanted: str) -> str:
    client = tracking_client(run.tracking_uri, run.paths)
    if re.fullmatch(r"[0-9a-f]{32}", wanted):
        try:
            return str(client.get_run(wanted).info.run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
    elif re.fullmatch(r"[\w-]+", wanted):
        experiments = [one.experiment_id for one in client.search_experiments()]
        found = client.search_runs(experiments, f"tags.`sentinel.run` = '{wanted}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
    raise RecordInvalid(
        f"MLflow at {run.tracking_uri} knows no training of run {wanted!r}; a run that found everything unchanged "
        f"trained nothing. {_KNOWN_BY}"
    )


def as_recorded(kept: Kept, file: Path) -> Config:
    """The configuration of the recorded run; `file` is named where a value is refused."""
    try:
        return Config.model_validate({**kept.ingredients.config, "file": file, "lines": {}})
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"])
        raise RecordInvalid(
            f"Today's code does not take the configuration of run {kept.run_id}: {key}: {fault['msg']}. Use the code "
            f"that trained it: git checkout {kept.ingredients.environment.git_commit}"
        ) from error


def settings_here(then: Training, machine_then: Machine) -> Training:
    """The recorded settings on the recorded devices, with their precision, where this machine has them."""
    device = machine_then.device.partition(":")[0]
    pinned = then.model_copy(
        update={"device": device, "precision": machine_then.precision, "devices": machine_then.processes}
    )
    try:
        count_processes(pinned, choose_hardware(pinned))
    except TrainingFailed:
        return then
    return pinned


def machine_here(settings: Training, threads: int) -> Machine:
    """Where a training with these settings would be computed."""
    hardware = choose_hardware(settings)
    return machine(hardware.device.type, hardware.precision, threads, count_processes(settings, hardware))
