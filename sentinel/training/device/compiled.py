"""torch.compile where it pays: measured at the start of a training, not assumed, and remembered.

A compiled network adds up in another order than an eager one. So that a training that was killed goes on to the same
bits, the decision is kept for this card, model, length and version of torch, and only batches of one size go through
the compiled network: which code a row meets does not depend on what was computed before.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import logging
import os
import shutil
import statistics
import sysconfig
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sentinel.errors import TrainingFailed
from sentinel.model.network import FraudNet
from sentinel.model.row_dropout import RowKeys
from sentinel.storage import sha256_json, write_json
from sentinel.training.data.rows import Rows
from sentinel.training.device.hardware import Hardware
from sentinel.training.device.out_of_memory import is_out_of_memory
from sentinel.training.loop.peers import ALONE, Peers
from sentinel.training.loop.step import Score

WORTH_TRYING_SECONDS = 180  # of eager steps: compiling takes up to a minute, which a short training never earns back
WARM_STEPS, MEASURED_STEPS = 3, 10

_log = logging.getLogger(__name__)


class CompilationError(Exception):
    """The network cannot be compiled on this machine, or what was compiled does not run; the message says why."""


@dataclass(frozen=True)
class Compilation:
    """What was decided, and why; part of the training record."""

    is_compiled: bool
    reason: str
    eager_step_ms: float | None = None  # forward and backward
    compiled_step_ms: float | None = None
    compile_seconds: float | None = None


def choose_compile(
    net: FraudNet,
    batch: Rows,
    steps: int,
    mode: str,
    hardware: Hardware,
    memory: Path,
    peers: Peers = ALONE,
) -> tuple[Score, Compilation]:
    """How `net` is to score batches as long as `batch`, which is on the device.

    `steps`: of the whole training, also where only some are left of it. `mode`: training.compile. `memory`: the JSON
    file of earlier decisions. Of several processes the first decides. With "on" a network that cannot be compiled
    raises TrainingFailed; with "auto" it runs eagerly, and that is said.
    """
    if mode == "off":
        return net.network_logit, Compilation(False, "the config says so")
    trial = Trial(net, batch, hardware)
    if mode == "on":
        return _compile_or_fail(trial)
    decided = _first_decides(trial, steps, memory, peers) if peers.is_first else None
    if not _is_agreed(decided, peers, hardware.device):
        return net.network_logit, decided or Compilation(False, "the first process decided so")
    return _compile_or_run_eagerly(trial, decided or Compilation(True, "the first process decided so"))


def is_worth_trying(eager_seconds: float, steps: int) -> bool:
    return eager_seconds * steps > WORTH_TRYING_SECONDS


def pays(eager_seconds: float, compiled_seconds: float, compile_seconds: float, steps: int) -> bool:
    """Seconds of a step either way, and once for compiling."""
    return eager_seconds * steps > compile_seconds + compiled_seconds * steps


class Trial:
    """Forward and backward passes over one batch, as training does them; they leave neither gradients nor keys."""

    def __init__(self, net: FraudNet, batch: Rows, hardware: Hardware) -> None:
        self.net, self.batch, self.hardware = net, batch, hardware
        self.compiled: FixedSize | None = None

    def compile(self) -> float:
        """Seconds of the first pass, in which the compiler runs. Raises CompilationError."""
        begun = time.perf_counter()
        with _one_process_compiles(), _failures_as_one():
            self.compiled = FixedSize(
                torch.compile(self.net.network_logit, dynamic=False), self.net.network_logit, len(self.batch)
            )
            self._passes(self.compiled, 1)
        return time.perf_counter() - begun

    def eager_seconds(self) -> float:
        return self._seconds(self.net.network_logit)

    def compiled_seconds(self) -> float:
        """Raises CompilationError: what was compiled may not run."""
        assert self.compiled is not None
        with _failures_as_one():
            return self._seconds(self.compiled)

    def _seconds(self, score: Score) -> float:
        self._passes(score, WARM_STEPS)
        return statistics.median(self._passes(score, MEASURED_STEPS))

    def _passes(self, score: Score, times: int) -> list[float]:
        was_training = self.net.training
        keys = RowKeys(self.net, 0, len(self.batch), self.hardware.device)
        self.net.train()
        try:
            keys.use(0, 0, len(self.batch))
            return [self._pass(score) for _ in range(times)]
        finally:
            keys.forget()
            self.net.zero_grad(set_to_none=True)
            self.net.train(was_training)

    def _pass(self, score: Score) -> float:
        begun = time.perf_counter()
        with self.hardware.autocast():
            answer = score(self.batch.derived, self.batch.categorical)
        answer.float().mean().backward()
        if self.hardware.is_cuda:
            torch.cuda.synchronize(self.hardware.device)
        return time.perf_counter() - begun


@dataclass(frozen=True)
class FixedSize:
    """Batches of `rows` rows go through `compiled`; others, such as an epoch's last, through `eager`."""

    compiled: Score
    eager: Score
    rows: int

    def __call__(self, derived: Tensor, categorical: Tensor | None = None) -> Tensor:
        return (self.compiled if len(derived) == self.rows else self.eager)(derived, categorical)


def missing_compiler(hardware: Hardware) -> str | None:
    """What torch.compile needs on this device and the machine lacks; None when it has all."""
    if not (Path(sysconfig.get_path("include")) / "Python.h").is_file():
        return "the headers of Python are not installed (python3-dev)"
    if hardware.is_cuda and find_spec("triton") is None:
        return "triton is not installed"
    if hardware.is_cuda:
        found = any(shutil.which(name) for name in (os.environ.get("CC", "gcc"), "clang"))
        return None if found else "there is no C compiler (gcc)"
    return None if shutil.which(os.environ.get("CXX", "g++")) else "there is no C++ compiler (g++)"


def _compile_or_fail(trial: Trial) -> tuple[Score, Compilation]:
    mend = 'Mend it, or set training.compile = "auto".'
    if lacking := missing_compiler(trial.hardware):
        raise TrainingFailed(f'training.compile is "on", and {lacking}. {mend}')
    try:
        seconds = trial.compile()
    except CompilationError as error:
        raise TrainingFailed(f'training.compile is "on", and {error}. {mend}') from error
    assert trial.compiled is not None
    return trial.compiled, Compilation(True, "the config says so", compile_seconds=seconds)


def _compile_or_run_eagerly(trial: Trial, decided: Compilation) -> tuple[Score, Compilation]:
    if trial.compiled is None:
        try:
            decided = replace(decided, compile_seconds=trial.compile())
        except CompilationError as error:
            reason = f"{decided.reason}, but now {error}"
            _log.warning("The network is not compiled: %s. The weights may differ in their last bits.", reason)
            return trial.net.network_logit, replace(decided, is_compiled=False, reason=reason)
    assert trial.compiled is not None
    return trial.compiled, decided


def _first_decides(trial: Trial, steps: int, memory: Path, peers: Peers) -> Compilation:
    key = decision_key(trial, steps, peers.world)
    known = _recall(memory, key)
    if known is not None:
        return known
    decided = decide(trial, steps)
    _log.info("Compiled: %s: %s.", "yes" if decided.is_compiled else "no", decided.reason)
    write_json(memory, _read(memory) | {key: asdict(decided)})
    return decided


def decide(trial: Trial, steps: int) -> Compilation:
    """Measure what it takes to know."""
    try:
        eager = trial.eager_seconds()
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return Compilation(False, "a whole batch does not fit into memory, and smaller ones change their size")
    known = Compilation(False, "", eager * 1000)
    if not is_worth_trying(eager, steps):
        return replace(
            known, reason=f"{steps} eager steps take about {eager * steps:.0f} s, too little to earn it back"
        )
    if lacking := missing_compiler(trial.hardware):
        return replace(known, reason=lacking)
    try:
        compile_seconds = trial.compile()
        compiled = trial.compiled_seconds()
    except CompilationError as error:
        trial.compiled = None
        return replace(known, reason=str(error))
    known = replace(known, compiled_step_ms=compiled * 1000, compile_seconds=compile_seconds)
    told = f"a compiled step takes {compiled / eager:.2f} of an eager one's time, compiling {compile_seconds:.0f} s"
    return replace(known, is_compiled=pays(eager, compiled, compile_seconds, steps), reason=told)


def decision_key(trial: Trial, steps: int, processes: int) -> str:
    """Whatever the measurement depends on; the sizes of the weights stand for the model."""
    shapes = {name: list(weight.shape) for name, weight in trial.net.named_parameters()}
    of = [trial.hardware.name, trial.hardware.precision, torch.__version__, f"{torch.get_num_threads()} threads"]
    of += [f"{processes} processes", f"{len(trial.batch)} rows", f"{steps} steps"]
    return " | ".join([*of, f"model {sha256_json([str(trial.net), shapes])[:16]}"])


def _recall(memory: Path, key: str) -> Compilation | None:
    try:
        return Compilation(**_read(memory)[key])
    except (KeyError, TypeError):
        return None


def _read(memory: Path) -> dict[str, Any]:
    """Nothing where the file is missing or damaged: then it is measured again."""
    try:
        found = json.loads(memory.read_text())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _is_agreed(decided: Compilation | None, peers: Peers, device: torch.device) -> bool:
    mine = bool(decided and decided.is_compiled)
    return bool(peers.sum(torch.tensor(float(mine), device=device))) if peers.world > 1 else mine


@contextmanager
def _failures_as_one() -> Generator[None]:
    """Raises CompilationError."""
    try:
        yield
    # Everything: dynamo, inductor, triton and the C++ compiler raise their own classes, OSError, subprocess's errors,
    # and from their own bugs any other; none is common to them. The network runs eagerly whatever it was.
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        raise CompilationError(f"torch.compile fails: {type(error).__name__}: {lines[0].rstrip('.')}") from error


@contextmanager
def _one_process_compiles() -> Generator[None]:
    """No helper processes that could outlive a killed training, no cache of pickles, and no kernels chosen by time."""
    import torch._functorch.config as functorch  # seconds, with what they import: only where it is tried
    import torch._inductor.config as inductor

    torch.compiler.reset()  # of the networks compiled before; it keeps few
    is_deterministic = torch.are_deterministic_algorithms_enabled()
    with (
        inductor.patch(compile_threads=1, fx_graph_cache=False, deterministic=is_deterministic),
        functorch.patch(enable_autograd_cache=False),
    ):
        yield
