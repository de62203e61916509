"""Prefect's API for a run on the command line when no server is named: a child process that dies with its parent.

Prefect's own temporary server outlives a killed parent, and its start cannot overlap with the imports.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from sentinel.errors import ServiceUnavailable
from sentinel.storage import require_free_disk

_START_TIMEOUT_S = 240.0  # on a busy machine; a server that ended is told at once
_BYTES_NEEDED = 50_000_000  # of its database; without room it answers every request with an error
_PR_SET_PDEATHSIG = 1
# A server that lives for one run schedules nothing and cleans nothing up.
_IDLE_SERVICES = (
    "SCHEDULER",
    "LATE_RUNS",
    "PAUSE_EXPIRATIONS",
    "CANCELLATION_CLEANUP",
    "FOREMAN",
    "TRIGGERS",
    "REPOSSESSOR",
)


class EmbeddedServer:
    """Start it early with `launch`; `address` waits until it answers."""

    def __init__(self, home: Path, log: Path) -> None:
        self._home = home
        self._log = log
        self._port = _free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def api_url(self) -> str:
        return f"http://127.0.0.1:{self._port}/api"

    def launch(self) -> None:
        """Start the process. Raises DiskFull when its database would have no room."""
        require_free_disk(self._home, _BYTES_NEEDED)
        for folder in (self._home, self._log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        settings = {f"PREFECT_SERVER_SERVICES_{name}_ENABLED": "false" for name in _IDLE_SERVICES}
        settings |= {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "uvicorn", "--factory", "prefect.server.api.server:create_app",
                 "--host", "127.0.0.1", "--port", str(self._port), "--log-level", "error"],
                env={**os.environ, **settings},
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=_die_with_parent,
                start_new_session=True,  # Ctrl-C is for the run, which then tells the server how it ended
            )  # fmt: skip

    def wait(self) -> None:
        """Return when the API answers. Raises ServiceUnavailable with the log's place when it does not."""
        assert self._process is not None, "launch first"
        until = time.monotonic() + _START_TIMEOUT_S
        while time.monotonic() < until and self._process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.api_url}/health", timeout=2):
                    return
            except (urllib.error.URLError, TimeoutError, ConnectionError):
                time.sleep(0.05)
        raise ServiceUnavailable(f"The embedded Prefect server did not start; its log is {self._log}.")

    def stop(self) -> None:
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _die_with_parent() -> None:
    """Linux: the kernel ends this process when its parent ends, however that happens."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
