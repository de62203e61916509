"""Whether an NVIDIA driver, CUDA, torch's build and a card fit each other: faults told from facts alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

REINSTALL = "Remove .venv and run `make run`, which installs the lock that fits this machine."


class Fault(NamedTuple):
    found: str  # without a full stop
    mend: str  # a sentence


@dataclass(frozen=True)
class Card:
    name: str
    capability: tuple[int, int]  # CUDA's compute capability

    def __str__(self) -> str:
        return f"{self.name} (compute capability {self.capability[0]}.{self.capability[1]})"


def driver_fault(driver: str, driver_cuda: str, torch_cuda: str) -> Fault | None:
    """A driver runs every CUDA of its own major version and of older ones. `driver_cuda`: the newest it knows."""
    if version(driver_cuda)[0] >= version(torch_cuda)[0]:
        return None
    found = f"the NVIDIA driver {driver} knows CUDA up to {driver_cuda}, but torch is built for CUDA {torch_cuda}"
    return Fault(found, f"Install an NVIDIA driver for CUDA {torch_cuda} or later.")


def card_fault(card: Card, architectures: Sequence[str], driver_cuda: str, torch_cuda: str) -> Fault | None:
    """`architectures`: what torch has kernels for, such as sm_90 (machine code) and compute_90 (PTX).

    Machine code runs on cards of the same major capability and of an equal or larger minor one; PTX is compiled by
    the driver for any later card, if the driver is as new as the CUDA that wrote it.
    """
    compiles = version(driver_cuda) >= version(torch_cuda)
    if any(_runs(architecture, card.capability, compiles) for architecture in architectures):
        return None
    known = [_capability(architecture) for architecture in architectures]
    oldest, newest = (f"{edge[0]}.{edge[1]}" for edge in (min(known), max(known))) if known else ("none", "none")
    found = (
        f"the card {card} is one that the installed torch has no kernels for: "
        f"it is built for capabilities {oldest} to {newest} ({', '.join(architectures)})"
    )
    if any(_runs(architecture, card.capability, compiles=True) for architecture in architectures):
        return Fault(found, f"An NVIDIA driver for CUDA {torch_cuda} or later would compile them for this card.")
    age = "an older" if known and card.capability < min(known) else "a newer"
    return Fault(found, f"It needs {age} build of torch, or another card.")


def version(text: str) -> tuple[int, int]:
    """Major and minor number; (0, 0) of what has none."""
    match = re.match(r"(\d+)(?:\.(\d+))?", text)
    return (int(match[1]), int(match[2] or 0)) if match else (0, 0)


def _capability(architecture: str) -> tuple[int, int]:
    digits = re.sub(r"\D", "", architecture)
    return int(digits[:-1] or 0), int(digits[-1:] or 0)


def _runs(architecture: str, capability: tuple[int, int], compiles: bool) -> bool:
    built = _capability(architecture)
    if architecture.endswith("a"):  # for this very architecture
        return built == capability
    if architecture.startswith("compute_") and not architecture.endswith("f"):
        return compiles and built <= capability
    return built[0] == capability[0] and built[1] <= capability[1]
