"""The training loop. It knows rows, a network and a judge; no stages, no orchestrator.

Frauds are rare: an epoch has every fraud and freshly drawn genuine rows. Drawing a share r of the genuine rows
raises the odds of fraud by 1 / r, so the loss sees logit + log(1 / r) and the logit itself stays that of all rows.

Nothing is drawn from a generator's past: the order of an epoch and the dropout of a step are functions of their
numbers. A checkpoint is therefore whole without random states, and a resumed run ends with the same weights.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from sentinel.config import Training
from sentinel.model.network import FraudNet
from sentinel.progress import Progress, silent
from sentinel.training.data.rows import TrainingRows
from sentinel.training.device.hardware import Hardware
from sentinel.training.device.out_of_memory import out_of_memory_in_a_sentence
from sentinel.training.loop.checkpoint import Checkpoints
from sentinel.training.loop.draw import Draw
from sentinel.training.loop.micro_batches import MicroBatches, memory_key
from sentinel.training.loop.peers import ALONE, Peers
from sentinel.training.loop.position import Epoch, History
from sentinel.training.loop.probe import Probe
from sentinel.training.loop.run import Judge, TrainingRun
from sentinel.training.loop.step import Plan, Score, Stepper

LEAST_STEPS = 40  # an epoch: a small table gets smaller batches, or it would end before it has learned
LEAST_BATCH = 16


def no_watch() -> None:
    """For callers without limits to watch."""


def train(
    net: FraudNet,
    rows: TrainingRows,
    settings: Training,
    hardware: Hardware,
    judge: Judge | None,
    *,
    seed: int,
    peers: Peers = ALONE,
    score: Score | None = None,
    checkpoints: Checkpoints | None = None,
    micro_batches: MicroBatches | None = None,
    probe: Probe | None = None,
    watch: Callable[[], None] = no_watch,
    progress: Progress = silent,
    finished: Callable[[Epoch], None] = lambda epoch: None,
) -> History:
    """Train `net` in place and leave it with the weights of its best epoch; without a judge, of the last.

    `score` is net.network_logit where that was compiled. `watch` is called before every step; it may wait, or raise:
    then a checkpoint is written first. Of several processes the first alone judges, tells and writes: checkpoints and
    `probe`. Raises TrainingFailed when memory ends or, as NotFinite, when numbers do.
    """
    draw = Draw(rows.labels, settings.genuine_per_fraud, seed)
    plan = make_plan(draw, settings, seed)
    start_from_prior(net, rows.labels)
    key = memory_key(hardware, settings, sum(weight.numel() for weight in net.parameters()))
    known = micro_batches.get(key) if micro_batches else None
    with out_of_memory_in_a_sentence():
        at_once = _from_first(known or plan.batch_size, peers, hardware.device)
        stepper = Stepper(net, plan, hardware, peers, score, at_once)
        run = TrainingRun(rows, settings, draw, stepper, judge, checkpoints, probe, watch)
        run.resume()
        while run.is_going():
            _tell_epoch(progress, run.position.epoch, settings.epochs, peers)
            epoch = run.train_epoch()
            if peers.is_first:
                finished(epoch)
    if peers.is_first:
        if micro_batches and stepper.micro_batch < stepper.share:
            micro_batches.remember(key, stepper.micro_batch)
        progress(settings.epochs, settings.epochs, "trained")
    return run.finish()


def make_plan(draw: Draw, settings: Training, seed: int) -> Plan:
    batch_size = min(settings.batch_size, max(LEAST_BATCH, len(draw) // LEAST_STEPS))
    an_epoch = math.ceil(len(draw) / batch_size)
    return Plan(
        seed=seed,
        batch_size=batch_size,
        steps_an_epoch=an_epoch,
        steps=settings.epochs * an_epoch,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        correction=draw.correction,
    )


def start_from_prior(net: FraudNet, labels: Tensor) -> None:
    """The first answer is the fraud rate, so that no step is spent on finding it."""
    rate = float(labels.mean())
    last = net.layers[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias.fill_(math.log(rate / (1 - rate)))


def _from_first(number: int, peers: Peers, device: torch.device) -> int:
    """The first process's number, in all of them."""
    if peers.world == 1:
        return number
    return int(peers.sum(torch.tensor(float(number if peers.is_first else 0), dtype=torch.float64, device=device)))


def _tell_epoch(progress: Progress, number: int, epochs: int, peers: Peers) -> None:
    if peers.is_first:
        progress(number - 1, epochs, f"epoch {number} of {epochs}")
