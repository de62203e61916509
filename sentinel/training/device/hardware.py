"""Where the arithmetic runs and how precisely: chosen once, recorded with the model."""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

import os
import re
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from sentinel.config import Training
from sentinel.errors import TrainingFailed
from sentinel.training.device.card import read_driver, require_card

_CPU_INFO = Path("/proc/cpuinfo")
_BF16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # the last: of an ARM CPU
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # cuBLAS sums in a fixed order only when its workspace is fixed


@dataclass(frozen=True)
class Hardware:
    device: torch.device
    precision: str  # fp32, bf16 or fp16
    reason: str = ""  # for the precision

    @contextmanager
    def autocast(self) -> Generator[None]:
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]
        with torch.autocast(self.device.type, dtype=dtype, enabled=self.precision != "fp32"):
            yield

    @property
    def scales_gradients(self) -> bool:
        """fp16 alone has so small a range that gradients vanish in it."""
        return self.precision == "fp16"

    @property
    def is_cuda(self) -> bool:
        return self.device.type == "cuda"

    @property
    def name(self) -> str:
        """Of the card, or of the CPU."""
        return torch.cuda.get_device_name(self.device) if self.is_cuda else _cpu_name()

    def describe(self) -> dict[str, Any]:
        """What a training record says of the machine."""
        capability = torch.cuda.get_device_capability(self.device) if self.is_cuda else None
        return {
            "device": str(self.device),
            "name": self.name,
            "compute_capability": f"{capability[0]}.{capability[1]}" if capability else None,
            "precision": self.precision,
            "precision_reason": self.reason,
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda if self.is_cuda else None,
            "driver": read_driver()[0] if self.is_cuda else None,
        }


def choose_hardware(settings: Training, index: int = 0) -> Hardware:
    """`index`: of the card, where several processes train together.

    Raises TrainingFailed when the config asks for what this machine has not, or its card would not compute.
    """
    require_card(settings.device, index)
    if settings.device == "cpu" or not torch.cuda.is_available():
        return Hardware(torch.device("cpu"), *_cpu_precision(settings.precision))
    device = torch.device("cuda", index)
    torch.cuda.set_device(device)
    return Hardware(device, *_card_precision(settings.precision, torch.cuda.get_device_capability(device)))


def _cpu_precision(asked: str) -> tuple[str, str]:
    """The precision, and the reason for it."""
    if asked == "fp16":
        raise TrainingFailed('training.precision "fp16" needs a GPU; on this CPU use "auto", "bf16" or "fp32".')
    if asked != "auto":
        return asked, "the config asks for it"
    if _cpu_has_bf16():
        return "bf16", "this CPU multiplies bf16"
    return "fp32", "this CPU does not multiply bf16"


def _card_precision(asked: str, capability: tuple[int, int]) -> tuple[str, str]:
    if asked != "auto":
        return asked, "the config asks for it"
    if capability >= (8, 0):
        return "bf16", "the card's tensor cores multiply bf16, which has the range of fp32"
    if capability >= (7, 0):
        return "fp16", "the card's tensor cores multiply fp16 and not bf16; gradients are scaled"
    return "fp32", "the card has no tensor cores"


@contextmanager
def deterministic(seed: int, is_enforced: bool = True) -> Generator[None]:
    """The same numbers in every run on the same machine; the caller's random state is left as it was.

    Not enforced, the seed is the same, and cuDNN may choose the kernels that it measures to be the fastest.
    """
    before, benchmark = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
    os.environ.setdefault(_CUBLAS, ":4096:8")
    with torch.random.fork_rng(devices=_random_devices(), device_type="cuda"):
        torch.manual_seed(seed)
        # its other name imports torch's compiler, for seconds
        torch.set_deterministic_debug_mode("error" if is_enforced else "default")
        torch.backends.cudnn.benchmark = not is_enforced
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(before)
            torch.backends.cudnn.benchmark = benchmark


def _random_devices() -> list[int]:
    """Without this torch would start every card of the machine, to ask for its random state."""
    return [torch.cuda.current_device()] if torch.cuda.is_initialized() else []


def _cpu_info(key: str) -> str:
    text = _CPU_INFO.read_text() if _CPU_INFO.is_file() else ""
    match = re.search(rf"^{key}\s*:\s*(.+)$", text, re.MULTILINE)
    return match[1] if match else ""


def _cpu_has_bf16() -> bool:
    return bool(_BF16_FLAGS & set(_cpu_info("(?:flags|Features)").split()))


def _cpu_name() -> str:
    return _cpu_info("model name") or "CPU"
