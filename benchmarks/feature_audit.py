"""The leak audit of a run against the build and retrieval that it audits: at most a quarter of their time.

    python -m benchmarks.feature_audit [--json FILE] [--sizes 200000,1750000]

Build and retrieval is the whole stage features. The audit is the whole stage audit: worlds, planted leaks, one build
and one retrieval of them, the oracle on the built table, what training fits. Imports are not in the times: a run has
to import the same libraries for its other stages. Simulation, ingestion and split are not in them either.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks.feature_data import NAME, default_config, project_paths, simulated
from benchmarks.report import Measurement, make_document, measure, publish
from sentinel.artifacts import FeatureTable, Splits, ValidatedData

SIZES = (200_000, 1_750_000)
STAGE, AUDIT = "build, retrieval", "audit"
PACKAGES = ("feast", "duckdb", "numpy", "scikit-learn", "torch")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of transactions")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_work(**options.worker)))
        return
    measurements = [each for size in options.sizes.split(",") for each in _compare(int(size))]
    publish(make_document("feature_audit", PACKAGES, measurements, lambda each: f"{each.case}/{STAGE}"), options.json)


def _compare(size: int) -> list[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        data = asdict(simulated(size, Path(folder)))
        return [
            measure(__spec__.name, {"contender": contender, "home": folder, "data": data}, f"{size:,} rows", contender)
            for contender in (STAGE, AUDIT)
        ]


def _work(contender: str, home: str, data: dict[str, Any]) -> dict[str, Any]:
    validated = ValidatedData(**data)
    return _build(Path(home), validated) if contender == STAGE else _audit(Path(home), validated)


def _build(home: Path, data: ValidatedData) -> dict[str, Any]:
    from sentinel.features.retrieval import build_features
    from sentinel.training.data.splits import split

    paths = project_paths(home)
    config = default_config(paths)
    started = time.perf_counter()
    table = build_features(data, config.columns, config.features, name=NAME, paths=paths, out=home / "table")
    seconds = time.perf_counter() - started
    splits = split(table, config.splits, home=home, out=home / "splits")
    (home / "made.json").write_text(json.dumps({"table": asdict(table), "splits": asdict(splits)}))
    return {"seconds": seconds, "rows": table.rows}


def _audit(home: Path, data: ValidatedData) -> dict[str, Any]:
    import sklearn.linear_model  # noqa: F401  so that no import is in the time

    from sentinel.features.audit.record import audit_table, record_audit
    from sentinel.training.audit.fits_audit import audit_fits
    from sentinel.training.data.splits import read_splits

    paths = project_paths(home)
    config = default_config(paths)
    made = json.loads((home / "made.json").read_text())
    table, splits = FeatureTable(**made["table"]), Splits(**made["splits"])
    started = time.perf_counter()
    ends = [datetime.fromisoformat(part["end"]) for part in read_splits(splits.locate(home)).values()]
    report = audit_table(data, table, ends, config.features, name=NAME, paths=paths)
    fits = audit_fits(table, splits, config.training, home=home, seed=report.seed)
    fits.require_in_time()
    audit = record_audit(report, fits.to_dict(), home=home, out=home / "audit")
    seconds = time.perf_counter() - started
    steps = {**report.seconds, "fits": round(fits.seconds, 3)}
    facts = {"rows_checked": audit.rows_checked, "oracle_rows": audit.oracle_rows, "caught": audit.caught}
    return {"seconds": seconds, "steps_s": steps, **facts}


if __name__ == "__main__":
    main()
