from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer

from flows.cli import build_app
from tests.docker.composing import DOCKER, SECRETS, compose, services

BIN = Path(sys.executable).parent
ONCE = {"deploy", "buckets"}  # they do one thing and end


@pytest.fixture(scope="module")
def composed() -> dict[str, dict[str, Any]]:
    return services()


def ours(composed: dict[str, dict[str, Any]]) -> dict[str, list[str]]:
    """The commands of the services that run the train image."""
    return {
        name: service["command"] for name, service in composed.items() if service["image"].startswith("sentinel-train")
    }


def test_every_server_of_the_design_and_a_worker_are_there(composed: dict[str, dict[str, Any]]) -> None:
    assert set(composed) == {"prefect", "mlflow", "worker", "redis", "s3"} | ONCE


@pytest.mark.parametrize("secret", SECRETS)
def test_without_a_secret_nothing_starts_and_the_variable_is_named(secret: str) -> None:
    done = compose("compose.yaml", variables={name: value for name, value in SECRETS.items() if name != secret})
    assert done.returncode != 0
    assert f"set {secret} in docker/.env" in done.stderr


def test_no_secret_and_no_default_for_one_is_in_the_repository() -> None:
    text = (DOCKER / "compose.yaml").read_text()
    values = re.findall(r"^\s+\w*(?:PASSWORD|SECRET|ACCESS_KEY|AUTH)\w*: (.+)$", text, re.MULTILINE)
    assert len(values) >= 5
    assert all(re.fullmatch(r"\$\{\w+:\?[^}]+\}", value) for value in values)
    example = (DOCKER / ".env.example").read_text()
    assert all(re.search(rf"^{secret}=$", example, re.MULTILINE) for secret in SECRETS)
    ignored = subprocess.run(["git", "check-ignore", "-q", "docker/.env"], cwd=DOCKER.parent, check=False)
    assert ignored.returncode == 0


def test_every_port_listens_on_the_loopback_only(composed: dict[str, dict[str, Any]]) -> None:
    text = (DOCKER / "compose.yaml").read_text()
    published = re.findall(r"^\s+ports: \[(.+)\]$", text, re.MULTILINE)
    assert len(published) == sum("ports" in service for service in composed.values()) == 4
    assert all(re.fullmatch(r'"127\.0\.0\.1:\d+:\d+"', port) for port in published)


def test_every_service_has_limits_and_is_restarted_and_gains_no_privileges(composed: dict[str, dict[str, Any]]) -> None:
    for name, service in composed.items():
        limits = service["deploy"]["resources"]["limits"]
        assert {"cpus", "memory"} <= set(limits), name
        assert service["restart"] == ("on-failure" if name in ONCE else "unless-stopped"), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["logging"]["options"]["max-size"] == "10m", name


def test_every_server_says_whether_it_is_well_and_others_wait_for_that(composed: dict[str, dict[str, Any]]) -> None:
    assert {name for name, service in composed.items() if "healthcheck" not in service} == ONCE
    for service in composed.values():
        for awaited, how in service.get("depends_on", {}).items():
            expected = "service_completed_successfully" if awaited in ONCE else "service_healthy"
            assert how["condition"] == expected


def test_state_is_kept_in_named_volumes(composed: dict[str, dict[str, Any]]) -> None:
    text = (DOCKER / "compose.yaml").read_text()
    kept = set(re.findall(r'volumes: \["(\w+):/', text))
    assert kept == {"prefect", "mlflow", "redis", "s3", "state"}


def test_the_first_process_of_every_container_reaps_its_children(composed: dict[str, dict[str, Any]]) -> None:
    """The train image brings tini; others are given one."""
    for name, service in composed.items():
        assert service.get("init", False) is not service["image"].startswith("sentinel-train"), name


def test_every_foreign_image_is_pinned_by_digest(composed: dict[str, dict[str, Any]]) -> None:
    foreign = [service["image"] for service in composed.values() if not service["image"].startswith("sentinel-")]
    assert len(foreign) == 3
    assert all(re.fullmatch(r"[a-z/]+:[\w.-]+@sha256:[0-9a-f]{64}", image) for image in foreign)
    assert not any(":latest" in service["image"] for service in composed.values())


def test_every_command_is_one_of_the_locked_packages(composed: dict[str, dict[str, Any]]) -> None:
    for name, command in ours(composed).items():
        assert (BIN / command[0]).exists(), f"{name}: {command[0]}"


def test_every_sentinel_command_is_one_of_the_command_line(composed: dict[str, dict[str, Any]]) -> None:
    known = typer.main.get_command(build_app()).commands  # type: ignore[attr-defined]
    asked = {command[1] for command in ours(composed).values() if command[0] == "sentinel"}
    assert asked == {"deploy"}
    assert asked | {"run"} <= set(known)


@pytest.mark.parametrize("service", ["prefect", "mlflow", "worker"])
def test_every_option_is_known_to_its_command(
    composed: dict[str, dict[str, Any]], service: str, tmp_path: Path
) -> None:
    command = ours(composed)[service]
    words = [word for word in command if not word.startswith("-")][: 2 if service == "mlflow" else 3]
    words = [word for word in words if word.isalpha()]
    done = subprocess.run(
        [BIN / words[0], *words[1:], "--help"], capture_output=True, text=True, check=True,
        env={"PREFECT_HOME": str(tmp_path), "HOME": str(tmp_path), "COLUMNS": "200", "PATH": str(BIN)},
    )  # fmt: skip
    options = {word.partition("=")[0] for word in command if word.startswith("--")}
    assert options
    assert {option for option in options if option not in done.stdout} == set()


def test_the_worker_takes_from_the_pool_that_the_deployment_uses(composed: dict[str, dict[str, Any]]) -> None:
    from flows.deployments import WORK_POOL

    command = ours(composed)["worker"]
    assert command[command.index("--pool") + 1] == WORK_POOL


def test_the_worker_can_be_given_a_gpu() -> None:
    worker = services("compose.yaml", "compose.gpu.yaml", variables={**SECRETS, "KIND": "gpu"})["worker"]
    (device,) = worker["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert worker["deploy"]["resources"]["limits"]["memory"]
    assert worker["build"]["args"]["KIND"] == "gpu"
