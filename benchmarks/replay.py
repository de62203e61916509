"""The replay proof at size: transactions a second through schema, journal, windows, store and comparison.

    python -m benchmarks.replay [--json FILE] [--transactions 1750000] [--vectors 100000]

The last transactions of the simulated data and the labels that came in that time (two events a transaction), on the
embedded store and on Redis; each vector is compared with its offline value, and none may differ. The peer reads the
same vectors offline: the point-in-time join of the feature stage over as many transactions, which proves nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from contextlib import ExitStack, closing
from datetime import timedelta
from pathlib import Path
from typing import Any

from benchmarks.feature_data import NAME, default_config, project_paths, simulated
from benchmarks.redis_server import empty_redis
from benchmarks.report import Measurement, make_document, measure, publish
from sentinel.features.spec import FeatureSet

OURS = ("sqlite", "redis")
PEER = "offline join"
PACKAGES = ("feast", "msgspec", "redis", "duckdb")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--transactions", type=int, default=1_750_000, help="of which the last are replayed")
    parser.add_argument("--vectors", type=int, default=100_000, help="how many; with their labels twice as many events")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_work(**options.worker)))
        return
    with tempfile.TemporaryDirectory() as folder:
        measurements = _compare(folder, options.transactions, options.vectors)
    publish(make_document("replay", PACKAGES, measurements, lambda each: f"{each.case}/{OURS[0]}"), options.json)
    for each in measurements:
        if each.median and (mismatches := each.runs[-1].facts.get("mismatches")):
            facts = each.runs[-1].facts
            speed = f"{facts['vectors'] / each.median:,.0f} vectors/s, {facts['values']:,} values"
            print(f"{each.case:<20}{each.contender:<16}{speed}, mismatches {mismatches}")


def _compare(home: str, transactions: int, vectors: int) -> list[Measurement]:
    built = measure(
        __spec__.name, {"contender": "build", "home": home, "rows": transactions}, "", "", repeats=1, limit_s=1800
    )
    if not built.is_done:
        raise SystemExit(f"The feature files could not be built: {built.runs[0].outcome}")
    names = [name for name in OURS if name != "redis" or shutil.which("redis-server")]
    return [_measure(name, home, vectors) for name in (*names, PEER)]


def _measure(contender: str, home: str, vectors: int) -> Measurement:
    with ExitStack() as stack:
        url = stack.enter_context(empty_redis()) if contender == "redis" else None
        task = {"contender": contender, "home": home, "rows": vectors, "url": url}
        return measure(__spec__.name, task, f"{vectors:,} vectors", contender, repeats=1, limit_s=1800)


def _work(contender: str, home: str, rows: int, url: str | None = None) -> dict[str, Any]:
    folder = Path(home)
    if contender == "build":
        return _build(rows, folder)
    wanted = FeatureSet.from_dict(json.loads((folder / "table" / "feature_set.json").read_text()))
    if contender == PEER:
        return _offline(folder, wanted, rows)
    return _replay(folder, wanted, rows, url)


def _build(rows: int, folder: Path) -> dict[str, Any]:
    from sentinel.features.retrieval import build_features

    data = simulated(rows, folder)
    paths = project_paths(folder)
    config = default_config(paths)
    started = time.perf_counter()
    build_features(data, config.columns, config.features, name=NAME, paths=paths, out=folder / "table")
    return {"seconds": time.perf_counter() - started}


def _replay(folder: Path, wanted: FeatureSet, vectors: int, url: str | None) -> dict[str, Any]:
    from sentinel.features.online.replay import replay
    from sentinel.features.online.store import open_rows
    from sentinel.features.online.stream.base import base_of
    from sentinel.features.online.stream.online_sets import table_fields

    table = folder / "table"
    base, fields = base_of(project_paths(folder), NAME, table, wanted), table_fields(table, wanted)
    with tempfile.TemporaryDirectory() as state, closing(open_rows(NAME, Path(state) / "online.db", url)) as rows:
        length = _length(folder, vectors)
        started = time.perf_counter()
        report = replay(table, base, fields, rows, Path(state), length=length)
        return {"seconds": time.perf_counter() - started, **report.to_dict()}


def _length(folder: Path, vectors: int) -> timedelta:
    """How long ago the last so many transactions began."""
    import duckdb

    file = folder / "data" / "transactions.parquet"
    with duckdb.connect() as connection:
        sql = (
            "SELECT max(moment) - min(moment) + 1 FROM (SELECT epoch_us(event_timestamp) AS moment "
            f"FROM '{file}' ORDER BY event_timestamp DESC LIMIT {vectors})"
        )
        return timedelta(microseconds=connection.execute(sql).fetchall()[0][0])


def _offline(folder: Path, wanted: FeatureSet, vectors: int) -> dict[str, Any]:
    from sentinel.features.definitions import service_name
    from sentinel.features.store import open_store

    store = open_store(project_paths(folder), NAME)
    file = folder / "data" / "transactions.parquet"
    columns = ", ".join(("transaction_id", "event_timestamp", *wanted.keys))
    asked = f"SELECT {columns} FROM read_parquet('{file}') ORDER BY event_timestamp DESC LIMIT {vectors}"
    service = store.get_feature_service(service_name(wanted))
    started = time.perf_counter()
    answer = store.get_historical_features(asked, service).to_arrow()
    return {"seconds": time.perf_counter() - started, "rows": answer.num_rows}


if __name__ == "__main__":
    main()
