"""What every benchmark shares: runs in processes of their own, and a result that says where it was measured.

A benchmark calls itself as its own worker (`--worker JSON`); the worker prints one JSON object with at least `seconds`.
Peak memory is the kernel's figure for the worker; a worker over its limits is stopped and recorded as such.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

_POLL_S = 0.1


@dataclass(frozen=True)
class Run:
    """`outcome`: done, or why it was stopped. `seconds` is the worker's own figure; None when it did not end."""

    outcome: str
    seconds: float | None
    peak_mb: float
    facts: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True)
class Measurement:
    """All runs of one contender on one case."""

    case: str
    contender: str
    runs: tuple[Run, ...]

    @property
    def is_done(self) -> bool:
        return bool(self.runs) and all(run.outcome == "done" for run in self.runs)

    @property
    def median(self) -> float | None:
        return statistics.median(run.seconds for run in self.runs if run.seconds is not None) if self.is_done else None

    @property
    def peak_mb(self) -> float:
        return max(run.peak_mb for run in self.runs)


def measure(
    module: str, task: dict[str, Any], case: str, contender: str, *,
    repeats: int = 3, limit_s: float = 300, limit_mb: float = 16_000,
) -> Measurement:  # fmt: skip
    """Run the worker of `module` up to `repeats` times; the first that does not end well is the last."""
    runs: list[Run] = []
    while len(runs) < repeats and all(run.outcome == "done" for run in runs):
        runs.append(_run([sys.executable, "-m", module, "--worker", json.dumps(task)], limit_s, limit_mb))
    return Measurement(case, contender, tuple(runs))


def _run(command: Sequence[str], limit_s: float, limit_mb: float) -> Run:
    with tempfile.TemporaryFile() as said, tempfile.TemporaryFile() as complained:
        process = subprocess.Popen(command, stdout=said, stderr=complained, start_new_session=True)
        stopped, usage, status = _wait(process.pid, limit_s, limit_mb)
        process.returncode = os.waitstatus_to_exitcode(status)
        peak_mb = usage.ru_maxrss / 1000
        if stopped or process.returncode != 0:
            complained.seek(0)
            last = complained.read().decode(errors="replace").strip().splitlines()[-1:]
            return Run(stopped or f"failed: {' '.join(last)[:200]}", None, peak_mb)
        said.seek(0)
        facts: dict[str, Any] = json.loads(said.read().decode().strip().splitlines()[-1])
        return Run("done", facts.pop("seconds"), peak_mb, facts)


def _wait(pid: int, limit_s: float, limit_mb: float) -> tuple[str | None, resource.struct_rusage, int]:
    """Wait for a process group's leader; kill the group when it goes over a limit."""
    started, stopped = time.monotonic(), None
    while True:
        ended, status, usage = os.wait4(pid, os.WNOHANG)
        if ended:
            return stopped, usage, status
        if stopped is None:
            if time.monotonic() - started > limit_s:
                stopped = f"stopped after {limit_s:,.0f} s"
            elif _resident_mb(pid) > limit_mb:
                stopped = f"stopped at {limit_mb:,.0f} MB"
            if stopped:
                os.killpg(pid, signal.SIGKILL)
        time.sleep(_POLL_S)


def _resident_mb(pid: int) -> float:
    try:
        return psutil.Process(pid).memory_info().rss / 1e6
    except psutil.Error:
        return 0.0


def describe_machine(packages: Sequence[str]) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {
            "processor": _processor(),
            "cores": len(os.sched_getaffinity(0)),
            "memory_gb": round(psutil.virtual_memory().total / 1e9, 1),
            "load_1min": round(os.getloadavg()[0], 2),
            "system": platform.platform(),
        },
        "versions": {"python": platform.python_version()} | {name: version(name) for name in packages},
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def make_document(
    name: str, packages: Sequence[str], measurements: Sequence[Measurement], reference: Callable[[Measurement], str]
) -> dict[str, Any]:
    """The result. A ratio is to the contender (or case) that `reference` names as `case/contender`."""
    medians = {f"{each.case}/{each.contender}": each.median for each in measurements}

    def entry(each: Measurement) -> dict[str, Any]:
        base = medians.get(reference(each))
        ratio = None if base is None or each.median is None else each.median / base
        return {
            "case": each.case, "contender": each.contender, "median_s": each.median, "ratio": ratio,
            "ratio_to": reference(each), "peak_mb": each.peak_mb, "runs": [asdict(run) for run in each.runs],
        }  # fmt: skip

    return {"benchmark": name, **describe_machine(packages), "results": [entry(each) for each in measurements]}


def publish(document: dict[str, Any], file: Path | None) -> None:
    """Print the result as a table, and write it as JSON when a file is named."""
    machine = document["machine"]
    print(
        f"{document['benchmark']} · {document['date']} · {machine['cores']} cores of {machine['processor']}, ", end=""
    )
    print(f"load {machine['load_1min']} · " + ", ".join(f"{name} {n}" for name, n in document["versions"].items()))
    print(f"{'case':<20}{'contender':<16}{'median s':>10}{'ratio':>10}{'peak MB':>10}  runs")
    for each in document["results"]:
        median = f"{each['median_s']:.2f}" if each["median_s"] is not None else "-"
        ratio = f"{each['ratio']:.2f}" if each["ratio"] is not None else "-"
        runs = [f"{run['seconds']:.2f}" if run["seconds"] is not None else run["outcome"] for run in each["runs"]]
        figures = f"{median:>10}{ratio:>10}{each['peak_mb']:>10.0f}"
        print(f"{each['case']:<20}{each['contender']:<16}{figures}  {', '.join(runs)}")
    if file is not None:
        file.write_text(json.dumps(document, indent=2) + "\n")
