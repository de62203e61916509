"""How much memory training may take, and the watch that ends it in a sentence before the kernel ends it without one."""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager

import torch

from sentinel.config import Training
from sentinel.errors import TrainingFailed
from sentinel.training.device.host_memory import held, read_host_memory, writable

CHECK_SECONDS = 0.2
ROWS_SHARE = 0.5  # of the room, at most, for the rows; the network, its steps and the held-out parts need the rest
LIMIT_SHARE = 0.95
RESERVE_SHARE, LEAST_RESERVE, MOST_RESERVE = 0.05, 64_000_000, 512_000_000  # of the host's memory, left to others
DEVICE_RESERVE = 32_000_000  # bytes that the libraries of a step take besides torch's allocator
UNITS = {"MB": 10**6, "GB": 10**9}


def host_limit(settings: Training) -> int:
    """Bytes that training may take on the host, besides what the process held before it."""
    total = read_host_memory().total
    if settings.memory_limit is None:
        return total
    number, unit = settings.memory_limit[:-2], settings.memory_limit[-2:]
    return min(total, int(float(number) * UNITS[unit]))


def limit_device(settings: Training, device: torch.device) -> None:
    """On a GPU, let torch allocate no more than the config's fraction of its memory."""
    if device.type == "cuda":
        torch.cuda.set_per_process_memory_fraction(settings.device_memory_fraction, device)


def device_limit(settings: Training, device: torch.device) -> int:
    """Bytes of a GPU's memory that torch may allocate."""
    total = torch.cuda.mem_get_info(device)[1]
    return int(total * settings.device_memory_fraction)


class MemoryWatch:
    """What training has taken since this was made, and may still take. Called before every step, it costs nothing.

    Several `processes` that train one model on this host share its limit.
    """

    def __init__(self, settings: Training, device: torch.device, processes: int = 1) -> None:
        self.settings, self.device = settings, device
        self.processes = processes
        self.before = held()
        self.limit = host_limit(settings) // processes
        total = read_host_memory().total
        self.reserve = min(MOST_RESERVE, max(LEAST_RESERVE, int(RESERVE_SHARE * total)))
        self.next_check = 0.0
        self.most_data: int | None = None  # bytes, while `refusing`: what others than this limit

    def __call__(self) -> None:
        """Look at most every CHECK_SECONDS. Raises TrainingFailed when the host's or the device's memory runs out."""
        now = time.monotonic()
        if now >= self.next_check:
            self.next_check = now + CHECK_SECONDS
            self.check()

    def check(self) -> None:
        """Raises TrainingFailed."""
        self._require_limit()
        self._require_host()
        if self.device.type == "cuda":
            self._require_device()
        self._refuse()

    def room(self) -> int:
        """Bytes that training may still take on the host; of what is free there, a process's share."""
        free = (read_host_memory().available - self.reserve) // self.processes
        return max(0, min(self.limit - self._taken(), free))

    def device_room(self) -> int:
        """Bytes that torch may still allocate on the GPU."""
        allowed = device_limit(self.settings, self.device) - torch.cuda.memory_allocated(self.device)
        return max(0, min(allowed, torch.cuda.mem_get_info(self.device)[0] + _unused(self.device) - DEVICE_RESERVE))

    def fits(self, rows: int, derived: int, categorical: int) -> bool:
        """Whether so many rows, of so many derived features and codes, should lie where they are trained on."""
        room = self.device_room() if self.device.type == "cuda" else self.room()
        return rows * (4 * derived + 8 * categorical + 4) <= ROWS_SHARE * room

    @contextmanager
    def refusing(self) -> Generator[None]:
        """Within it, on the CPU, an allocation beyond the room fails as one on a GPU does, and can be answered.

        Linux would grant it, and kill the process when it is used. What is granted and not used yet counts, until
        `check` looks at the room again.
        """
        before = resource.getrlimit(resource.RLIMIT_DATA)
        if self.device.type == "cpu":
            self.most_data = min((each for each in before if each != resource.RLIM_INFINITY), default=sys.maxsize)
        try:
            self._refuse()
            yield
        finally:
            self.most_data = None
            resource.setrlimit(resource.RLIMIT_DATA, before)

    def _refuse(self) -> None:
        if self.most_data is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (min(self.most_data, writable() + self.room()), hard))

    def _taken(self) -> int:
        return held() - self.before

    def _require_limit(self) -> None:
        if self._taken() > LIMIT_SHARE * self.limit:
            raise TrainingFailed(
                f"Training has taken {_mb(self._taken())} of memory, and its limit is {_mb(self.limit)} "
                f"(training.memory_limit = {self.settings.memory_limit or 'not set: all of the host'}). It was ended "
                "before more was taken. Raise the limit, or lower training.batch_size, training.width or training.bins."
            )

    def _require_host(self) -> None:
        memory = read_host_memory()
        if memory.available < self.reserve:
            raise TrainingFailed(
                f"Only {_mb(memory.available)} of this host's {_mb(memory.total)} of memory are free (the limit of "
                f"its control group counts), and training has taken {_mb(self._taken())}. It was ended before the "
                "kernel would kill it. Free some memory, or set training.memory_limit below what is free: a table "
                "that does not fit is read from a file."
            )

    def _require_device(self) -> None:
        free = torch.cuda.mem_get_info(self.device)[0]
        if free + _unused(self.device) < DEVICE_RESERVE:
            raise TrainingFailed(
                f"Only {_mb(free)} of the memory of {torch.cuda.get_device_name(self.device)} are free. Training was "
                "ended before a library would fail for want of it. End what else uses the card (nvidia-smi names "
                "it), or lower training.device_memory_fraction."
            )


def _unused(device: torch.device) -> int:
    """Bytes that torch's allocator keeps and nothing lies in."""
    return torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)


def _mb(size: float) -> str:
    return f"{size / 1e6:,.0f} MB"
