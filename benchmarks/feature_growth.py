"""Growth of the feature stage (build, point-in-time retrieval, registration) with the number of transactions.

    python -m benchmarks.feature_growth [--json FILE] [--sizes 1750000,7000000]

The ratio is to the smallest size; linear growth has that of the sizes. Simulation and ingestion are not in the time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.feature_data import NAME, default_config, project_paths, simulated
from benchmarks.report import Measurement, make_document, measure, publish
from sentinel.artifacts import ValidatedData

SIZES = (1_750_000, 7_000_000, 17_500_000)
CONTENDER = "sentinel"
PACKAGES = ("feast", "ibis-framework", "duckdb", "pyarrow")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of transactions")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_work(**options.worker)))
        return
    sizes = sorted(int(size) for size in options.sizes.split(","))
    measurements = [_grow(size) for size in sizes]
    smallest = f"{_case(sizes[0])}/{CONTENDER}"
    publish(make_document("feature_growth", PACKAGES, measurements, lambda _: smallest), options.json)


def _grow(size: int) -> Measurement:
    with tempfile.TemporaryDirectory() as folder:
        data = simulated(size, Path(folder))
        task = {"home": folder, "data": asdict(data)}
        return measure(__spec__.name, task, _case(size), CONTENDER, repeats=1 if size > SIZES[0] else 3, limit_s=1800)


def _case(size: int) -> str:
    return f"{size:,} rows"


def _work(home: str, data: dict[str, Any]) -> dict[str, Any]:
    from sentinel.features.retrieval import build_features

    paths = project_paths(Path(home))
    config = default_config(paths)
    steps: dict[str, float] = {}
    started = time.perf_counter()

    def note(done: float, total: float, doing: str = "") -> None:
        steps.setdefault(doing, time.perf_counter() - started)

    made = build_features(
        ValidatedData(**data), config.columns, config.features,
        name=NAME, paths=paths, out=paths.home / "table", progress=note,
    )  # fmt: skip
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "cpu_s": time.process_time(), "started_at_s": steps, "rows": made.rows}


if __name__ == "__main__":
    main()
