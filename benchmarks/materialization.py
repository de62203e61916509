"""Materialization into the online store, against Feast's stock SQLite and Redis stores.

    python -m benchmarks.materialization [--json FILE] [--sizes 100000,1750000]

All write the latest rows of the same feature files: of every view and key, those that can still be read. Redis is
measured where redis-server is installed, each time on an empty one. A peer is stopped at 10 minutes, and larger sizes
are not tried with it. The time holds neither imports nor the build of the feature files.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.feature_data import NAME, default_config, project_paths, simulated
from benchmarks.redis_server import empty_redis
from benchmarks.report import Measurement, make_document, measure, publish
from sentinel.features.spec import FeatureSet, microseconds, view_name

SIZES = (100_000, 1_750_000)
OURS = ("sentinel sqlite", "sentinel redis")
PEERS = ("feast sqlite", "feast redis")
AGAIN = "sentinel, again"  # with nothing new
PACKAGES = ("feast", "duckdb", "redis")

_LIMIT_S = 600.0
_SAMPLE = 500


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="numbers of transactions")
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_work(**options.worker)))
        return
    measurements: list[Measurement] = []
    for size in sorted(int(size) for size in options.sizes.split(",")):
        measurements += _compare(size, measurements)
    publish(make_document("materialization", PACKAGES, measurements, _reference), options.json)
    for each in measurements:
        if each.median:
            facts = each.runs[-1].facts
            speed = facts["rows"] / each.median
            print(f"{each.case:<20}{each.contender:<18}{facts['rows']:>10,} rows{speed:>12,.0f} rows/s")


def _reference(each: Measurement) -> str:
    """Of the same kind of store."""
    return f"{each.case}/{OURS[1] if each.contender.endswith('redis') else OURS[0]}"


def _compare(size: int, before: list[Measurement]) -> list[Measurement]:
    beaten = {each.contender for each in before if not each.is_done}
    contenders = [name for name in (*OURS, AGAIN, *PEERS) if name not in beaten]
    if shutil.which("redis-server") is None:
        contenders = [name for name in contenders if not name.endswith("redis")]
    with tempfile.TemporaryDirectory() as folder:
        built = measure(
            __spec__.name, {"contender": "build", "home": folder, "rows": size}, "", "", repeats=1, limit_s=1800
        )
        if not built.is_done:
            raise SystemExit(f"The feature files could not be built: {built.runs[0].outcome}")
        return [_measure(name, folder, f"{size:,} rows") for name in contenders]


def _measure(contender: str, home: str, case: str) -> Measurement:
    runs: list[Any] = []
    for _ in range(1 if contender in PEERS else 3):
        with _redis(contender) as url, tempfile.TemporaryDirectory() as state:
            task = {"contender": contender, "home": home, "state": state, "url": url}
            done = measure(__spec__.name, task, case, contender, repeats=1, limit_s=_LIMIT_S)
            runs += done.runs
        if not done.is_done:
            break
    return Measurement(case, contender, tuple(runs))


@contextmanager
def _redis(contender: str) -> Iterator[str | None]:
    """An empty Redis that writes nothing to the disk; None for who needs none."""
    if not contender.endswith("redis"):
        yield None
        return
    with empty_redis() as url:
        yield url


def _work(contender: str, home: str, rows: int = 0, state: str = "", url: str | None = None) -> dict[str, Any]:
    folder = Path(home)
    if contender == "build":
        return _build(rows, folder)
    wanted = FeatureSet.from_dict(json.loads((folder / "table" / "feature_set.json").read_text()))
    if contender in PEERS:
        return _with_feast(contender, folder, wanted, Path(state), url)
    return _with_sentinel(contender, folder, wanted, Path(state), url)


def _build(rows: int, folder: Path) -> dict[str, Any]:
    from sentinel.features.retrieval import build_features

    data = simulated(rows, folder)
    paths = project_paths(folder)
    config = default_config(paths)
    started = time.perf_counter()
    made = build_features(data, config.columns, config.features, name=NAME, paths=paths, out=folder / "table")
    return {"seconds": time.perf_counter() - started, "artifact": asdict(made)}


def _with_sentinel(contender: str, folder: Path, wanted: FeatureSet, state: Path, url: str | None) -> dict[str, Any]:
    from sentinel.features.online.materialize import bring_online
    from sentinel.features.online.store import open_rows

    with closing(open_rows(NAME, state / "online.db", url)) as rows:
        if contender == AGAIN:
            bring_online(folder / "table", rows, spill=state / "spill")
        started = time.perf_counter()
        done = bring_online(folder / "table", rows, spill=state / "spill")
        seconds = time.perf_counter() - started
        name = view_name(wanted.views[0], wanted)
        found = rows.read([(name, (customer,)) for customer in range(_SAMPLE)])
    position = wanted.views[0].columns.index("customer_count_30d")
    return {
        "seconds": seconds, "rows": done.rows, "written": done.written,
        "sum": sum(row.values[position] or 0 for row in found if row),
    }  # fmt: skip


def _with_feast(contender: str, folder: Path, wanted: FeatureSet, state: Path, url: str | None) -> dict[str, Any]:
    from datetime import UTC, datetime, timedelta

    from sentinel.features.definitions import feast_objects
    from sentinel.features.online.latest import Reach, open_table
    from sentinel.features.store import key_types, open_store, register, view_folders

    settings = {"type": "redis", "connection_string": (url or "").removeprefix("redis://").removesuffix("/0")}
    online = settings if url else {"type": "sqlite", "path": str(state / "online.db")}
    store = open_store(project_paths(folder), NAME, state=state, online=online)
    table = folder / "table"
    keys = key_types(wanted, table / "features.parquet")
    register(store, feast_objects(wanted, view_folders(wanted, table / "views"), keys))
    with open_table(table, state / "spill") as built:
        end_us = built.end_us()
        reaches = {view: Reach(end_us - microseconds(view.ttl) - 1, end_us) for view in wanted.views}
        rows = sum(built.content(view, reach).rows for view, reach in reaches.items())
    end = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=end_us)
    started = time.perf_counter()
    store.materialize(end - max(view.ttl for view in wanted.views), end)
    seconds = time.perf_counter() - started
    feature = f"{view_name(wanted.views[0], wanted)}:customer_count_30d"
    found = store.get_online_features([feature], [{"customer_id": customer} for customer in range(_SAMPLE)]).to_dict()
    return {"seconds": seconds, "rows": rows, "sum": sum(filter(None, found["customer_count_30d"]))}


if __name__ == "__main__":
    main()
