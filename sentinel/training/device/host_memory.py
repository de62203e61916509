"""How much memory there is: the machine's, or what the process's control groups (a container's limit) leave of it.

Read from /proc and /sys/fs/cgroup, version 1 and 2. The kernel gives back what only caches files, so that counts as
free: https://docs.kernel.org/admin-guide/cgroup-v2.html#memory
"""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC, CONTROL_GROUPS = Path("/proc"), Path("/sys/fs/cgroup")
_LIMIT = ("memory.max", "memory.limit_in_bytes")
_USED = ("memory.current", "memory.usage_in_bytes")
_CACHED = ("inactive_file", "active_file")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class HostMemory:
    """Bytes."""

    total: int
    available: int


def read_host_memory(proc: Path = PROC, control_groups: Path = CONTROL_GROUPS) -> HostMemory:
    """The tightest of the machine and the groups that this process is in."""
    machine = _numbers(proc / "meminfo")
    total, available = machine["MemTotal:"] * 1024, machine["MemAvailable:"] * 1024
    for group in _groups(proc, control_groups):
        limit, used = _first_number(group, _LIMIT), _first_number(group, _USED)
        if limit is not None and used is not None:
            total = min(total, limit)
            available = min(available, limit - used + _cached(group))
    return HostMemory(total, max(0, available))


def held() -> int:
    """Bytes of this process's own memory, without the pages of files that it maps: those the kernel can take back."""
    resident, of_files = map(int, (PROC / "self/statm").read_text().split()[1:3])
    return (resident - of_files) * _PAGE


def writable() -> int:
    """Bytes of memory that this process may write to, touched or not: what RLIMIT_DATA limits."""
    return _numbers(PROC / "self/status")["VmData:"] * 1024


def allow_to_map(file: Path) -> None:
    """Before safetensors maps `file`: RLIMIT_DATA counts that, though the kernel can take back what it only reads."""
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    if soft != resource.RLIM_INFINITY:
        wanted = soft + file.stat().st_size
        resource.setrlimit(
            resource.RLIMIT_DATA, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


def _groups(proc: Path, control_groups: Path) -> Iterator[Path]:
    """The folders of this process's groups and of those around them."""
    file = proc / "self/cgroup"
    for line in file.read_text().splitlines() if file.is_file() else ():
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        group = control_groups / controllers if controllers == "memory" else control_groups
        yield group
        for part in Path(path).parts[1:]:
            group /= part
            yield group


def _first_number(folder: Path, names: tuple[str, ...]) -> int | None:
    for name in names:
        if (folder / name).is_file():
            found = (folder / name).read_text().strip()
            return int(found) if found.isdigit() else None  # "max": no limit
    return None


def _cached(group: Path) -> int:
    """Version 1 counts the groups within in figures of their own, which begin with "total_"."""
    known = _numbers(group / "memory.stat")
    return sum(known.get(f"total_{name}", known.get(name, 0)) for name in _CACHED)


def _numbers(file: Path) -> dict[str, int]:
    """The first number of each line, by the word before it."""
    if not file.is_file():
        return {}
    words = (line.split() for line in file.read_text().splitlines())
    return {line[0]: int(line[1]) for line in words if len(line) > 1 and line[1].isdigit()}
