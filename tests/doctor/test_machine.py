from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sentinel.doctor.machine import check_disk, check_git, check_home, check_processor, check_python
from sentinel.paths import Paths


@pytest.mark.parametrize(("version", "status"), [("3.11.7", "ok"), ("3.12.0", "problem"), ("3.1.1", "problem")])
def test_python_must_be_the_one_the_locks_are_for(version: str, status: str) -> None:
    assert check_python(version).status == status


def test_what_the_processor_offers_is_told(tmp_path: Path) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text("processor : 0\nflags : fpu avx512_vnni avx512_bf16\n")
    assert check_processor(cpuinfo).found == "INT8 by avx512_vnni; bf16 by avx512_bf16"
    cpuinfo.write_text("processor : 0\nflags : fpu avx2\n")
    assert check_processor(cpuinfo).found.startswith("no INT8 instructions")
    assert check_processor(tmp_path / "none").status == "ok"


def test_a_folder_without_a_commit_is_a_warning(tmp_path: Path) -> None:
    assert check_git(tmp_path).status == "warning"
    git = ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@example.org"]
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    assert check_git(tmp_path).status == "ok"


def test_a_home_that_can_be_written_is_left_as_it_was(tmp_path: Path) -> None:
    assert check_home(Paths(tmp_path, tmp_path / "a" / "b")).status == "ok"
    assert list(tmp_path.iterdir()) == []


def test_a_home_that_cannot_be_written_is_a_problem(tmp_path: Path) -> None:
    finding = check_home(Paths(tmp_path, Path("/proc/sentinel")))  # not even root can write there
    assert finding.status == "problem"
    assert "SENTINEL_HOME" in finding.mend


@pytest.mark.parametrize(("gigabytes", "status"), [(50, "ok"), (5, "warning"), (1, "problem")])
def test_room_on_the_disk_is_judged(tmp_path: Path, gigabytes: int, status: str) -> None:
    finding = check_disk(Paths(tmp_path, tmp_path / "home"), gigabytes * 10**9)
    assert (finding.status, finding.found.startswith(f"{gigabytes}.0 GB free")) == (status, True)
