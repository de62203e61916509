"""Where the arithmetic runs and how precisely: chosen once, recorded with the model."""

# pyright: reportUnknownMemberType=false

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch

from sentinel.config import Training
from sentinel.errors import TrainingFailed

_CPU_FLAGS = Path("/proc/cpuinfo")
_BF16_FLAGS = ("avx512_bf16", "amx_bf16")
_CUBLAS = "CUBLAS_WORKSPACE_CONFIG"  # cuBLAS sums in a fixed order only when its workspace is fixed


@dataclass(frozen=True)
class Hardware:
    device: torch.device
    precision: str  # fp32, bf16 or fp16

    @contextmanager
    def autocast(self) -> Generator[None]:
        dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[self.precision]
        with torch.autocast(self.device.type, dtype=dtype, enabled=self.precision != "fp32"):
            yield

    @property
    def scales_gradients(self) -> bool:
        """fp16 alone has so small a range that gradients vanish in it."""
        return self.precision == "fp16"


def choose_hardware(settings: Training) -> Hardware:
    """Raises TrainingFailed when the config asks for what this machine has not."""
    has_cuda = torch.cuda.is_available()
    if settings.device == "cuda" and not has_cuda:
        raise TrainingFailed('training.device is "cuda", and torch sees no GPU. Set it to "auto", or mend the driver.')
    device = torch.device("cuda" if has_cuda and settings.device != "cpu" else "cpu")
    if settings.precision != "auto":
        if settings.precision == "fp16" and device.type == "cpu":
            raise TrainingFailed('training.precision "fp16" needs a GPU; on this CPU use "auto", "bf16" or "fp32".')
        return Hardware(device, settings.precision)
    if device.type == "cuda":
        return Hardware(device, "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16")
    return Hardware(device, "bf16" if _cpu_has_bf16() else "fp32")


@contextmanager
def deterministic(seed: int) -> Generator[None]:
    """The same numbers in every run on the same machine; the caller's random state is left as it was."""
    before = torch.get_deterministic_debug_mode()
    os.environ.setdefault(_CUBLAS, ":4096:8")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        torch.set_deterministic_debug_mode("error")  # its other name imports torch's compiler, for seconds
        try:
            yield
        finally:
            torch.set_deterministic_debug_mode(before)


def _cpu_has_bf16() -> bool:
    flags = _CPU_FLAGS.read_text() if _CPU_FLAGS.is_file() else ""
    return any(flag in flags for flag in _BF16_FLAGS)
