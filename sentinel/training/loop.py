"""The training loop. It knows rows, a network and a judge; no files, no stages, no orchestrator.

Frauds are rare: an epoch has every fraud and freshly drawn genuine rows. Drawing a share r of the genuine rows
raises the odds of fraud by 1 / r, so the loss sees logit + log(1 / r) and the logit itself stays that of all rows.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim import AdamW
from torch.optim.lr_scheduler import OneCycleLR

from sentinel.config import Training
from sentinel.errors import TrainingFailed
from sentinel.model.network import FraudNet
from sentinel.model.row_dropout import RowKeys
from sentinel.progress import Progress, silent
from sentinel.training.hardware import Hardware
from sentinel.training.rows import Rows

LEAST_STEPS = 40  # an epoch: a small table gets smaller batches, or it would end before it has learned
LEAST_BATCH = 16

Judge = Callable[[FraudNet], float]  # larger is better


@dataclass(frozen=True)
class Epoch:
    number: int  # from 1
    loss: float
    validation_pr_auc: float | None
    learning_rate: float
    seconds: float


@dataclass(frozen=True)
class History:
    epochs: tuple[Epoch, ...]
    best: int  # number of the epoch whose weights were kept
    rows_a_second: float
    batch_size: int


class Draw:
    """The rows of an epoch: every fraud, and genuine ones drawn without replacement, in random order."""

    def __init__(self, labels: Tensor, genuine_per_fraud: int, seed: int) -> None:
        labels = labels.cpu()
        self.frauds, self.genuine = labels.nonzero().squeeze(1), (labels == 0).nonzero().squeeze(1)
        self.drawn = min(len(self.genuine), genuine_per_fraud * len(self.frauds))
        self.correction = math.log(len(self.genuine) / self.drawn)
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.frauds) + self.drawn

    def epoch(self) -> Tensor:
        chosen = torch.randperm(len(self.genuine), generator=self.generator)[: self.drawn]
        rows = torch.cat([self.frauds, self.genuine[chosen]])
        return rows[torch.randperm(len(rows), generator=self.generator)]


def train(
    net: FraudNet,
    rows: Rows,
    settings: Training,
    hardware: Hardware,
    judge: Judge | None,
    *,
    seed: int,
    progress: Progress = silent,
    finished: Callable[[Epoch], None] = lambda epoch: None,
) -> History:
    """Train `net` in place and leave it with the weights of its best epoch; without a judge, of the last.

    Raises TrainingFailed when the loss is no number.
    """
    draw = Draw(rows.labels, settings.genuine_per_fraud, seed)
    start_from_prior(net, rows.labels)
    optimizer = AdamW(net.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay)
    batch_size = min(settings.batch_size, max(LEAST_BATCH, len(draw) // LEAST_STEPS))
    steps = math.ceil(len(draw) / batch_size)
    schedule = OneCycleLR(optimizer, settings.learning_rate, total_steps=settings.epochs * steps)
    scaler = torch.GradScaler(hardware.device.type, enabled=hardware.scales_gradients)
    keys = RowKeys(net, seed, batch_size, hardware.device)
    epochs: list[Epoch] = []
    best, kept, spent = 0, copy.deepcopy(net.state_dict()), 0.0
    for number in range(1, settings.epochs + 1):
        progress(number - 1, settings.epochs, f"epoch {number} of {settings.epochs}")
        begun = time.perf_counter()
        net.train()
        loss = _epoch(net, rows, draw, batch_size, hardware, optimizer, schedule, scaler, keys)
        spent += time.perf_counter() - begun
        if not math.isfinite(loss):
            raise TrainingFailed(
                f"The loss became {loss} in epoch {number}. Lower training.learning_rate (now "
                f'{settings.learning_rate:g}) or set training.precision = "fp32" (now {hardware.precision}).'
            )
        score = judge(net) if judge else None
        epochs.append(Epoch(number, loss, score, float(schedule.get_last_lr()[0]), time.perf_counter() - begun))
        finished(epochs[-1])
        if score is None or best == 0 or score > (epochs[best - 1].validation_pr_auc or 0.0):
            best, kept = number, copy.deepcopy(net.state_dict())
        if number - best >= settings.patience:
            break
    net.load_state_dict(kept)
    net.eval()
    progress(settings.epochs, settings.epochs, "trained")
    return History(tuple(epochs), best, len(draw) * len(epochs) / spent, batch_size)


def start_from_prior(net: FraudNet, labels: Tensor) -> None:
    """The first answer is the fraud rate, so that no step is spent on finding it."""
    rate = float(labels.mean())
    last = net.layers[-1]
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        last.bias.fill_(math.log(rate / (1 - rate)))


def _epoch(
    net: FraudNet,
    rows: Rows,
    draw: Draw,
    batch_size: int,
    hardware: Hardware,
    optimizer: AdamW,
    schedule: OneCycleLR,
    scaler: torch.GradScaler,
    keys: RowKeys,
) -> float:
    """Mean loss of one epoch."""
    total = torch.zeros((), device=hardware.device)
    for batch in _batches(rows, draw.epoch().to(hardware.device), batch_size):
        keys.use(schedule.last_epoch, 0, len(batch))
        with hardware.autocast():
            answer = net.score(batch.derived, batch.categorical)
        loss = functional.binary_cross_entropy_with_logits(answer.float() + draw.correction, batch.labels)
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        schedule.step()
        total += loss.detach() * len(batch)
    return float(total) / len(draw)


def _batches(rows: Rows, positions: Tensor, size: int) -> Iterator[Rows]:
    for start in range(0, len(positions), size):
        yield rows.take(positions[start : start + size])
