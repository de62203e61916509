"""What a training's MLflow run keeps, so that the training can be repeated and compared."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sentinel.artifacts import FeatureTable, RawData, Splits, TrainedModel
from sentinel.storage import sha256_file, write_json
from sentinel.training.reproduction.record import (
    OUTCOME,
    Data,
    Environment,
    Ingredients,
    Machine,
    Outcome,
    Packages,
    write_ingredients,
)
from tasks.run import Run

RECORD, MODEL = "record", "model"  # folders among the run's artifacts
WEIGHTS, TRAINING = "weights.safetensors", "training.json"


def ingredients(run: Run, raw: RawData, table: FeatureTable, splits: Splits) -> Ingredients:
    """What a training of `run` on these artifacts is made of."""
    folder = raw.locate(run.paths.home)
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    return Ingredients(
        name=run.config.name,
        run=run.id,
        seed=run.config.training.seed,
        data=Data(version=raw.version, bytes=size, transactions_sha256=raw.transactions_sha256),
        features_sha256=table.sha256,
        splits_sha256=splits.sha256,
        config=run.config.model_dump(mode="json"),
        environment=environment(run),
    )


def environment(run: Run) -> Environment:
    """The code and the packages that `run` works with."""
    from sentinel.doctor.libraries import installed_versions, locked_versions

    return Environment(
        git_commit=run.code.commit,
        git_is_clean=run.code.is_clean,
        lock=run.lock.name,
        lock_sha256=run.lock_sha256,
        python=platform.python_version(),
        code=training_code(run.paths.root),
        packages=Packages(locked=locked_versions(run.lock), installed=installed_versions()),
    )


def training_code(root: Path) -> dict[str, str]:
    """sha256 of each source file between the pinned data and the weights, by its path from `root`."""
    from tasks.features import features
    from tasks.split import split
    from tasks.train import train
    from tasks.validate import validate

    found: dict[str, str] = {}
    for one in (validate, features, split, train):
        found |= one.code_files(root)
    return dict(sorted(found.items()))


def log_ingredients(run: Run, run_id: str, found: Ingredients) -> None:
    from tasks.tracking import log_folder

    with TemporaryDirectory() as scratch:
        write_ingredients(Path(scratch), found, run.lock)
        log_folder(run, run_id, Path(scratch), RECORD)


def log_outcome(run: Run, run_id: str, trained: TrainedModel) -> None:
    """The weights, their digest, and where they were computed. Written last: with it the record is whole."""
    from tasks.tracking import log_files, log_folder, set_tags

    folder = trained.locate(run.paths.home)
    outcome = Outcome(weights_sha256=sha256_file(folder / WEIGHTS), machine=machine_of(folder))
    log_files(run, run_id, [folder / WEIGHTS], MODEL)
    found = json.loads((folder / TRAINING).read_text())["reproducibility"]["verdict"]
    set_tags(run, run_id, {"weights_sha256": outcome.weights_sha256, "reproducibility": found})
    with TemporaryDirectory() as scratch:
        write_json(Path(scratch) / OUTCOME, outcome.model_dump(mode="json"))
        log_folder(run, run_id, Path(scratch), RECORD)


def machine_of(trained: Path) -> Machine:
    """Where the model in the folder `trained`, just made by this process, was computed."""
    told: dict[str, Any] = json.loads((trained / TRAINING).read_text())
    return machine(told["device"], told["precision"], told["threads"], told["processes"])


def machine(device: str, precision: str, threads: int, processes: int) -> Machine:
    import torch

    from sentinel.training.device.hardware import Hardware

    hardware = Hardware(torch.device(device), precision)
    return Machine(
        device=hardware.device.type, name=hardware.name, precision=precision, threads=threads, processes=processes
    )
