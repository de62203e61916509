"""One process's training on its device: the loop, with all that watches it and all that is remembered of it."""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from sentinel.config import Training
from sentinel.metrics import pr_auc
from sentinel.model.network import FraudNet
from sentinel.progress import Progress, silent
from sentinel.training.data.rows import BLOCK, TrainingRows, network_logits
from sentinel.training.device.compiled import Compilation, choose_compile
from sentinel.training.device.hardware import Hardware
from sentinel.training.device.interruption import put_off
from sentinel.training.device.memory import MemoryWatch, limit_device
from sentinel.training.device.telemetry import LogMetric, combine, watched_cards
from sentinel.training.loop.checkpoint import Checkpoints
from sentinel.training.loop.draw import Draw
from sentinel.training.loop.loop import make_plan, train
from sentinel.training.loop.micro_batches import MicroBatches
from sentinel.training.loop.peers import ALONE, Peers
from sentinel.training.loop.position import Epoch, History
from sentinel.training.loop.probe import Probe

COMPILED, MICRO_BATCHES = "compiled.json", "micro_batches.json"  # in the folder of what is remembered

_log = logging.getLogger("sentinel.training")


@dataclass(frozen=True)
class Kept:
    """Where a training keeps what outlives its process.

    `remembered`: decisions for this card and model. `probe`: the stretch that can be repeated. `checkpoints`: of this
    training alone, which depends on `fingerprint`; `facts` (fit for JSON) lie in each checkpoint.
    """

    remembered: Path
    checkpoints: Path
    probe: Path
    fingerprint: Mapping[str, Any]
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Session:
    """What the training record says of a training besides its settings."""

    history: History
    compilation: Compilation
    processes: int
    pauses: int  # for a hot card
    paused_seconds: float


def train_on_device(
    net: FraudNet,
    rows: TrainingRows,
    judged: TrainingRows | None,
    settings: Training,
    hardware: Hardware,
    memory: MemoryWatch,
    kept: Kept,
    *,
    seed: int,
    peers: Peers = ALONE,
    progress: Progress = silent,
    log_metric: LogMetric | None = None,
) -> Session:
    """Train `net`, which is moved to the device, in place; `judged` chooses the best epoch. Raises TrainingFailed."""
    limit_device(settings, hardware.device)
    net.to(hardware.device)
    plan = make_plan(Draw(rows.labels, settings.genuine_per_fraud, seed), settings, seed)
    at_once = math.ceil(plan.batch_size / peers.world)
    batch = next(iter(rows.blocks(torch.arange(at_once), at_once)))
    kept.remembered.mkdir(parents=True, exist_ok=True)
    score, compilation = choose_compile(
        net, batch, plan.steps, settings.compile, hardware, kept.remembered / COMPILED, peers
    )
    fingerprint = {
        **kept.fingerprint,
        "hardware": hardware.describe(),
        "compiled": compilation.is_compiled,
        "processes": peers.world,
    }
    cards, log = range(peers.world) if hardware.is_cuda else (), log_metric if peers.is_first else None
    heated = watched_cards(cards, settings.pause_above_celsius, log, _log.warning)
    with heated as heat, put_off() as interrupted:
        history = train(
            net,
            rows,
            settings,
            hardware,
            _judge(judged) if judged else None,
            seed=seed,
            peers=peers,
            score=score,
            checkpoints=Checkpoints(kept.checkpoints, fingerprint, kept.facts),
            micro_batches=MicroBatches(kept.remembered / MICRO_BATCHES),
            probe=Probe(kept.probe),
            watch=combine(interrupted, memory, heat),
            progress=progress,
            finished=lambda epoch: _log_epoch(epoch, log_metric),
        )
    net.zero_grad(set_to_none=True)  # a copy of the weights that nobody needs any more
    return Session(history, compilation, peers.world, heat.pauses, heat.seconds)


def session_record(session: Session, hardware: Hardware) -> dict[str, Any]:
    """For the training record."""
    history = session.history
    return {
        "hardware": hardware.describe(),
        "processes": session.processes,
        "compilation": asdict(session.compilation),
        "batch_size": history.batch_size,
        "micro_batch": history.micro_batch,
        "rows_a_second": history.rows_a_second,
        "skipped_steps": list(history.skipped),
        "checkpoint_share": history.checkpoint_share,
        "resumed_at": history.resumed_at,
        "heat_pauses": session.pauses,
        "heat_paused_seconds": session.paused_seconds,
        "history": [asdict(epoch) for epoch in history.epochs],
        "best_epoch": history.best,
    }


def _judge(judged: TrainingRows) -> Callable[[FraudNet], float]:
    """By the network alone: the forest beside it does not change."""
    is_fraud, order = judged.labels.numpy() > 0, torch.arange(len(judged))
    return lambda net: pr_auc(is_fraud, network_logits(net, judged.blocks(order, BLOCK)))


def _log_epoch(epoch: Epoch, log_metric: LogMetric | None) -> None:
    if log_metric is None:
        return
    log_metric("train_loss", epoch.loss, epoch.number)
    log_metric("learning_rate", epoch.learning_rate, epoch.number)
    if epoch.validation_pr_auc is not None:
        log_metric("epoch_validation_pr_auc", epoch.validation_pr_auc, epoch.number)
