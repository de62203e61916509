"""One run at a time per config name, whoever starts it: command line, schedule or UI.

The lock is the kernel's, on a file in the home folder: it is gone with its process, also after kill -9. It covers all
processes that share this home; two machines with homes of their own are kept apart by Prefect's concurrency limit.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path


@contextmanager
def one_run_at_a_time(lock: Path, run_id: str, started_by: str, tell: Callable[[str], None]) -> Iterator[None]:
    """Hold `lock` for the block. While another run holds it, tell who, and wait."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            tell(f"Another run of this name is going on ({_holder(lock)}); waiting for it to end.")
            fcntl.flock(file, fcntl.LOCK_EX)
        file.truncate(0)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        file.write(json.dumps({"run_id": run_id, "pid": os.getpid(), "started_by": started_by, "since": now}))
        file.flush()
        yield


def _holder(lock: Path) -> str:
    try:
        who = json.loads(lock.read_text())
    except (OSError, ValueError):
        return "it has just begun"
    return f"run {who['run_id']}, process {who['pid']}, started by {who['started_by']} at {who['since']}"
