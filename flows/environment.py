"""The one place that reads and sets the process environment: where libraries keep state, and that none phones home."""

from __future__ import annotations

import os
import urllib.request

from sentinel.config import Config
from sentinel.errors import ServiceUnavailable
from sentinel.paths import Paths

# Variables by which each library is told to send nothing.
NO_TELEMETRY = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "FEAST_USAGE": "False",
    "DVC_NO_ANALYTICS": "true",
    "ORT_DISABLE_TELEMETRY": "1",
}

# What only chatters on the terminal; the run's own log says what matters.
QUIET = {
    "PREFECT_LOGGING_LEVEL": "WARNING",
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_LOGGING_EXTRA_LOGGERS": "sentinel",
    "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    "PREFECT_CLI_PROMPT": "false",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "GIT_PYTHON_REFRESH": "quiet",
    "TQDM_DISABLE": "1",
    # a server that is gone is told after seconds, not minutes
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}

# Threads that wait give their core away: on a shared machine spinning ones made training five times slower.
STEADY = {"OMP_WAIT_POLICY": "PASSIVE"}


def library_environment(paths: Paths) -> dict[str, str]:
    """The variables every process of Sentinel runs with."""
    return {
        **NO_TELEMETRY,
        **QUIET,
        **STEADY,
        "PREFECT_HOME": str(paths.prefect_home),
        "PREFECT_LOCAL_STORAGE_PATH": str(paths.prefect_results),
    }


def prepare_environment(paths: Paths) -> None:
    """Set what libraries read when they are imported. Telemetry is always off; the rest yields to the user's."""
    os.environ.update(NO_TELEMETRY)
    for name, value in library_environment(paths).items():
        os.environ.setdefault(name, value)


def tracking_uri(config: Config, paths: Paths) -> str:
    """MLflow's server: the usual variable, else the config's, else the embedded SQLite."""
    named = os.environ.get("MLFLOW_TRACKING_URI") or config.services.mlflow_tracking_uri
    return named or f"sqlite:///{paths.mlflow_database}"


def redis_url(config: Config) -> str | None:
    """The online store's Redis: the usual variable, else the config's; None: the embedded SQLite."""
    return os.environ.get("REDIS_URL") or config.services.redis_url


def prefect_api_url(config: Config) -> str | None:
    """Prefect's server: the usual variable, else the config's; None: an embedded one is started."""
    return os.environ.get("PREFECT_API_URL") or config.services.prefect_api_url


def registry_database_url(config: Config) -> str | None:
    """The PostgreSQL behind the MLflow server, whose lock all writers share; None: they share a file lock."""
    return os.environ.get("SENTINEL_REGISTRY_DATABASE_URL") or config.services.registry_database_url


def require_prefect(api_url: str) -> None:
    """Raise ServiceUnavailable unless a Prefect API answers there; Prefect itself would try for minutes."""
    _require_answer(f"{api_url.rstrip('/')}/health", "Prefect", "PREFECT_API_URL or services.prefect_api_url")


def require_mlflow(uri: str) -> None:
    """Raise ServiceUnavailable unless the named MLflow server answers; the embedded database needs none."""
    if uri.startswith("http"):
        _require_answer(f"{uri.rstrip('/')}/health", "MLflow", "MLFLOW_TRACKING_URI or services.mlflow_tracking_uri")


def _require_answer(url: str, what: str, where: str) -> None:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            answer.read()
    except (OSError, ValueError) as error:
        raise ServiceUnavailable(
            f"The {what} server does not answer at {url}: {error}. Start it, or mend {where} (environment and "
            "configuration)."
        ) from error
