"""Point-in-time retrieval against Feast's stock stores, and against bare DuckDB SQL as the limit.

    python -m benchmarks.feature_retrieval [--json FILE] [--sizes 10000,100000]

All answer the same entity rows from the same feature files with an Arrow table. A peer is stopped at 5 minutes or
16 GB, and larger sizes are not tried with it. The time holds neither imports nor the build of the feature files.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.feature_data import NAME, default_config, project_paths, simulated
from benchmarks.report import Measurement, make_document, measure, publish
from sentinel.features.spec import FeatureSet, feature_set

SIZES = (10_000, 100_000, 500_000, 1_750_000)
OURS, LIMIT = "sentinel", "bare duckdb"
CONTENDERS = (OURS, LIMIT, "feast duckdb", "feast dask")
PACKAGES = ("feast", "duckdb", "pyarrow", "dask")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of entity rows")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_work(**options.worker)))
        return
    sizes = sorted(int(size) for size in options.sizes.split(","))
    with tempfile.TemporaryDirectory() as folder:
        measurements = _compare(sizes, Path(folder))
    publish(
        make_document("feature_retrieval", PACKAGES, measurements, lambda each: f"{each.case}/{LIMIT}"), options.json
    )


def _compare(sizes: list[int], home: Path) -> list[Measurement]:
    built = measure(
        __spec__.name, {"contender": "build", "home": str(home), "rows": sizes[-1]}, "", "", repeats=1, limit_s=1800
    )
    if not built.is_done:
        raise SystemExit(f"The feature files could not be built: {built.runs[0].outcome}")
    measurements: list[Measurement] = []
    beaten: set[str] = set()
    for size in sizes:
        for contender in CONTENDERS:
            if contender not in beaten:
                task = {"contender": contender, "home": str(home), "rows": size}
                measurements.append(measure(__spec__.name, task, f"{size:,} rows", contender))
                if not measurements[-1].is_done:
                    beaten.add(contender)
    return measurements


def _work(contender: str, home: str, rows: int) -> dict[str, Any]:
    folder = Path(home)
    if contender == "build":
        return _build(rows, folder)
    paths = project_paths(folder)
    config = default_config(paths)
    wanted = feature_set(config.columns, config.features)
    entities = _entities(folder, rows, wanted)
    answer, started = (_bare if contender == LIMIT else _through_feast)(folder, contender, wanted, entities)
    seconds = time.perf_counter() - started
    known = answer.column("customer_count_30d").to_pandas()  # the same for all, or they did not answer the same
    return {"seconds": seconds, "rows": answer.num_rows, "sum": int(known.sum()), "nulls": int(known.isna().sum())}


def _build(rows: int, folder: Path) -> dict[str, Any]:
    from sentinel.features.retrieval import build_features

    data = simulated(rows, folder)
    paths = project_paths(folder)
    config = default_config(paths)
    started = time.perf_counter()
    made = build_features(data, config.columns, config.features, name=NAME, paths=paths, out=folder / "table")
    return {"seconds": time.perf_counter() - started, "artifact": asdict(made)}


def _entities(folder: Path, rows: int, wanted: FeatureSet) -> str:
    """SQL for `rows` transactions, spread evenly over the whole time."""
    file = folder / "data" / "transactions.parquet"
    total = duckdb.sql(f"SELECT count(*) FROM read_parquet('{file}')").fetchall()[0][0]
    columns = ", ".join(("transaction_id", "event_timestamp", *wanted.keys))
    return (
        f"SELECT {columns} FROM read_parquet('{file}') WHERE file_row_number % {max(total // rows, 1)} = 0 LIMIT {rows}"
    )


def _through_feast(folder: Path, contender: str, wanted: FeatureSet, entities: str) -> tuple[Any, float]:
    from sentinel.features.definitions import service_name
    from sentinel.features.store import open_store

    offline = {} if contender == OURS else {"type": contender.removeprefix("feast ")}
    store = open_store(project_paths(folder), NAME, offline=offline)
    service = store.get_feature_service(service_name(wanted))
    asked: Any = entities
    if contender != OURS:
        asked = _engine().sql(entities).df()  # all that the stock stores take; made before the clock starts
    started = time.perf_counter()
    return store.get_historical_features(asked, service).to_arrow(), started


def _bare(folder: Path, contender: str, wanted: FeatureSet, entities: str) -> tuple[Any, float]:
    joins, columns = [], ["e.*"]
    for view in wanted.views:
        files = folder / "table" / "views" / view.name / "*.parquet"
        matches = " AND ".join(f"e.{key} = {view.name}.{key}" for key in view.keys)
        joins.append(
            f"ASOF LEFT JOIN read_parquet('{files}') {view.name} "
            f"ON {matches} AND e.event_timestamp >= {view.name}.knowable_at"
        )
        alive = f"{view.name}.knowable_at + INTERVAL {view.ttl.days} DAY >= e.event_timestamp"
        columns += [f"CASE WHEN {alive} THEN {view.name}.{name} END AS {name}" for name in view.stored]
    connection = _engine()
    started = time.perf_counter()
    sql = f"SELECT {', '.join(columns)} FROM ({entities}) e {' '.join(joins)}"
    return connection.sql(sql).to_arrow_table(), started


def _engine() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 2")  # as many as the store has
    return connection


if __name__ == "__main__":
    main()
