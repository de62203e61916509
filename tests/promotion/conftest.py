"""One embedded MLflow database and one MLflow server for all tests of this folder."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sentinel.artifacts import GateReport, Release
from sentinel.paths import Paths
from sentinel.promotion.registry import Registry
from tests.promotion.standins import Stages, packaged, stages

_PATIENCE_S = 120


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """One candidate that passes; read only."""
    return stages(tmp_path_factory.mktemp("made") / "home")


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's tables with nothing in them, made once because that takes seconds."""
    from mlflow import MlflowClient

    file = tmp_path_factory.mktemp("empty") / "mlflow.db"
    MlflowClient(f"sqlite:///{file}", f"sqlite:///{file}").search_experiments()
    return file


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> str:
    """The embedded MLflow; tests share it under names of their own."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{shutil.copy(empty_database, folder)}"
    MlflowClient(uri, uri).create_experiment("tests", artifact_location=str(folder / "artifacts"))
    return uri


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> Iterator[str]:
    """A real MLflow server that keeps the artifacts of its clients."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copy(empty_database, folder)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    store = [
        "--backend-store-uri",
        f"sqlite:///{folder / 'mlflow.db'}",
        "--artifacts-destination",
        str(folder / "kept"),
    ]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, *store], cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(params=["embedded", "server"])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """An empty registry, embedded and on a server, with folders of its own."""
    uri = request.getfixturevalue("database" if request.param == "embedded" else "server")
    return Registry(uri, f"model-{tmp_path.name}".lower(), Paths(tmp_path, tmp_path / "home"))


@pytest.fixture
def judged(tmp_path: Path) -> tuple[Stages, GateReport, Release]:
    return packaged(stages(tmp_path / "home"))


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    give_up = time.monotonic() + _PATIENCE_S
    while time.monotonic() < give_up and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"The MLflow server did not start:\n{log.read_text()[-2000:]}")
