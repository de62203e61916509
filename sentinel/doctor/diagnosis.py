"""Everything that is looked at, in the order it is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from sentinel.config import Config
from sentinel.doctor import libraries, machine, services
from sentinel.doctor.finding import Finding
from sentinel.errors import SentinelError, ServiceUnavailable
from sentinel.paths import Paths


def diagnose(config: Config, paths: Paths, environment: Mapping[str, str]) -> list[Finding]:
    """Look at the machine, the installed libraries and each configured service. Changes nothing."""
    installed = libraries.installed_versions()
    checks: list[Callable[[], Finding]] = [
        machine.check_python,
        lambda: libraries.check_lock(libraries.choose_lock(paths.root / "requirements", installed), installed),
        lambda: libraries.check_runtimes(installed),
        lambda: libraries.check_engine(config.features, installed),
        lambda: libraries.check_gpu(libraries.find_gpu(), libraries.installed_builds()),
        machine.check_processor,
        lambda: machine.check_git(paths.root),
        lambda: machine.check_home(paths),
        lambda: machine.check_disk(paths),
        lambda: services.check_mlflow(config, paths, environment),
        lambda: services.check_prefect(config, environment),
        lambda: services.check_s3(config.data.s3, paths, environment),
        lambda: services.check_redis(config, environment),
    ]
    with ThreadPoolExecutor(len(checks)) as threads:  # so that silent services are waited for together
        return [running.result() for running in [threads.submit(check) for check in checks]]


def exit_code(findings: Sequence[Finding]) -> int:
    """0 without a problem, that of ServiceUnavailable when a service does not answer, else 1."""
    statuses = {finding.status for finding in findings}
    if "unreachable" in statuses:
        return ServiceUnavailable.exit_code
    return SentinelError.exit_code if "problem" in statuses else 0
