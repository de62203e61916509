"""Validation of the whole table: time and peak memory as the rows grow, beside Great Expectations on a pandas frame.

    python -m benchmarks.validation [--json FILE] [--sizes 1750000,7000000,17500000]

`sentinel` is the stage: suite, verdict, Data Docs, profile. `gx on pandas` reads the same file into one frame and runs
the suite's GX expectations alone (without the five of ours), for as long as 16 GB suffice. The ratio is to Sentinel on
the smallest size. Simulation and ingestion are not in the time.
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
from sentinel.artifacts import RawData, ValidatedData

SIZES = (1_750_000, 7_000_000, 17_500_000)
CONTENDERS = ("sentinel", "gx on pandas")
PACKAGES = ("great-expectations", "duckdb", "pandas", "pyarrow")
OURS = ("types", "fraud_rate", "labels_mature", "span", "no_gaps")


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
    measurements = [each for size in sizes for each in _measured(size, size == sizes[0])]
    smallest = f"{_case(sizes[0])}/{CONTENDERS[0]}"
    publish(make_document("validation", PACKAGES, measurements, lambda _: smallest), options.json)


def _measured(size: int, is_smallest: bool) -> list[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        data = simulated(size, Path(folder))
        tasks = [{"home": folder, "data": asdict(data), "contender": contender} for contender in CONTENDERS]
        return [
            measure(
                __spec__.name, task, _case(size), task["contender"], repeats=3 if is_smallest else 1, limit_s=1800
            )
            for task in tasks
        ]  # fmt: skip


def _case(size: int) -> str:
    return f"{size:,} rows"


def _work(home: str, data: dict[str, Any], contender: str) -> dict[str, Any]:
    made = ValidatedData(**data)
    work = _validate if contender == CONTENDERS[0] else _validate_in_pandas
    started = work(Path(home), made)
    seconds = time.perf_counter() - started
    return {"seconds": seconds, "rows_per_s": round(made.rows / seconds)}


def _validate(home: Path, made: ValidatedData) -> float:
    """Returns when it began: imports are not in the time."""
    from sentinel.data.validation import validate

    paths = project_paths(home)
    config = default_config(paths)
    raw = RawData(
        path=made.path, sha256="", version="", rows=made.rows, frauds=0, transactions_sha256=made.transactions_sha256
    )
    started = time.perf_counter()
    validate(
        raw, config.columns, config.validation, config.splits.label_maturity,
        name=NAME, paths=paths, out=home / "validate",
    )  # fmt: skip
    return started


def _validate_in_pandas(home: Path, made: ValidatedData) -> float:
    import great_expectations as gx
    import pyarrow.parquet as pq
    from great_expectations.core.expectation_suite import ExpectationSuite
    from great_expectations.data_context.types.base import ProgressBarsConfig

    from sentinel.data.checkpoint import RESULT_FORMAT
    from sentinel.data.suite import contract_suite
    from sentinel.data.table import as_frame

    config = default_config(project_paths(home))
    suite = contract_suite(NAME, config.columns, config.validation, config.splits.label_maturity)
    known = [one for one in suite.expectations if (one.meta or {})["name"] not in OURS]
    started = time.perf_counter()
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    asset = context.data_sources.add_pandas("frame").add_dataframe_asset("table")
    frame = as_frame(pq.read_table(home / made.transactions))
    batch = asset.add_batch_definition_whole_dataframe("table").get_batch({"dataframe": frame})
    result = batch.validate(ExpectationSuite(name=NAME, expectations=known), result_format=RESULT_FORMAT)
    if not result.success:
        raise RuntimeError("the simulated data are good")
    return started


if __name__ == "__main__":
    main()
