"""One run at a time per name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from flows.exclusive import one_run_at_a_time

HOLD = """
import sys, time
from pathlib import Path
from flows.exclusive import one_run_at_a_time
with one_run_at_a_time(Path(sys.argv[1]), "first", "a test", print):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def start_holder(lock: Path, seconds: float) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(lock), str(seconds)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_second_run_says_who_runs_and_waits(tmp_path: Path) -> None:
    lock = tmp_path / "locks" / "default.lock"
    lock.parent.mkdir()
    holder = start_holder(lock, 1.0)
    told: list[str] = []
    with one_run_at_a_time(lock, "second", "a test", told.append):
        assert holder.poll() is not None or holder.wait(timeout=5) == 0
    assert len(told) == 1
    assert f"process {holder.pid}" in told[0]
    assert "run first" in told[0]


def test_lock_of_a_killed_run_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "default.lock"
    holder = start_holder(lock, 60.0)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    told: list[str] = []
    started = time.monotonic()
    with one_run_at_a_time(lock, "second", "a test", told.append):
        assert time.monotonic() - started < 5
    assert told == []


def test_other_names_do_not_wait(tmp_path: Path) -> None:
    holder = start_holder(tmp_path / "one.lock", 60.0)
    told: list[str] = []
    with one_run_at_a_time(tmp_path / "two.lock", "second", "a test", told.append):
        assert told == []
    holder.kill()
    holder.wait()
