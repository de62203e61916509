"""A small training that is killed: what a child process of test_resume runs."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file

from sentinel.config import Training
from sentinel.model.network import FraudNet
from sentinel.storage import write_json
from sentinel.training.data.rows import ResidentRows, Rows, logits
from sentinel.training.device.hardware import Hardware, deterministic
from sentinel.training.loop.checkpoint import Checkpoints
from sentinel.training.loop.loop import train
from sentinel.training.loop.peers import Peers
from sentinel.training.loop.probe import Probe
from sentinel.training.processes.group import LOOPBACK, process_group

SETTINGS = Training(seed=3, epochs=4, patience=2, batch_size=64, dropout=0.2, max_skipped_steps=5)
EVERY = 9  # steps between checkpoints: not a divisor of an epoch's
MEETING = "meeting"
CPU = Hardware(torch.device("cpu"), "fp32")


@dataclass(frozen=True)
class Killing:
    """Before the step or at the file operation of this number, by the process itself; None: not at all."""

    step: int | None = None
    file_operation: int | None = None


class Frequent(Checkpoints):
    """By counting, so that a test is not bound to the clock."""

    asked = 0

    def is_due(self) -> bool:
        self.asked += 1
        return self.asked % EVERY == 0


def store_inputs(folder: Path, net: FraudNet, rows: Rows) -> None:
    """What the children start from."""
    folder.mkdir()
    net.save(folder)
    save_file({"derived": rows.derived, "labels": rows.labels}, folder / "rows.safetensors")


def run(inputs: Path, home: Path, killing: Killing, rank: int = 0, world: int = 1) -> None:
    """Train in `home`, or train on; final.safetensors and history.json are there when it was not killed."""
    torch.set_num_threads(1)
    os.environ.update(LOOPBACK)
    with process_group(rank, world, CPU.device, home / MEETING) as peers:
        _train(inputs, home, killing, peers)


def _train(inputs: Path, home: Path, killing: Killing, peers: Peers) -> None:
    found = load_file(inputs / "rows.safetensors")
    rows = Rows(found["derived"], None, found["labels"])
    net = FraudNet.load(inputs)
    checkpoints = Frequent(home / "checkpoint", {"settings": SETTINGS.model_dump(mode="json")})
    if killing.file_operation is not None:
        _die_at_file_operation(home, killing.file_operation)
    with deterministic(SETTINGS.seed):
        history = train(
            net, ResidentRows(rows, CPU.device), SETTINGS, CPU, lambda candidate: _judge(candidate, rows),
            seed=SETTINGS.seed, peers=peers, checkpoints=checkpoints, probe=Probe(home / "probe"),
            watch=_die_at_step(killing.step), score=_with_a_bad_step(net),
        )  # fmt: skip
    if not peers.is_first:
        return
    epochs = [(epoch.number, epoch.loss, epoch.validation_pr_auc, epoch.learning_rate) for epoch in history.epochs]
    write_json(home / "history.json", {"epochs": epochs, "best": history.best, "skipped": history.skipped})
    save_file(net.state_dict(), home / "final.safetensors")


def _judge(net: FraudNet, rows: Rows) -> float:
    """Falls after some epochs, so that the best weights are not the last ones."""
    raw = torch.from_numpy(logits(net, rows))
    return float(-(raw.sigmoid().mean() - 0.06).abs())


def _with_a_bad_step(net: FraudNet) -> Callable[[torch.Tensor, torch.Tensor | None], torch.Tensor]:
    """A batch that holds a certain row has no finite loss."""

    def score(derived: torch.Tensor, categorical: torch.Tensor | None) -> torch.Tensor:
        known = net.score(derived, categorical)
        return known * torch.where(derived[:, 0] == -777.0, torch.inf, 1.0)

    return score


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_at_step(number: int | None) -> Callable[[], None]:
    steps = 0

    def watch() -> None:
        nonlocal steps
        if steps == number:
            _die()
        steps += 1

    return watch


def _die_at_file_operation(home: Path, number: int) -> None:
    """Opening, renaming and removing below `home` are told by Python before they happen."""
    seen = 0

    def hear(event: str, told: tuple[Any, ...]) -> None:
        nonlocal seen
        if event in ("open", "os.rename", "os.remove") and str(told[0]).startswith(str(home)):
            if seen == number:
                _die()
            seen += 1

    sys.addaudithook(hear)
