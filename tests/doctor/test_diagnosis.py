from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from flows.cli.doctor import doctor
from sentinel.config import S3Remote, Services, load_config
from sentinel.doctor.diagnosis import diagnose, exit_code
from sentinel.doctor.finding import Finding, Status
from sentinel.paths import Paths

ROOT = Path(__file__).parents[2]
OF_NOBODY = "192.0.2.1"  # an address reserved for documents: packets to it are lost


@pytest.mark.parametrize(
    ("statuses", "code"),
    [(["ok"], 0), (["ok", "warning"], 0), (["problem"], 1), (["unreachable"], 10), (["problem", "unreachable"], 10)],
)
def test_the_exit_code_tells_what_is_wrong(statuses: list[Status], code: int) -> None:
    assert exit_code([Finding("check", status, "found") for status in statuses]) == code


def test_silent_services_are_waited_for_together_and_each_is_named(tmp_path: Path) -> None:
    config = load_config(ROOT / "configs" / "default.toml")
    services = Services(
        mlflow_tracking_uri=f"http://{OF_NOBODY}:5000",
        prefect_api_url=f"http://{OF_NOBODY}:4200/api",
        redis_url=f"redis://{OF_NOBODY}:6379",
    )
    remote = config.data.model_copy(update={"s3": S3Remote(url="s3://b", endpoint_url=f"http://{OF_NOBODY}:9000")})
    config = config.model_copy(update={"services": services, "data": remote})
    start = time.monotonic()
    findings = diagnose(config, Paths(ROOT, tmp_path), {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"})
    assert time.monotonic() - start < 15  # one after the other would be 12 s on an idle machine
    unreachable = [finding.check for finding in findings if finding.status == "unreachable"]
    assert unreachable == ["mlflow", "prefect", "data remote", "redis"]
    assert all(finding.mend for finding in findings if finding.status != "ok")


@pytest.fixture(autouse=True)
def _environment_as_it_was() -> Iterator[None]:
    """A command sets what libraries read from the environment of its process, which here is that of other tests too."""
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


def command() -> typer.Typer:
    app = typer.Typer()
    app.command()(doctor)
    return app


def test_the_command_prints_one_json_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{closed_port}")
    done = CliRunner().invoke(command(), ["--json"])
    document = json.loads(done.stdout)
    assert (done.exit_code, document["exit_code"]) == (10, 10)
    assert {"check": "redis", "status": "unreachable"}.items() <= document["findings"][-1].items()


def test_the_command_says_how_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, closed_port: int) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path))
    monkeypatch.setenv("REDIS_URL", f"redis://127.0.0.1:{closed_port}")
    done = CliRunner().invoke(command(), [])
    assert "→ Start it (`redis-server`)" in done.stdout
    assert done.exit_code == 10
