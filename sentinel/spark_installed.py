"""Whether Spark can run here: pyspark is an extra that few need, and it needs Java."""

from __future__ import annotations

import re
import subprocess
from importlib.util import find_spec

from sentinel.config import Features
from sentinel.errors import ConfigInvalid

OLDEST_JAVA = 17

# The Java that Spark's own start script takes.
_ASK_JAVA = ["sh", "-c", '"${JAVA_HOME:+$JAVA_HOME/bin/}java" -version']


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
    found = java_version()
    if found is None or found < OLDEST_JAVA:
        return (
            f"{f'Java {found} is too old' if found else 'there is no Java'}: install Java {OLDEST_JAVA} or newer "
            "(Debian: apt-get install default-jre-headless), or point JAVA_HOME at one"
        )
    return None


def java_version() -> int | None:
    """The major version; None when no Java answers."""
    try:
        done = subprocess.run(_ASK_JAVA, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    match = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    return int(match[1]) if match else None
