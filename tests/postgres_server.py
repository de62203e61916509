"""A PostgreSQL of Debian's for the tests: a cluster of its own in a folder, on a free port, ended by its process."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import psycopg2

_PATIENCE_S = 60
_FAST = ("fsync=off", "synchronous_commit=off", "full_page_writes=off", "shared_buffers=16MB", "max_connections=40")


@contextmanager
def postgres_server(folder: Path) -> Generator[str]:
    """Yield the address of its database; the password is asked for, as on any server."""
    programs = max(Path("/usr/lib/postgresql").glob("*/bin"))
    folder.mkdir(parents=True)
    data, secret = folder / "data", folder / "secret"
    secret.write_text("test pass")
    if os.getuid() == 0:  # it refuses root
        shutil.chown(folder, "postgres")
        shutil.chown(secret, "postgres")
        for parent in folder.parents:
            if parent.owner() == "root" and not parent.stat().st_mode & 0o1:
                parent.chmod(parent.stat().st_mode | 0o11)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", "sentinel", "-A", "scram-sha-256", "--no-sync"]
    subprocess.run(_as_postgres([*initdb, f"--pwfile={secret}"]), cwd=folder, check=True, capture_output=True)
    settings = [f"-c{setting}" for setting in (*_FAST, f"unix_socket_directories={folder}")]
    command = [str(programs / "postgres"), "-D", str(data), "-h", "127.0.0.1", "-p", str(port), *settings]
    url = f"postgresql://sentinel:test%20pass@127.0.0.1:{port}/postgres"
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(_as_postgres(command), cwd=folder, stdout=log, stderr=log)
    try:
        _wait_for(url, process, folder / "log")
        yield url
    finally:
        subprocess.run(
            _as_postgres([str(programs / "pg_ctl"), "-D", str(data), "-m", "fast", "stop"]),
            cwd=folder,
            check=False,
            capture_output=True,
        )
        process.wait(30)


def _as_postgres(command: list[str]) -> list[str]:
    return command if getpass.getuser() != "root" else ["runuser", "-u", "postgres", "--", *command]


def _wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up and process.poll() is None:
        try:
            psycopg2.connect(url).close()
            return
        except psycopg2.OperationalError:
            time.sleep(0.1)
    raise RuntimeError(f"PostgreSQL did not start:\n{log.read_text()[-2000:]}")
