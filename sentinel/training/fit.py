"""The training stage: features and splits in; a model with its record, its scores and its pictures out."""

# pyarrow and torch carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray

from sentinel.artifacts import FeatureTable, Splits, TrainedModel
from sentinel.config import Training
from sentinel.metrics import pr_auc
from sentinel.model.derived import DerivedFeatures
from sentinel.model.encoding import Encoding
from sentinel.model.inputs import ModelInputs
from sentinel.model.network import FraudNet, NetworkSize
from sentinel.progress import Progress, silent
from sentinel.storage import complete_folder, require_free_disk, sha256_path, write_json
from sentinel.training.calibration import fit_platt
from sentinel.training.draw import Draw
from sentinel.training.hardware import Hardware, choose_hardware, deterministic
from sentinel.training.importance import permutation_importance
from sentinel.training.judging import Judgement, Scored, judge, moments_us, scores_table
from sentinel.training.logistic import LogisticBaseline
from sentinel.training.loop import train
from sentinel.training.pictures import Shown, draw_pictures
from sentinel.training.position import Epoch, History
from sentinel.training.probe import Probe
from sentinel.training.reproducibility import TIMEOUT_S, Verdict, repeating
from sentinel.training.rows import ResidentRows, Rows, logits, make_rows
from sentinel.training.source import Source, open_source
from sentinel.training.threshold import Threshold, choose_threshold

SCORED = ("validation", "calibration", "test")
RECORD, SCORES, PICTURES = "training.json", "scores.parquet", "pictures"
BIN_GENUINE = 70_000  # rows, besides every fraud, that the trees look at to choose the edges
NEEDED_BYTES = 500_000_000

LogMetric = Callable[[str, float, int], None]


def keep_no_metric(name: str, value: float, step: int) -> None:
    """For callers without an experiment tracker."""


@dataclass(frozen=True)
class Prepared:
    """What the training rows alone decide, before the first step: vocabularies, fraud rate, bins, the baseline."""

    inputs: ModelInputs
    derive: DerivedFeatures
    rows: Rows
    net: FraudNet  # untrained
    baseline: LogisticBaseline


@dataclass(frozen=True)
class Fitted:
    """A calibrated model and what is known of it."""

    net: FraudNet
    history: History
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
    log_metric: LogMetric = keep_no_metric,
) -> TrainedModel:
    """Train, calibrate, judge and store. Raises TrainingFailed when no model comes of it."""
    begun = time.perf_counter()
    require_free_disk(out, NEEDED_BYTES)
    hardware = choose_hardware(settings)
    out.parent.mkdir(parents=True, exist_ok=True)
    with (
        TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.", suffix=".partial") as scratch,
        deterministic(settings.seed),
    ):
        source, probe = open_source(table, splits, home), Probe(Path(scratch))
        fitted = _fit(source, settings, hardware, probe, progress, log_metric)
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
    progress(100, 100, "trained")
    metrics = _flat(fitted.judgement.metrics)
    return TrainedModel(path=os.path.relpath(out, home), sha256=sha256_path(out), run_id=run_id, metrics=metrics)


def _fit(
    source: Source,
    settings: Training,
    hardware: Hardware,
    probe: Probe,
    progress: Progress,
    log_metric: LogMetric,
) -> Fitted:
    progress(0, 100, "reading the training rows, choosing the bins, fitting the logistic baseline")
    prepared = prepare(source, settings)
    net = prepared.net
    progress(20, 100, "reading the held-out rows")
    tables, held = hold_out(source, prepared)
    judged = held["validation"].to(hardware.device)
    history = train(
        net.to(hardware.device),
        ResidentRows(prepared.rows, hardware.device),
        settings,
        hardware,
        lambda candidate: pr_auc(judged.is_fraud(), logits(candidate, judged)),
        seed=settings.seed,
        probe=probe,
        progress=lambda done, total, doing="": progress(25 + 63 * done / total, 100, doing),
        finished=lambda epoch: _log_epoch(epoch, log_metric),
    )
    net.cpu()
    if hardware.is_cuda:
        torch.cuda.empty_cache()  # the repeating process needs some of the card
    with repeating(probe.folder) as repeated:
        raw = {name: logits(net, rows) for name, rows in held.items()}
        threshold = calibrate(net, raw["calibration"], held["calibration"], tables["calibration"], settings)
        scored = {
            name: Scored(
                tables[name], rows.is_fraud(), probabilities(net, raw[name]), prepared.baseline.probability(rows)
            )
            for name, rows in held.items()
        }
        progress(90, 100, "shuffling the inputs for their importance")
        importance = permutation_importance(net, tables["validation"], settings.seed)
        progress(94, 100, "judging the held-out rows, slice by slice")
        judgement = judge(scored, threshold, source.feature_set, settings.seed)
        progress(95, 100, "waiting for the process that repeats the middle of the training")
        return Fitted(net, history, scored, judgement, importance, repeated(TIMEOUT_S))


def prepare(source: Source, settings: Training) -> Prepared:
    """Everything that is fitted on the training part; the leak audit calls it too."""
    inputs = source.inputs()
    rows, derive = _training_rows(source, inputs)
    net = make_network(rows, derive, inputs, source.feature_set, settings)
    baseline = LogisticBaseline(rows, inputs, settings.genuine_per_fraud, settings.seed)
    return Prepared(inputs, derive, rows, net, baseline)


def hold_out(source: Source, prepared: Prepared) -> tuple[dict[str, pa.Table], dict[str, Rows]]:
    """The parts that no weight is fitted on: their tables, and their derived rows."""
    tables = {name: source.read(name, prepared.inputs) for name in SCORED}
    return tables, {name: make_rows(part, prepared.inputs, prepared.derive) for name, part in tables.items()}


def _training_rows(source: Source, inputs: ModelInputs) -> tuple[Rows, DerivedFeatures]:
    """The derived training rows, and the module that derived them: it knows the training fraud rate."""
    table = source.read("train", inputs)
    frauds = table.filter(pc.field("is_fraud")).num_rows
    derive = DerivedFeatures(inputs, source.feature_set, frauds / table.num_rows)
    return make_rows(table, inputs, derive), derive


def make_network(
    rows: Rows, derive: DerivedFeatures, inputs: ModelInputs, feature_set: Mapping[str, Any], settings: Training
) -> FraudNet:
    """An untrained network whose bins and indicators fit the training rows."""
    draw = Draw(rows.labels, max(1, BIN_GENUINE // max(1, int(rows.labels.sum()))), settings.seed)
    sample = rows.take(draw.epoch(0))
    weights = torch.where(sample.labels > 0, 1.0, math.exp(draw.correction))
    encoding = Encoding.fit(sample.derived, sample.labels > 0, weights, inputs, settings.bins)
    size = NetworkSize(settings.width, settings.layers, settings.dropout)
    return FraudNet(inputs, feature_set, encoding, size, float(derive.fraud_rate))


def probabilities(net: FraudNet, raw: NDArray[np.float64]) -> NDArray[np.float64]:
    """Calibrated, from uncalibrated logits [N], in the graph's own arithmetic."""
    with torch.inference_mode():
        return net.probability(torch.from_numpy(raw)).numpy().astype(np.float64)


def calibrate(net: FraudNet, raw: NDArray[np.float64], rows: Rows, table: pa.Table, settings: Training) -> Threshold:
    """Fit the network's scale and shift on the calibration part, all of whose rows and logits are given.

    Returns the threshold that keeps the budget there.
    """
    is_fraud = rows.is_fraud()
    scale, shift = fit_platt(raw, is_fraud)
    net.scale.fill_(scale)
    net.shift.fill_(shift)
    return choose_threshold(settings, is_fraud, probabilities(net, raw), moments_us(table))


def _log_epoch(epoch: Epoch, log_metric: LogMetric) -> None:
    log_metric("train_loss", epoch.loss, epoch.number)
    log_metric("learning_rate", epoch.learning_rate, epoch.number)
    if epoch.validation_pr_auc is not None:
        log_metric("epoch_validation_pr_auc", epoch.validation_pr_auc, epoch.number)


def _record(fitted: Fitted, settings: Training, hardware: Hardware) -> dict[str, Any]:
    return {
        "settings": settings.model_dump(mode="json"),
        "precision": hardware.precision,
        "device": hardware.device.type,
        "threads": torch.get_num_threads(),
        "batch_size": fitted.history.batch_size,
        "rows_a_second": fitted.history.rows_a_second,
        "parameters": sum(weight.numel() for weight in fitted.net.parameters()),
        "history": [asdict(epoch) for epoch in fitted.history.epochs],
        "best_epoch": fitted.history.best,
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
    draw_pictures(folder, shown, fitted.history.epochs, fitted.history.best, fitted.importance)


def _flat(metrics: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    return {f"{part}_{name}": value for part, values in metrics.items() for name, value in values.items()}
