"""How much memory there is, read from trees of files as the kernel lays them out."""

from __future__ import annotations

import mmap
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from sentinel.config import Training
from sentinel.training.device.host_memory import HostMemory, held, read_host_memory, writable
from sentinel.training.device.memory import MemoryWatch
from sentinel.training.loop.checkpoint import Checkpoint, Checkpoints
from tests.fresh_process import in_a_fresh_process

MACHINE = HostMemory(16_000_000 * 1024, 9_000_000 * 1024)
MB = 1_000_000


@pytest.fixture
def proc(tmp_path: Path) -> Path:
    folder = tmp_path / "proc"
    (folder / "self").mkdir(parents=True)
    (folder / "meminfo").write_text(
        "MemTotal:       16000000 kB\nMemFree:         1000000 kB\nMemAvailable:    9000000 kB\n"
    )
    return folder


def group(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content + "\n")


def test_without_groups_it_is_the_machine(proc: Path, tmp_path: Path) -> None:
    assert read_host_memory(proc, tmp_path / "none") == MACHINE


def test_container_sees_its_limit_at_the_root_of_version_2(proc: Path, tmp_path: Path) -> None:
    (proc / "self/cgroup").write_text("0::/\n")
    group(
        tmp_path / "cgroup",
        memory__max=f"{4000 * MB}",
        memory__current=f"{3000 * MB}",
        memory__stat=f"anon {1800 * MB}\ninactive_file {700 * MB}\nactive_file {300 * MB}\nfile {1000 * MB}",
    )
    assert read_host_memory(proc, tmp_path / "cgroup") == HostMemory(4000 * MB, 2000 * MB)


def test_tightest_of_the_groups_around_the_process_counts(proc: Path, tmp_path: Path) -> None:
    (proc / "self/cgroup").write_text("0::/user/job\n")
    root = tmp_path / "cgroup"
    group(root / "user", memory__max=f"{2000 * MB}", memory__current=f"{1900 * MB}", memory__stat="inactive_file 0")
    group(root / "user/job", memory__max="max", memory__current=f"{500 * MB}", memory__stat="inactive_file 0")
    assert read_host_memory(proc, root) == HostMemory(2000 * MB, 100 * MB)


def test_version_1_counts_the_groups_within(proc: Path, tmp_path: Path) -> None:
    (proc / "self/cgroup").write_text("5:cpu,cpuacct:/other\n4:memory:/job\n0::/\n")
    job = tmp_path / "cgroup/memory/job"
    group(tmp_path / "cgroup/memory", memory__limit_in_bytes="9223372036854771712", memory__usage_in_bytes="77")
    group(
        job,
        memory__limit_in_bytes=f"{1000 * MB}",
        memory__usage_in_bytes=f"{900 * MB}",
        memory__stat=f"inactive_file 5\nactive_file 5\ntotal_inactive_file {200 * MB}\ntotal_active_file {100 * MB}",
    )
    assert read_host_memory(proc, tmp_path / "cgroup") == HostMemory(1000 * MB, 400 * MB)


def test_version_1_in_a_container_that_is_shown_the_hosts_path(proc: Path, tmp_path: Path) -> None:
    (proc / "self/cgroup").write_text("4:memory:/docker/0123abc\n")
    group(tmp_path / "cgroup/memory", memory__limit_in_bytes=f"{1000 * MB}", memory__usage_in_bytes=f"{1100 * MB}")
    assert read_host_memory(proc, tmp_path / "cgroup") == HostMemory(1000 * MB, 0)


def test_this_machine_has_what_psutil_says_at_most() -> None:
    found = read_host_memory()
    assert 0 < found.available <= found.total <= psutil.virtual_memory().total


def test_held_memory_grows_with_what_is_written_not_with_files_that_are_mapped(tmp_path: Path) -> None:
    in_a_fresh_process(_hold, tmp_path)  # one whose heap has no room left over


def _hold(tmp_path: Path) -> None:
    size = 64 * MB
    (tmp_path / "file").write_bytes(bytes(size))
    before = held()
    with (tmp_path / "file").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert not np.frombuffer(mapped, np.uint8).any()
        assert held() - before < size / 4
    kept, could_be_written = np.ones(size, np.uint8), writable()
    assert held() - before > size * 0.9
    assert could_be_written > held() > kept.nbytes


def _read_a_checkpoint(folder: Path) -> None:
    written = {"weights": torch.ones(15_000_000)}
    Checkpoints(folder, {}).write(Checkpoint(written, {}))
    settings = Training(memory_limit="100MB")
    del written["weights"]
    with MemoryWatch(settings, torch.device("cpu")).refusing():
        kept = torch.ones(12_000_000)
        found = Checkpoints(folder, {}).read()
    assert found is not None and found.tensors["weights"].sum() == 15_000_000 and kept.sum() == 12_000_000


def test_checkpoint_is_read_where_the_memory_has_room_for_one_copy(tmp_path: Path) -> None:
    in_a_fresh_process(_read_a_checkpoint, tmp_path)
