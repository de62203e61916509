"""Before training: driver, CUDA, torch and card are checked against each other.

What does not fit ends in a sentence here, and not in "invalid device function" at the first step.
"""

# torch and nvidia-ml-py type many of their functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportMissingImports=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from sentinel.errors import TrainingFailed
from sentinel.gpu import REINSTALL, Card, Fault, card_fault, driver_fault

_log = logging.getLogger(__name__)
_CARDS = Path("/proc/driver/nvidia/gpus")  # a folder a card, whether or not it is visible to this process
_HIDDEN_ON_PURPOSE = ("", "-1", "NoDevFiles")


@dataclass(frozen=True)
class Facts:
    """What the machine says of its GPUs. None: it does not say."""

    torch: str
    torch_cuda: str | None = None  # that torch is built for; None: for the CPU
    driver: str | None = None
    driver_cuda: str | None = None  # the newest it runs
    visible: str | None = None  # CUDA_VISIBLE_DEVICES
    cards_present: int = 0
    cards: tuple[Card, ...] = ()  # that torch sees
    architectures: tuple[str, ...] = ()  # that torch has kernels for
    error: str | None = None  # of the driver, of CUDA's start, or of a small computation on the card


def require_card(device: str, index: int = 0) -> None:
    """`device`: training.device. Raises TrainingFailed when card `index` would fail in training.

    With "auto" a machine where torch sees no card trains on its CPU, and it is said if the machine has one.
    """
    if device == "cpu":
        return
    facts = read_card(index)
    fault = find_fault(facts, index)
    if fault is None:
        return
    sentence = f"{fault.found[:1].upper()}{fault.found[1:]}. {fault.mend}"
    if device == "cuda" or facts.cards:
        raise TrainingFailed(f'{sentence} Or set training.device = "cpu".')
    if facts.torch_cuda and facts.cards_present and facts.visible not in _HIDDEN_ON_PURPOSE:
        _log.warning("%s The CPU does the work.", sentence)


def find_fault(facts: Facts, index: int = 0) -> Fault | None:
    """The first thing that keeps card `index` from training."""
    none = "there is no GPU for training"
    if facts.torch_cuda is None:
        return Fault(f"{none}: the installed torch {facts.torch} is built for the CPU", REINSTALL)
    if not facts.cards and facts.visible in _HIDDEN_ON_PURPOSE:
        found = f"{none}: CUDA_VISIBLE_DEVICES={facts.visible!r} hides every card"
        return Fault(found, "Unset it, or name a card in it.")
    if not facts.cards and facts.driver_cuda is None:
        found = f"{none}: the NVIDIA driver does not answer ({facts.error or 'no reason given'})"
        return Fault(found, "Install the driver, or restart the machine after an update of it.")
    driver_cuda = facts.driver_cuda or facts.torch_cuda  # a driver that is silent, and whose cards torch sees
    if fault := driver_fault(facts.driver or "?", driver_cuda, facts.torch_cuda):
        return fault
    if index >= len(facts.cards):
        return _unseen(facts, index)
    if fault := card_fault(facts.cards[index], facts.architectures, driver_cuda, facts.torch_cuda):
        return fault
    if facts.error:
        found = f"the card {facts.cards[index]} fails at a small computation: {facts.error}"
        return Fault(found, "Look at `nvidia-smi`: is it full, held by another process, or in need of a reset?")
    return None


def _unseen(facts: Facts, index: int) -> Fault:
    seen = f"the machine has {facts.cards_present} cards and torch sees {len(facts.cards)}, so there is no GPU {index}"
    if facts.visible is not None:
        mend = "Name cards in it that the machine has, or unset it."
        return Fault(f"{seen}: CUDA_VISIBLE_DEVICES={facts.visible!r}", mend)
    reason = f": {facts.error}" if facts.error else ""
    return Fault(f"{seen}{reason}", "Look at `nvidia-smi`, then restart the machine or mend the driver.")


def read_card(index: int = 0) -> Facts:
    """The facts of this process. A small computation is tried only where everything else fits."""
    facts = Facts(torch.__version__, torch.version.cuda)
    if facts.torch_cuda is None:
        return facts
    present = len(list(_CARDS.iterdir())) if _CARDS.is_dir() else 0
    facts = replace(facts, visible=os.environ.get("CUDA_VISIBLE_DEVICES"), cards_present=present)
    facts = _with_driver(_with_cards(facts))
    if find_fault(facts, index) is None:
        return replace(facts, error=try_card(torch.device("cuda", index)))
    return facts


def try_card(device: torch.device) -> str | None:
    """The error of a small computation, in a line; None when its answer is right."""
    try:
        numbers = torch.arange(64, dtype=torch.float32, device=device).reshape(8, 8)
        trace = float((numbers @ torch.eye(8, device=device)).relu().trace())
    except RuntimeError as error:  # CUDA's own errors are of this class
        return _first_line(error)
    return None if trace == 252 else f"the trace of a matrix is {trace:g}, and should be 252"


def _with_cards(facts: Facts) -> Facts:
    if not torch.cuda.is_available():
        return facts
    try:
        cards = [
            Card(torch.cuda.get_device_name(at), torch.cuda.get_device_capability(at))
            for at in range(torch.cuda.device_count())
        ]
    except RuntimeError as error:
        return replace(facts, error=_first_line(error))
    return replace(facts, cards=tuple(cards), architectures=tuple(torch.cuda.get_arch_list()))


def _with_driver(facts: Facts) -> Facts:
    driver, driver_cuda, error = read_driver()
    if driver is None and facts.cards:  # a container may have CUDA's part of the driver without this one
        return facts
    return replace(facts, driver=driver, driver_cuda=driver_cuda, error=facts.error or error)


def read_driver() -> tuple[str | None, str | None, str | None]:
    """Version of the NVIDIA driver, the newest CUDA it runs, and the reason why it says neither."""
    try:
        import pynvml  # of the GPU lock
    except ImportError as error:
        return None, None, _first_line(error)
    try:
        pynvml.nvmlInit()
        newest = int(pynvml.nvmlSystemGetCudaDriverVersion_v2())
        return str(pynvml.nvmlSystemGetDriverVersion()), f"{newest // 1000}.{newest % 1000 // 10}", None
    except pynvml.NVMLError as error:
        return None, None, _first_line(error)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
