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
from cryptography.fernet import Fernet

from sentinel.artifacts import GateReport, Release
from sentinel.paths import Paths
from sentinel.promotion.registry import Registry
from tests.postgres_server import postgres_server
from tests.promotion.releases import make_releases
from tests.promotion.standins import Stages, packaged, stages

_PATIENCE_S = 120


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Stages:
    """One candidate that passes; read only."""
    return stages(tmp_path_factory.mktemp("made") / "home")


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory, empty_database: Path) -> str:
    """The embedded MLflow; tests share it under names of their own."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("mlflow")
    uri = f"sqlite:///{shutil.copy(empty_database, folder)}"
    MlflowClient(uri, uri).create_experiment("tests", artifact_location=str(folder / "artifacts"))
    return uri


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """MLflow's registry on a PostgreSQL of Debian's."""
    from mlflow import MlflowClient

    folder = tmp_path_factory.mktemp("postgres")
    with postgres_server(folder / "cluster") as uri:
        MlflowClient(uri, uri).create_experiment("tests", artifact_location=str(folder / "artifacts"))
        yield uri


@pytest.fixture(scope="session")
def releases(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Release, Path]]:
    """Releases that follow each other; read only (`releases.laid_out` copies one)."""
    return make_releases(tmp_path_factory.mktemp("releases"))


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
    webhooks = {
        "MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": Fernet.generate_key().decode(),
        "MLFLOW_WEBHOOK_ALLOWED_SCHEMES": "http,https",
        "MLFLOW_WEBHOOK_ALLOW_PRIVATE_IPS": "true",
        "MLFLOW_WEBHOOK_CACHE_TTL": "0",
    }
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", **webhooks}
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
def embedded(database: str, tmp_path: Path) -> Registry:
    return Registry(database, f"model-{tmp_path.name}".lower(), Paths(tmp_path, tmp_path / "home"))


@pytest.fixture(params=["database", "postgres", "server"])
def any_registry(request: pytest.FixtureRequest, tmp_path: Path) -> Registry:
    """Each way to a registry: SQLite's tables, PostgreSQL's, and a server's API."""
    uri = request.getfixturevalue(request.param)
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
