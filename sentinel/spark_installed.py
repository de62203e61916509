"""Whether Spark can run here: pyspark is an extra that few need, and it needs Java."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

from sentinel.config import Features
from sentinel.errors import ConfigInvalid

OLDEST_JAVA = 17


def require_engine(features: Features) -> None:
    """Raise ConfigInvalid when the configured engine is Spark and something that it needs is missing."""
    if features.engine == "spark" and (lacking := missing_for_spark()):
        raise ConfigInvalid(
            f'[features] engine = "spark": {lacking}. Or set engine = "duckdb", which gives the same values.'
        )


def missing_for_spark() -> str | None:
    """What is missing and how to get it; None when nothing is."""
    if find_spec("pyspark") is None:
        return "pyspark is not installed: run `make spark`"
    install = f"install Java {OLDEST_JAVA} or newer (Debian: apt-get install default-jre-headless)"
    command = _java()
    if command is None:
        return f"there is no Java: {install}"
    version = _version(command)
    if version is None:
        return f"{command} does not run: {install}"
    if version < OLDEST_JAVA:
        return f"{command} is Java {version}: {install}, or point JAVA_HOME at one"
    return None


def _java() -> str | None:
    """The Java that Spark's own start script would take."""
    home = os.environ.get("JAVA_HOME")
    return str(Path(home) / "bin" / "java") if home else shutil.which("java")


def _version(command: str) -> int | None:
    try:
        said = subprocess.run([command, "-version"], capture_output=True, text=True, check=True, timeout=30).stderr
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', said)
    return int(match[1]) if match else None
