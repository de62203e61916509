"""The Prefect API of a run on the command line: it outlives Ctrl-C, and not its parent."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from flows.embedded_server import EmbeddedServer
from sentinel.errors import DiskFull
from tests.conftest import ROOT

PARENT = """
import sys, time
from pathlib import Path
from flows.embedded_server import EmbeddedServer
home = Path(sys.argv[1])
server = EmbeddedServer(home / "prefect", home / "server.log")
server.launch()
server.wait()
try:
    print(server.api_url, flush=True)  # inside: the signal may come as soon as the line is read
    time.sleep(60)
except KeyboardInterrupt:
    print("interrupted", flush=True)
time.sleep(60)
"""


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5):
            return True
    except urllib.error.URLError:
        return False


def test_server_outlives_ctrl_c_and_ends_with_its_parent(tmp_path: Path) -> None:
    environment = {**os.environ, "PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", PARENT, str(tmp_path)]
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True
    ) as parent:
        assert parent.stdout is not None
        url = parent.stdout.readline().strip()
        os.killpg(parent.pid, signal.SIGINT)  # as a terminal does
        assert parent.stdout.readline() == "interrupted\n"
        time.sleep(1)
        assert answers(url)
        parent.kill()
    until = time.monotonic() + 20
    while answers(url) and time.monotonic() < until:
        time.sleep(0.1)
    assert not answers(url)


def test_full_disk_is_told_before_the_server_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DiskFull, match="prefect needs 50 MB"):
        EmbeddedServer(tmp_path / "prefect", tmp_path / "server.log").launch()
    assert not list(tmp_path.iterdir())
