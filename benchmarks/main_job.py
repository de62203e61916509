"""The main job by stage, in a home of its own: time and peak memory, then the same again with nothing changed.

    python -m benchmarks.main_job [--json FILE] [--config configs/handbook.toml] [--repeats 1]

The ratio of a stage is to the whole job. The peak is that of the process tree without the embedded Prefect server.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import psutil

from benchmarks.report import Measurement, Run, make_document, measure, publish

PACKAGES = ("prefect", "mlflow", "torch", "onnxruntime", "duckdb", "feast", "great-expectations")
CONTENDER = "sentinel run"
FIRST, AGAIN = "first", "unchanged"
_SAMPLE_S = 0.05
_GATE_FAILED = 7


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--config", default="configs/default.toml", help="the data set; its version must be pinned")
    parser.add_argument("--repeats", type=int, default=1, help="whole jobs, each in a home of its own")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_work(**options.worker)))
        return
    measurements: list[Measurement] = []
    for _ in range(options.repeats):
        with tempfile.TemporaryDirectory() as home:
            task = {"home": home, "config": options.config}
            for case in (FIRST, AGAIN):
                whole = measure(__spec__.name, task, case, CONTENDER, repeats=1, limit_s=1800)
                measurements += [whole, *_stages(case, whole)]
    document = make_document("main_job", PACKAGES, measurements, lambda each: f"{each.case}/{CONTENDER}")
    publish(document, options.json)


def _stages(case: str, whole: Measurement) -> list[Measurement]:
    """A measurement a stage, out of what the worker told of the whole job."""
    (run,) = whole.runs
    return [
        Measurement(
            case, stage["name"], (Run("done", stage["seconds"], stage["peak_mb"], {"cached": stage["cached"]}),)
        )
        for stage in run.facts.get("stages", [])
    ]


def _work(home: str, config: str) -> dict[str, Any]:
    command = [str(Path(sys.executable).with_name("sentinel")), "run", "--config", config, "--json"]
    samples: list[tuple[float, float]] = []
    started = time.time()
    job = subprocess.Popen(command, env={**os.environ, "SENTINEL_HOME": home}, stdout=subprocess.PIPE, text=True)
    sampler = threading.Thread(target=_sample, args=(job.pid, samples), daemon=True)
    sampler.start()
    said, _ = job.communicate()
    seconds = time.time() - started
    if job.returncode not in (0, _GATE_FAILED):
        raise SystemExit(f"sentinel run ended with exit code {job.returncode}")
    result = json.loads(said)
    ends = _stage_ends(Path(home) / "logs" / f"{result['run']}.jsonl")
    stages = [
        {**stage, "peak_mb": _peak(samples, ends[stage["name"]] - stage["seconds"], ends[stage["name"]])}
        for stage in result["stages"]
        if stage["name"] in ends
    ]
    return {
        "seconds": seconds,
        "peak_mb": _peak(samples, 0, seconds + started),
        "rows": result["rows"],
        "stages": stages,
    }


def _sample(pid: int, samples: list[tuple[float, float]]) -> None:
    """Resident memory (MB) of the job and its short-lived children, until it ends."""
    job = psutil.Process(pid)
    while True:
        try:
            family = [job, *(child for child in job.children(recursive=True) if "uvicorn" not in child.cmdline())]
            samples.append((time.time(), sum(each.memory_info().rss for each in family) / 1e6))
        except psutil.NoSuchProcess:
            if not job.is_running():
                return
        time.sleep(_SAMPLE_S)


def _stage_ends(log: Path) -> dict[str, float]:
    """When each stage ended, by the run's log."""
    records = [json.loads(line) for line in log.read_text().splitlines()]
    return {
        record["stage"]: datetime.fromisoformat(record["time"]).timestamp()
        for record in records
        if record["logger"] == "sentinel.stage" and " in " in record["message"]
    }


def _peak(samples: list[tuple[float, float]], start: float, end: float) -> float:
    return max((mb for at, mb in samples if start <= at <= end), default=0.0)


if __name__ == "__main__":
    main()
