"""One step of the optimizer over one batch: the only code that moves weights, in training and when it is replayed.

A batch is cut into micro-batches that fit into memory, whose gradients are summed; several processes take a share of
it each. Neither changes what is computed, up to the order of sums.

A step whose loss or gradient is not finite leaves weights and moments as they are; the schedule, which is a function
of the step's number, goes on. The decision is made on the device: nothing waits for it.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from sentinel.model.network import FraudNet
from sentinel.model.row_dropout import RowKeys
from sentinel.training.data.rows import Rows
from sentinel.training.device.hardware import Hardware
from sentinel.training.device.out_of_memory import does_not_fit, is_out_of_memory, what_was_refused
from sentinel.training.loop.optimizer import AdamW, one_cycle
from sentinel.training.loop.peers import ALONE, Peers

# derived float32 [N, D], categorical int64 [N, C] or None -> logits [N] or [N, members], each learning by itself
Score = Callable[[Tensor, Tensor | None], Tensor]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Plan:
    """What every step of a run needs to know."""

    seed: int
    batch_size: int  # rows, over all processes
    steps_an_epoch: int
    steps: int  # of the whole run
    learning_rate: float
    weight_decay: float
    correction: float  # log of the odds that drawing has multiplied


@dataclass(frozen=True)
class Batch:
    """This process's share of a batch: None when it has no rows of it."""

    rows: Rows | None
    begin: int  # the position of its first row
    size: int  # rows of the whole batch

    def __len__(self) -> int:
        return 0 if self.rows is None else len(self.rows)


@dataclass(frozen=True)
class Outcome:
    """Of a step, on the device: the mean loss over the batch, and whether loss or gradient were not finite."""

    loss: Tensor  # float32 []
    is_faulty: Tensor  # bool []


class Stepper:
    def __init__(
        self,
        net: FraudNet,
        plan: Plan,
        hardware: Hardware,
        peers: Peers = ALONE,
        score: Score | None = None,
        micro_batch: int | None = None,
    ) -> None:
        self.net, self.plan, self.hardware, self.peers = net, plan, hardware, peers
        self.score = score or net.network_logit
        self.share = math.ceil(plan.batch_size / peers.world)  # rows, at most, of a process
        self.micro_batch = min(micro_batch or self.share, self.share)
        self.weights = list(net.parameters())
        self.optimizer = AdamW(self.weights, plan.weight_decay)
        self.scaler = torch.GradScaler(hardware.device.type, enabled=hardware.scales_gradients)
        self.keys = RowKeys(net, plan.seed, plan.batch_size, hardware.device)
        self.one = torch.ones((), device=hardware.device)

    def step(self, number: int, batch: Batch) -> Outcome:
        """`number` counts the steps of the run from 0. Raises TrainingFailed when one row is too much for memory."""
        loss = self._gradients(number, batch)
        self.scaler.unscale_(cast("Optimizer", self.optimizer))
        norm = get_total_norm([weight.grad for weight in self.weights if weight.grad is not None])
        is_lost = ~loss.isfinite()
        is_skipped = is_lost | ~norm.isfinite()
        # fp16 overflows while its scale is sought, which lowers the scale: a fault only once that cannot help
        is_faulty = is_skipped & (is_lost | (self.scaler.scale(self.one) <= 1))
        self.optimizer.step(*one_cycle(number, self.plan.steps, self.plan.learning_rate), is_skipped.float())
        self.scaler.update()
        return Outcome(loss, is_faulty)

    def moments(self) -> dict[str, Tensor]:
        """The optimizer's tensors."""
        columns = {"first": self.optimizer.first, "second": self.optimizer.second, "steps": self.optimizer.steps}
        names = [name for name, _ in self.net.named_parameters()]
        return {f"{name}.{key}": column[place] for key, column in columns.items() for place, name in enumerate(names)}

    def numbers(self) -> dict[str, Any]:
        """All else that steps depend on, besides the weights and their own numbers: fit for JSON."""
        return {"scaler": self.scaler.state_dict(), "micro_batch": self.micro_batch}

    def restore(self, moments: Mapping[str, Tensor], numbers: Mapping[str, Any]) -> None:
        """Raises KeyError or RuntimeError when they are another network's."""
        for name, tensor in self.moments().items():
            tensor.copy_(moments[name])
        self.scaler.load_state_dict(numbers["scaler"])
        self.micro_batch = int(numbers["micro_batch"])

    def _gradients(self, number: int, batch: Batch) -> Tensor:
        """Leave the whole batch's gradient in the weights; its mean loss [] is returned."""
        while True:
            self._clear()
            loss, failure = self._try_to_accumulate(number, batch)
            if not any_peer(self.peers, failure is not None, self.hardware.device):
                break
            self._halve(failure or "another process ran out of memory")
        self.peers.sum_gradients(self.weights)
        return self.peers.sum(loss)

    def _clear(self) -> None:
        self.optimizer.clear()
        if self.peers.world > 1:  # one without rows takes part in the sum
            for weight in self.weights:
                weight.grad = torch.zeros_like(weight)

    def _try_to_accumulate(self, number: int, batch: Batch) -> tuple[Tensor, str | None]:
        """The loss of this process's share, and what was said when memory ran out.

        Not the exception itself: it would keep what fills the memory.
        """
        try:
            return self._accumulate(number, batch), None
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            return torch.zeros((), device=self.hardware.device), what_was_refused(error)

    def _accumulate(self, number: int, batch: Batch) -> Tensor:
        total = torch.zeros((), device=self.hardware.device)
        for begin in range(0, len(batch), self.micro_batch):
            rows = _part(cast("Rows", batch.rows), begin, begin + self.micro_batch)
            first = batch.begin + begin
            self.keys.use(number, first, first + len(rows))
            with self.hardware.autocast():
                answer = self.score(rows.derived, rows.categorical)
            loss = _summed_loss(answer.float() + self.plan.correction, rows.labels) / batch.size
            self.scaler.scale(loss).backward()
            total += loss.detach()
        return total

    def _halve(self, failure: str) -> None:
        """Raises TrainingFailed when there is nothing to halve."""
        if self.micro_batch == 1:
            raise does_not_fit(failure, ", not even one row at a time")
        self.micro_batch //= 2
        self.optimizer.clear()
        if self.hardware.is_cuda:
            torch.cuda.empty_cache()
        _log.warning(
            "Memory ran out (%s): %d rows go through the network at once from now on; the batch stays %d.",
            failure, self.micro_batch, self.plan.batch_size,
        )  # fmt: skip


def run_steps(stepper: Stepper, first: int, batches: Iterable[Batch]) -> Iterator[str]:
    """The sha256 of the weights after each of the steps numbered from `first`."""
    stepper.net.train()
    for number, batch in enumerate(batches, first):
        stepper.step(number, batch)
        yield weights_digest(stepper.net)


def weights_digest(net: FraudNet) -> str:
    """sha256 of the weights' names and bytes."""
    return _digest(net.named_parameters())


def constants_digest(net: FraudNet) -> str:
    """sha256 of what training leaves as it is: bins, scales, trees."""
    return _digest(net.named_buffers())


def any_peer(peers: Peers, flag: bool, device: torch.device) -> bool:
    """Whether `flag` is set in any of the processes."""
    if peers.world == 1:
        return flag
    return bool(peers.sum(torch.tensor(float(flag), device=device)))


def _digest(tensors: Iterable[tuple[str, Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _part(rows: Rows, begin: int, end: int) -> Rows:
    """A view of a stretch of rows."""
    categorical = None if rows.categorical is None else rows.categorical[begin:end]
    return Rows(rows.derived[begin:end], categorical, rows.labels[begin:end])


def _summed_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Of logits [N] or [N, members]: summed over the rows, the mean over the members."""
    aligned = labels.view(-1, *(1 for _ in logits.shape[1:])).expand_as(logits)
    summed = functional.binary_cross_entropy_with_logits(logits, aligned, reduction="sum")
    return summed * (len(labels) / logits.numel())
