"""What one request costs, and what the graph answers elsewhere: measured in a process that does nothing else.

Run as a module it measures: `python -m sentinel.promotion.probes.serving_process GRAPH ROWS.npz RESULT.json`.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime  # pyright: ignore[reportMissingTypeStubs]

from sentinel.promotion.questions import WAYS, Way
from sentinel.scoring import PROVIDER, Categorical, Numeric, Probability, Scorer, measure_latency_ms

_PROJECT = Path(__file__).resolve().parents[3]
_TIMEOUT_S = 600
_TAIL = 500  # characters of a failed measurement's last words
_LOG_ERRORS_ONLY = 3
_runtime: Any = onnxruntime


def measure_in_clean_process(
    graph: Path, rows: tuple[Numeric, Categorical], golden: tuple[Numeric, Categorical]
) -> dict[str, Any]:
    """Every sample in milliseconds, the memory, and the `golden` answers; `problem` instead when it failed."""
    with tempfile.TemporaryDirectory() as scratch:
        asked, result = Path(scratch) / "rows.npz", Path(scratch) / "measured.json"
        np.savez(asked, numeric=rows[0], categorical=rows[1], golden_numeric=golden[0], golden_categorical=golden[1])
        command = [sys.executable, "-m", __name__, *map(os.fspath, (graph.resolve(), asked, result))]
        try:
            subprocess.run(command, cwd=_PROJECT, check=True, capture_output=True, text=True, timeout=_TIMEOUT_S)
        except subprocess.CalledProcessError as error:
            return {"problem": f"the measuring process ended with {error.returncode}: {error.stderr[-_TAIL:].strip()}"}
        except subprocess.TimeoutExpired:
            return {"problem": f"the measuring process took longer than {_TIMEOUT_S} s"}
        return cast("dict[str, Any]", json.loads(result.read_text()))


def _measure(graph: Path, asked: Path, result: Path) -> None:
    with np.load(asked, allow_pickle=False) as stored:
        rows, golden = ((stored[f"{of}numeric"], stored[f"{of}categorical"]) for of in ("", "golden_"))
    start = time.perf_counter()
    scorer = Scorer(graph)
    load_ms = (time.perf_counter() - start) * 1e3
    samples = measure_latency_ms(scorer, *rows)
    found = {
        "samples_ms": samples,
        "load_ms": load_ms,
        "peak_memory_bytes": _peak_memory_bytes(),  # before the ways, which serving does not know
        "graph_bytes": graph.stat().st_size,
        "runtime": f"onnxruntime {_runtime.__version__}",
        "providers": list(scorer.providers),
        "threads": 1,
        "cores": os.cpu_count(),
        "golden": [_answered(graph, way, *golden) for way in WAYS],
    }
    result.write_text(json.dumps(found))


def _peak_memory_bytes() -> int:
    """Of this program alone; the system's resource usage would count what its parent held when it started it."""
    return 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])


def _answered(graph: Path, way: Way, numeric: Numeric, categorical: Categorical) -> dict[str, Any]:
    options: Any = _runtime.SessionOptions()
    options.intra_op_num_threads = way.threads
    options.log_severity_level = _LOG_ERRORS_ONLY
    if not way.is_optimized:
        options.graph_optimization_level = _runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session: Any = _runtime.InferenceSession(os.fspath(graph), options, providers=[PROVIDER])
    size = way.batch or len(numeric)
    has_categorical = "categorical" in [node.name for node in session.get_inputs()]

    def run(at: int) -> Probability:
        feed: dict[str, Any] = {"numeric": numeric[at : at + size]}
        feed |= {"categorical": categorical[at : at + size]} if has_categorical else {}
        return cast(Probability, session.run(["probability"], feed)[0])

    answers = np.concatenate([run(at) for at in range(0, len(numeric), size)]).astype(np.float64)
    recorded = [value if np.isfinite(value) else None for value in answers.tolist()]
    return {"threads": way.threads, "batch": size, "is_optimized": way.is_optimized, "answers": recorded}


if __name__ == "__main__":
    _measure(*map(Path, sys.argv[1:]))
