"""How long one request takes, measured in a process that does nothing else, by the runtime that serves.

Run as a module it measures: `python -m sentinel.promotion.latency GRAPH ROWS.npz RESULT.json`.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from sentinel.scoring import Categorical, Numeric, Scorer, measure_latency_ms

_PROJECT = Path(__file__).resolve().parents[2]
_TIMEOUT_S = 300
_TAIL = 500  # characters of a failed measurement's last words
_runtime: Any = onnxruntime


def measure_in_clean_process(graph: Path, numeric: Numeric, categorical: Categorical) -> dict[str, Any]:
    """Every sample in milliseconds, with what it was measured on; `problem` instead when it could not be."""
    with tempfile.TemporaryDirectory() as scratch:
        rows, result = Path(scratch) / "rows.npz", Path(scratch) / "latency.json"
        np.savez(rows, numeric=numeric, categorical=categorical)
        command = [sys.executable, "-m", __name__, *map(os.fspath, (graph.resolve(), rows, result))]
        try:
            subprocess.run(command, cwd=_PROJECT, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            return {"problem": f"the measuring process ended with {error.returncode}: {error.stderr[-_TAIL:].strip()}"}
        except subprocess.TimeoutExpired:
            return {"problem": f"the measuring process took longer than {_TIMEOUT_S} s"}
        return cast("dict[str, Any]", json.loads(result.read_text()))


def _measure(graph: Path, rows: Path, result: Path) -> None:
    with np.load(rows, allow_pickle=False) as stored:
        numeric, categorical = stored["numeric"], stored["categorical"]
    start = time.perf_counter()
    scorer = Scorer(graph)
    load_ms = (time.perf_counter() - start) * 1e3
    samples = measure_latency_ms(scorer, numeric, categorical)
    found = {
        "samples_ms": samples,
        "load_ms": load_ms,
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "runtime": f"onnxruntime {_runtime.__version__}",
        "providers": list(scorer.providers),
        "threads": 1,
        "cores": os.cpu_count(),
    }
    result.write_text(json.dumps(found))


if __name__ == "__main__":
    _measure(*map(Path, sys.argv[1:]))
