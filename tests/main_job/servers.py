"""A real Prefect server and a real worker, each a process that ends with its block."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Generator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from tests.main_job.project import Project

PREFECT = str(Path(sys.executable).with_name("prefect"))
_TIMEOUT_S = 120


@contextmanager
def prefect_server(root: Path, home: Path) -> Generator[str]:
    """Yield the URL of the API of a server with a database of its own, started from the folder `root`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    home.mkdir(parents=True)
    with _process([PREFECT, "server", "start", "--host", "127.0.0.1", "--port", port], Project(root), home):
        url = f"http://127.0.0.1:{port}/api"
        wait_until(lambda: ask(url, "health") is True, "the Prefect server answers")
        yield url


@contextmanager
def prefect_worker(project: Project, home: Path, api_url: str) -> Generator[None]:
    home.mkdir(parents=True)
    with _process([PREFECT, "worker", "start", "--pool", "sentinel"], project, home, PREFECT_API_URL=api_url):
        yield


@contextmanager
def _process(command: list[str], project: Project, home: Path, **more: str) -> Generator[None]:
    with (home / "log").open("wb") as log:
        environment = project.environment(PREFECT_HOME=str(home), **more)
        process = subprocess.Popen(command, cwd=project.root, env=environment, stdout=log, stderr=log)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def ask(api_url: str, path: str, body: dict[str, Any] | None = None) -> Any:
    """One call of the API; None while nobody answers. Raises HTTPError for a refusal.

    Prefect's server says 503 while its database is locked, and its own client asks again; so does this.
    """
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"{api_url}/{path}", data, {"Content-Type": "application/json"})
    until = time.monotonic() + _TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as refusal:
            if refusal.code != HTTPStatus.SERVICE_UNAVAILABLE or time.monotonic() > until:
                raise
            time.sleep(0.5)
        except OSError:
            return None


def wait_until(condition: Any, what: str, timeout_s: float = _TIMEOUT_S) -> None:
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, f"waited in vain: {what}"
        time.sleep(0.5)


def run_deployment(api_url: str, deployment_id: str, parameters: dict[str, Any] | None = None) -> dict[str, Any]:
    """Start a deployment through the API and wait for the run's end."""
    asked = {"state": {"type": "SCHEDULED"}, "parameters": parameters or {}}
    run_id = ask(api_url, f"deployments/{deployment_id}/create_flow_run", asked)["id"]
    ended = ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
    wait_until(lambda: ask(api_url, f"flow_runs/{run_id}")["state_type"] in ended, "the run ends", 400)
    return ask(api_url, f"flow_runs/{run_id}")
