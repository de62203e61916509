"""One run of the training loop: where it stands, what it keeps of it, and when it ends.

Everything happens at the border of a step: checkpoints, pauses and ends.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import asdict
from typing import NoReturn

import torch
from torch import Tensor

from sentinel.config import Training
from sentinel.errors import SentinelError, TrainingFailed
from sentinel.model.network import FraudNet
from sentinel.training.data.rows import TrainingRows
from sentinel.training.loop.batches import Batches
from sentinel.training.loop.checkpoint import Checkpoint, Checkpoints
from sentinel.training.loop.draw import Draw
from sentinel.training.loop.not_finite import NotFinite, store_bad_batches
from sentinel.training.loop.optimizer import one_cycle
from sentinel.training.loop.position import Epoch, History, Position
from sentinel.training.loop.probe import Probe, make_recorder
from sentinel.training.loop.step import Batch, Outcome, Stepper, any_peer, constants_digest

READ_EVERY = 32  # steps whose outcomes are read from the device together
_NET, _BEST, _MOMENTS = "net.", "best.", "moments."

Judge = Callable[[FraudNet], float]  # larger is better

_log = logging.getLogger(__name__)


class TrainingRun:
    def __init__(
        self,
        rows: TrainingRows,
        settings: Training,
        draw: Draw,
        stepper: Stepper,
        judge: Judge | None,
        checkpoints: Checkpoints | None,
        probe: Probe | None,
        watch: Callable[[], None],
    ) -> None:
        self.settings, self.draw, self.stepper = settings, draw, stepper
        self.judge, self.checkpoints, self.watch = judge, checkpoints, watch
        self.net, self.plan, self.peers, self.score = stepper.net, stepper.plan, stepper.peers, stepper.score
        self.batches = Batches(rows, draw, stepper.plan, stepper.peers)
        self.position, self.resumed_at = Position(), None
        self.kept, self.constants = self._weights(), constants_digest(self.net)
        self.pending: list[tuple[int, int, Outcome]] = []  # number and rows of steps whose outcomes were not read yet
        self.begun = self.mark = time.perf_counter()
        sure_epochs = settings.epochs if judge is None else min(settings.epochs, 1 + settings.patience)
        self.recorder = make_recorder(probe, self.net, sure_epochs * self.plan.steps_an_epoch) if probe else None

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one of this training."""
        found = self.checkpoints.read() if self.checkpoints else None
        if self.checkpoints and self.peers.is_first:
            self.checkpoints.begin(sum(tensor.nbytes for tensor in self._tensors().values()))
        if found and self._fits(found):
            self._restore(found)
        elif self.recorder and self.peers.is_first:
            self.recorder.forget()

    def is_going(self) -> bool:
        last = self.position.epoch - 1
        has_patience = last - self.position.best < self.settings.patience
        return last < self.settings.epochs and has_patience

    def train_epoch(self) -> Epoch:
        """Train the rest of the present epoch and judge it. Raises TrainingFailed, after a checkpoint."""
        self.mark = time.perf_counter()
        self.net.train()
        with closing(self.batches.shares(self.position.epoch, self.position.step)) as batches:
            for batch in batches:
                self._look_after()
                self._step(batch)
                if len(self.pending) >= READ_EVERY:
                    self._read_outcomes()
                if self._is_due():
                    self._save()
        self._read_outcomes()
        if self.position.rows == 0:
            self._fail_not_finite()
        return self._end_epoch()

    def finish(self) -> History:
        """The network gets its best weights."""
        self._set_weights(self.kept)
        self.net.eval()
        self.stepper.keys.forget()
        position, spent = self.position, time.perf_counter() - self.begun
        return History(
            epochs=tuple(position.epochs),
            best=position.best,
            rows_a_second=len(self.draw) * len(position.epochs) / position.seconds,
            batch_size=self.plan.batch_size,
            micro_batch=self.stepper.micro_batch,
            skipped=tuple(position.skipped),
            checkpoint_share=self.checkpoints.seconds / spent if self.checkpoints else 0.0,
            resumed_at=self.resumed_at,
        )

    @property
    def number(self) -> int:
        """Of the next step, counted over the run from 0."""
        return (self.position.epoch - 1) * self.plan.steps_an_epoch + self.position.step

    def _step(self, batch: Batch) -> None:
        number = self.number
        if self.recorder:
            self.recorder.before(number, self.stepper)
            # the process that repeats the stretch does not compile
            self.stepper.score = self.net.network_logit if self.recorder.covers(number) else self.score
        self.pending.append((number, batch.size, self.stepper.step(number, batch)))
        self.position.step += 1
        if self.recorder and self.recorder.after(number, batch, self.stepper):
            stretch = range(self.recorder.first, self.recorder.last)
            self.recorder.keep(self.batches.rows_of(stretch), self.net)

    def _look_after(self) -> None:
        """Let `watch` wait or end the run: in every process, when it does in one."""
        error: SentinelError | None = None
        try:
            self.watch()
        except SentinelError as raised:
            error = raised
        if any_peer(self.peers, error is not None, self.stepper.hardware.device):
            self._save()
            raise error or TrainingFailed("Another process of this training had to end; its own message says why.")

    def _read_outcomes(self) -> None:
        """Wait for the device, count what the last steps came to. Raises NotFinite."""
        if not self.pending:
            return
        losses = torch.stack([outcome.loss for _, _, outcome in self.pending]).tolist()
        faults = torch.stack([outcome.is_faulty for _, _, outcome in self.pending]).tolist()
        for (number, size, _), loss, is_faulty in zip(self.pending, losses, faults, strict=True):
            if is_faulty:
                self.position.skipped.append(number)
            else:
                self.position.loss += loss * size
                self.position.rows += size
        self.pending.clear()
        now = time.perf_counter()
        self.position.spend(now - self.mark)
        self.mark = now
        if len(self.position.skipped) > self.settings.max_skipped_steps:
            self._fail_not_finite()

    def _end_epoch(self) -> Epoch:
        begun, position = time.perf_counter(), self.position
        score = self._judged() if self.judge else None
        epoch = Epoch(
            number=position.epoch,
            loss=position.loss / position.rows,
            validation_pr_auc=score,
            learning_rate=one_cycle(self.number - 1, self.plan.steps, self.plan.learning_rate)[0],
            seconds=position.epoch_seconds + time.perf_counter() - begun,
        )
        if position.is_better(score):
            position.best, self.kept = epoch.number, self._weights()
        position.end_epoch(epoch)
        if self._is_due():
            self._save()
        return epoch

    def _judged(self) -> float:
        """By the first process, for all: they end after the same epoch."""
        assert self.judge
        score = self.judge(self.net) if self.peers.is_first else 0.0
        if self.peers.world == 1:
            return score
        return float(self.peers.sum(torch.tensor(score, dtype=torch.float64, device=self.stepper.hardware.device)))

    def _fail_not_finite(self) -> NoReturn:
        batches = {number: rows.tolist() for number, rows in self.batches.positions(self.position.skipped).items()}
        folder = self.checkpoints.folder if self.checkpoints and self.peers.is_first else None
        file = store_bad_batches(folder, batches) if folder else None
        raise NotFinite(batches, self.position.epoch, self.settings, self.stepper.hardware.precision, file)

    def _is_due(self) -> bool:
        return self.peers.is_first and self.checkpoints is not None and self.checkpoints.is_due()

    def _save(self) -> None:
        if self.checkpoints is None:
            return
        self._read_outcomes()
        if self.peers.is_first:
            numbers = {
                "plan": asdict(self.plan),
                "constants": self.constants,
                "stepper": self.stepper.numbers(),
                "position": asdict(self.position),
                "probe": self.recorder.trace if self.recorder else [],
            }
            self.checkpoints.write(Checkpoint(self._tensors(), numbers))

    def _tensors(self) -> dict[str, Tensor]:
        parts = {_NET: dict(self.net.named_parameters()), _BEST: self.kept, _MOMENTS: self.stepper.moments()}
        return {prefix + name: tensor for prefix, part in parts.items() for name, tensor in part.items()}

    def _fits(self, found: Checkpoint) -> bool:
        """Whether it is of this network and plan, as its fingerprint should have said."""
        shapes = [{name: tensor.shape for name, tensor in part.items()} for part in (self._tensors(), found.tensors)]
        numbers = {"plan": asdict(self.plan), "constants": self.constants}
        fits = shapes[0] == shapes[1] and all(found.numbers[name] == value for name, value in numbers.items())
        if not fits:
            _log.warning("The checkpoint is of another network or plan: training begins anew.")
        return fits

    def _restore(self, found: Checkpoint) -> None:
        self._set_weights(_part(found.tensors, _NET))
        device = self.stepper.hardware.device
        self.kept = {name: tensor.to(device) for name, tensor in _part(found.tensors, _BEST).items()}
        self.stepper.restore(_part(found.tensors, _MOMENTS), found.numbers["stepper"])
        self.position = Position.from_dict(found.numbers["position"])
        if self.recorder:
            self.recorder.trace = list(found.numbers["probe"])
        self.resumed_at = self.number
        _log.info("Training goes on at step %d of %d.", self.number, self.plan.steps)

    def _weights(self) -> dict[str, Tensor]:
        return {name: weight.detach().clone() for name, weight in self.net.named_parameters()}

    def _set_weights(self, weights: Mapping[str, Tensor]) -> None:
        with torch.no_grad():
            for name, weight in self.net.named_parameters():
                weight.copy_(weights[name])


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Those under a prefix, by their names without it."""
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
