"""docker/compose.yaml as Compose itself reads it. No engine is needed for that."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml

DOCKER = Path(__file__).parents[2] / "docker"
SECRETS = {"REDIS_PASSWORD": "opened", "S3_USER": "ali", "S3_PASSWORD": "sesamesesame"}


def compose(*files: str, variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """`docker compose config` by the plugin, or by the older command of its own."""
    plugin = (
        subprocess.run(["docker", "compose", "version"], capture_output=True, check=False) if _has_docker() else None
    )
    words = ["docker", "compose"] if plugin and plugin.returncode == 0 else ["docker-compose"]
    named = [word for file in files for word in ("-f", str(DOCKER / file))]
    inherited = {name: value for name, value in os.environ.items() if name not in (*SECRETS, "KIND", "SENTINEL_TAG")}
    with tempfile.NamedTemporaryFile("w", suffix=".env") as env_file:
        env_file.writelines(f"{name}={value}\n" for name, value in variables.items())
        env_file.flush()
        command = [*words, "--env-file", env_file.name, *named, "config"]
        return subprocess.run(command, capture_output=True, text=True, check=False, env=inherited)


def services(*files: str, variables: dict[str, str] = SECRETS) -> dict[str, dict[str, Any]]:
    done = compose(*(files or ("compose.yaml",)), variables=variables)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)["services"]


def _has_docker() -> bool:
    return any((Path(folder) / "docker").exists() for folder in os.environ["PATH"].split(os.pathsep))
