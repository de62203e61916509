"""The training stage: features and splits in; a model with its record, its scores and its pictures out."""

# pyarrow and torch carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from sentinel.artifacts import FeatureTable, Splits, TrainedModel
from sentinel.config import Training
from sentinel.errors import TrainingFailed
from sentinel.model.network import FraudNet
from sentinel.progress import Progress, silent
from sentinel.storage import complete_folder, require_free_disk, sha256_path, write_json
from sentinel.training.data.reading import open_rows
from sentinel.training.data.rows import TrainingRows
from sentinel.training.data.source import Source, open_source
from sentinel.training.device.hardware import Hardware, choose_hardware, deterministic
from sentinel.training.device.memory import MemoryWatch
from sentinel.training.device.on_device import Kept, Session, session_record, train_on_device
from sentinel.training.device.out_of_memory import out_of_memory_in_a_sentence
from sentinel.training.device.telemetry import LogMetric
from sentinel.training.judging.held_out import score_parts
from sentinel.training.judging.importance import importance_rows, permutation_importance
from sentinel.training.judging.judgement import Judgement, Scored, judge, scores_table
from sentinel.training.judging.pictures import Shown, draw_pictures
from sentinel.training.loop.checkpoint import Checkpoints
from sentinel.training.loop.not_finite import BAD_BATCHES, BadRows, read_bad_batches
from sentinel.training.preparation import Prepared, add_forest, prepare
from sentinel.training.processes.job import Job
from sentinel.training.processes.launch import count_processes, launch
from sentinel.training.reproduction.reproducibility import TIMEOUT_S, Verdict, repeating

RECORD, SCORES, PICTURES = "training.json", "scores.parquet", "pictures"
UNFINISHED = ".unfinished"  # ends the name of a folder
CHECKPOINTS, PROBE, JOB = "checkpoints", "probe", "job"  # in the folder of an unfinished training
REMEMBERED = "training"  # folder of the home: decisions for this machine's card and model
NEEDED_BYTES = 500_000_000


def keep_no_metric(name: str, value: float, step: int) -> None:
    """For callers without an experiment tracker."""


@dataclass(frozen=True)
class Fitted:
    """A calibrated model and what is known of it."""

    net: FraudNet
    session: Session
    scored: Mapping[str, Scored]
    judgement: Judgement
    importance: Mapping[str, float]
    repeated: Verdict


def fit(
    table: FeatureTable,
    splits: Splits,
    settings: Training,
    *,
    run_id: str,
    home: Path,
    out: Path,
    progress: Progress = silent,
    log_metric: LogMetric | None = None,
) -> TrainedModel:
    """Train, calibrate, judge and store; a training that was killed goes on. Raises TrainingFailed."""
    begun = time.perf_counter()
    require_free_disk(out, NEEDED_BYTES)
    hardware = choose_hardware(settings)
    memory = MemoryWatch(settings, hardware.device)
    unfinished = unfinished_folder(out)
    fingerprint = {
        "table": table.sha256,
        "splits": splits.sha256,
        "settings": settings.model_dump(mode="json"),
    }
    kept = Kept(home / REMEMBERED, unfinished / CHECKPOINTS, unfinished / PROBE, fingerprint, facts={"run_id": run_id})
    unfinished.mkdir(parents=True, exist_ok=True)
    (kept.checkpoints / BAD_BATCHES).unlink(missing_ok=True)
    bounded = memory.refusing()
    with out_of_memory_in_a_sentence(), bounded, deterministic(settings.seed, settings.deterministic):
        source = open_source(table, splits, home)
        with _bad_rows_by_their_ids(source, kept.checkpoints, bad_batches_file(out)):
            fitted = _fit(source, settings, hardware, memory, kept, unfinished, progress, log_metric)
    progress(96, 100, "writing the model, its scores and pictures")
    with complete_folder(out) as folder:
        fitted.net.save(folder)
        pq.write_table(scores_table(fitted.scored, source.described_by), folder / SCORES, compression="zstd")
        _draw(folder / PICTURES, fitted)
        record = _record(fitted, settings, hardware) | {
            "run_id": run_id,
            "reproducibility": fitted.repeated.as_dict(),
            "seconds": time.perf_counter() - begun,
        }
        write_json(folder / RECORD, record)
    shutil.rmtree(unfinished)
    progress(100, 100, "trained")
    metrics = _flat(fitted.judgement.metrics)
    return TrainedModel(path=os.path.relpath(out, home), sha256=sha256_path(out), run_id=run_id, metrics=metrics)


def unfinished_folder(out: Path) -> Path:
    """What a training whose result will be `out` keeps until then: checkpoints, rows that do not fit the memory."""
    return out.with_name(f"{out.name}{UNFINISHED}")


def remove_unfinished(folder: Path) -> None:
    """What killed trainings left in `folder`, whose code or settings are others now. Only while none trains there."""
    for left in folder.glob(f"*{UNFINISHED}"):
        shutil.rmtree(left)


def bad_batches_file(out: Path) -> Path:
    """The transactions of the batches that ended a training of `out`; it stays when another one succeeds."""
    return out.with_name(f"{out.name}.{BAD_BATCHES}")


@contextmanager
def _bad_rows_by_their_ids(source: Source, checkpoints: Path, file: Path) -> Generator[None]:
    """The loop knows rows by their positions alone. Raises BadRows in its place."""
    try:
        yield
    except TrainingFailed as error:
        batches = read_bad_batches(checkpoints)
        if not batches:
            raise
        positions = np.unique(np.concatenate([np.asarray(each, np.int64) for each in batches.values()]))
        ids = source.rows("train", ["transaction_id"], positions)["transaction_id"].to_pylist()
        by_position = dict(zip(positions.tolist(), ids, strict=True))
        write_json(file, {str(number): [by_position[each] for each in rows] for number, rows in batches.items()})
        raise BadRows(str(error).replace(str(checkpoints / BAD_BATCHES), str(file)), file) from error


def unfinished_run(out: Path) -> str | None:
    """The `run_id` of the training of `out` that was killed and can go on; None without one."""
    facts = Checkpoints(unfinished_folder(out) / CHECKPOINTS, {}).facts_on_disk()
    return str(facts["run_id"]) if facts and facts.get("run_id") else None


def _fit(
    source: Source,
    settings: Training,
    hardware: Hardware,
    memory: MemoryWatch,
    kept: Kept,
    folder: Path,
    progress: Progress,
    log_metric: LogMetric | None,
) -> Fitted:
    tell = _watched(progress, memory)
    tell(0, 100, "reading the training rows, choosing the bins, fitting the logistic baseline")
    processes = count_processes(settings, hardware)
    prepared = prepare(source, settings, memory, folder, processes)
    tell(15, 100, "growing the forest")
    add_forest(prepared.net, prepared.rows, settings, settings.seed)
    tell(25, 100, "reading the validation rows")
    judged = open_rows(source, "validation", prepared.inputs, prepared.derive, memory, folder)
    net, session = _train(
        prepared, judged, settings, hardware, memory, kept, folder, processes,
        lambda done, total, doing="": progress(30 + 50 * done / total, 100, doing), log_metric,
    )  # fmt: skip
    with repeating(kept.probe, processes) as repeated:
        scored, threshold = score_parts(source, prepared, net, settings, tell)
        tell(90, 100, "shuffling the inputs for their importance")
        importance = permutation_importance(net, _validation_sample(source, prepared, settings.seed), settings.seed)
        tell(94, 100, "judging the held-out rows, slice by slice")
        judgement = judge(scored, threshold, source.feature_set, settings.seed)
        tell(95, 100, "waiting for the process that repeats the middle of the training")
        return Fitted(net, session, scored, judgement, importance, repeated(TIMEOUT_S))


def _train(
    prepared: Prepared,
    judged: TrainingRows,
    settings: Training,
    hardware: Hardware,
    memory: MemoryWatch,
    kept: Kept,
    folder: Path,
    processes: int,
    progress: Progress,
    log_metric: LogMetric | None,
) -> tuple[FraudNet, Session]:
    """In this process, or in one a device; the trained network is on the CPU."""
    if processes > 1:
        job = Job.write(folder / JOB, prepared.net, prepared.rows, judged, settings, kept, settings.seed)
        launch(job.folder, processes, progress=progress, log_metric=log_metric or keep_no_metric)
        return job.result()
    session = train_on_device(
        prepared.net, prepared.rows, judged, settings, hardware, memory, kept,
        seed=settings.seed, progress=progress, log_metric=log_metric,
    )  # fmt: skip
    if hardware.is_cuda:
        torch.cuda.empty_cache()  # the repeating process needs some of the card
    return prepared.net.cpu(), session


def _watched(progress: Progress, memory: MemoryWatch) -> Progress:
    """What tells how far it is looks at the memory, too: the steps are not all that takes some."""

    def tell(done: float, total: float, doing: str = "") -> None:
        memory()
        progress(done, total, doing)

    return tell


def _validation_sample(source: Source, prepared: Prepared, seed: int) -> pa.Table:
    positions = importance_rows(source.labels("validation"), seed)
    return source.rows("validation", list(dict.fromkeys([*prepared.inputs.columns, "is_fraud"])), positions)


def _record(fitted: Fitted, settings: Training, hardware: Hardware) -> dict[str, Any]:
    return {
        "settings": settings.model_dump(mode="json"),
        "precision": hardware.precision,
        "device": hardware.device.type,
        "threads": torch.get_num_threads(),
        "parameters": sum(weight.numel() for weight in fitted.net.parameters()),
        **session_record(fitted.session, hardware),
        **fitted.judgement.to_dict(),
        "scale": float(fitted.net.scale),
        "shift": float(fitted.net.shift),
        "importance": dict(fitted.importance),
    }


def _draw(folder: Path, fitted: Fitted) -> None:
    test = fitted.scored["test"]
    judged = fitted.judgement
    error = judged.intervals["expected_calibration_error"]
    shown = Shown(test.labels, test.probability, test.logistic, judged.threshold.value, error, judged.slices)
    history = fitted.session.history
    draw_pictures(folder, shown, history.epochs, history.best, fitted.importance)


def _flat(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {f"{part}_{name}": value for part, values in metrics.items() for name, value in values.items()}
