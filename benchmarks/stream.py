"""Events a second into the online store, against Feast's stock write an event, and against pandas.

    python -m benchmarks.stream [--json FILE] [--transactions 1750000] [--events 200000]

The last events of the simulated transactions, as newline JSON. Sentinel reads the lines, checks them, journals them,
updates all windows of customer, merchant and pair, and writes the online rows. Feast's `write_to_online_store` and
`push` (SQLite) are only handed finished rows, one call a view and event. Pandas only recounts the windows of each
event's customer and merchant from a frame in memory, and writes nothing. The time holds neither imports nor start.
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
from sentinel.features.spec import FeatureSet, microseconds, view_name

OURS = ("sentinel sqlite", "sentinel redis")
PEERS = ("feast write", "feast push", "pandas")
PACKAGES = ("feast", "msgspec", "redis", "pandas")
FEW = 200  # events, as much as the peers can take in a while

_HALF = 0.5  # of the events are transactions, the others labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="also write the result to this file")
    parser.add_argument("--transactions", type=int, default=1_750_000, help="of which the last are streamed")
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--worker", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_work(**options.worker)))
        return
    with tempfile.TemporaryDirectory() as folder:
        measurements = _compare(folder, options.transactions, options.events)
    publish(make_document("stream", PACKAGES, measurements, lambda each: f"{each.case}/{OURS[0]}"), options.json)
    for each in measurements:
        if each.median:
            facts = each.runs[-1].facts
            speed = f"{facts['events'] / each.median:>12,.0f} events/s"
            busy = (
                f", {facts['events'] / facts['cpu_s']:,.0f} a second of its processor time" if "cpu_s" in facts else ""
            )
            print(f"{each.case:<20}{each.contender:<18}{speed}{busy}")


def _compare(home: str, transactions: int, events: int) -> list[Measurement]:
    task = {"contender": "build", "home": home, "events": transactions}
    built = measure(__spec__.name, task, "", "", repeats=1, limit_s=1800)
    if not built.is_done:
        raise SystemExit(f"The feature files could not be built: {built.runs[0].outcome}")
    ours = [name for name in OURS if not name.endswith("redis") or shutil.which("redis-server")]
    cases = [(FEW, [*ours, *PEERS]), (events, ours)]
    return [_measure(name, home, number) for number, names in cases for name in names]


def _measure(contender: str, home: str, events: int) -> Measurement:
    with ExitStack() as stack:
        url = stack.enter_context(empty_redis()) if contender.endswith("redis") else None
        task = {"contender": contender, "home": home, "events": events, "url": url}
        return measure(__spec__.name, task, f"{events:,} events", contender, repeats=1, limit_s=900)


def _work(contender: str, home: str, events: int, url: str | None = None) -> dict[str, Any]:
    folder = Path(home)
    if contender == "build":
        return _build(events, folder)
    wanted = FeatureSet.from_dict(json.loads((folder / "table" / "feature_set.json").read_text()))
    with tempfile.TemporaryDirectory() as state:
        if contender in OURS:
            return _with_sentinel(folder, wanted, Path(state), events, url)
        if contender == "pandas":
            return _with_pandas(folder, wanted, events)
        return _with_feast(contender, folder, wanted, Path(state), events)


def _build(rows: int, folder: Path) -> dict[str, Any]:
    from sentinel.features.retrieval import build_features

    data = simulated(rows, folder)
    paths = project_paths(folder)
    config = default_config(paths)
    started = time.perf_counter()
    build_features(data, config.columns, config.features, name=NAME, paths=paths, out=folder / "table")
    return {"seconds": time.perf_counter() - started}


def _start_us(folder: Path, events: int) -> int:
    """The moment after which about so many events came."""
    import duckdb

    file = folder / "data" / "transactions.parquet"
    with duckdb.connect() as connection:
        sql = (
            f"SELECT min(moment) FROM (SELECT epoch_us(event_timestamp) AS moment FROM '{file}' "
            f"ORDER BY event_timestamp DESC LIMIT {int(events * _HALF)})"
        )
        return connection.execute(sql).fetchall()[0][0]


def _with_sentinel(folder: Path, wanted: FeatureSet, state: Path, events: int, url: str | None) -> dict[str, Any]:
    import duckdb

    from sentinel.features.online.materialize import bring_online
    from sentinel.features.online.replay_events import sent_events
    from sentinel.features.online.store import open_rows
    from sentinel.features.online.stream.base import base_of, load_base
    from sentinel.features.online.stream.clock import Clock
    from sentinel.features.online.stream.ingest import Stream, follow
    from sentinel.features.online.stream.journal import Journal
    from sentinel.features.online.stream.online_sets import table_fields
    from sentinel.features.online.stream.schema import EventSchema
    from sentinel.features.online.stream.sources import StandardInput

    table = folder / "table"
    fields, base = table_fields(table, wanted), base_of(project_paths(folder), NAME, table, wanted)
    start_us = _start_us(folder, events)
    lines = state / "events.jsonl"
    with duckdb.connect() as database, lines.open("wb") as file:
        for number, sent in enumerate(sent_events(database, base.file, wanted, tuple(fields.keys), start_us)):
            if number < events:
                file.write(sent.line + b"\n")
    with closing(open_rows(NAME, state / "online.db", url)) as rows:
        bring_online(table, rows, spill=state / "spill", until_us=start_us)
        with closing(Journal(state / "stream.db", tuple(fields.keys), has_recorded_at=False)) as journal:
            loading = time.perf_counter()
            end_us = load_base(journal, base, [wanted], until_us=start_us)
            longest = max(microseconds(view.ttl) for view in wanted.views)
            stream = Stream(journal, rows, [wanted], Clock(end_us, longest))
            stream.catch_up({wanted.hash: start_us})
            started, used = time.perf_counter(), time.process_time()
            with lines.open("rb") as source:
                follow(
                    lambda: stream, StandardInput(source.fileno()), EventSchema(fields), journal, state / "dead.jsonl",
                    lambda: False,
                )  # fmt: skip
            seconds, counts = time.perf_counter() - started, stream.counts
            cpu_s = time.process_time() - used
    start_s = started - loading
    return {"seconds": seconds, "events": counts.read, "start_s": start_s, "cpu_s": cpu_s, **counts.to_dict()}


def _rows_of_events(folder: Path, wanted: FeatureSet, events: int) -> list[tuple[Any, Any]]:
    """Of each event the finished rows of its views, as frames of one row: what Feast is handed."""
    from pyarrow import parquet

    found: list[tuple[Any, Any]] = []
    for view in wanted.views:
        share = _HALF if view.kind == "spending" else 1 - _HALF
        file = min((folder / "table" / "views" / view.name).glob("*.parquet"))
        frame: Any = parquet.ParquetFile(file).read_row_group(0).slice(0, int(events * share)).to_pandas()
        found += [(view, frame.iloc[number : number + 1]) for number in range(len(frame))]
    return found


def _with_feast(contender: str, folder: Path, wanted: FeatureSet, state: Path, events: int) -> dict[str, Any]:
    from feast import PushSource
    from feast.data_source import PushMode

    from sentinel.features.definitions import feast_objects
    from sentinel.features.store import key_types, open_store, register, view_folders

    paths = project_paths(folder)
    store = open_store(paths, NAME, state=state, online={"type": "sqlite", "path": str(state / "online.db")})
    table = folder / "table"
    keys = key_types(wanted, table / "features.parquet")
    objects: list[Any] = feast_objects(wanted, view_folders(wanted, table / "views"), keys)
    if contender == "feast push":
        for view in objects:
            if type(view).__name__ == "FeatureView":
                source = PushSource(name=f"push_{view.name}", batch_source=view.batch_source)
                view.stream_source = source
                objects.append(source)
    register(store, objects)
    rows = _rows_of_events(folder, wanted, events)
    started = time.perf_counter()
    for view, frame in rows:
        name = view_name(view, wanted)
        if contender == "feast push":
            store.push(f"push_{name}", frame, to=PushMode.ONLINE)
        else:
            store.write_to_online_store(name, df=frame)
    return {"seconds": time.perf_counter() - started, "events": events, "rows": len(rows)}


def _with_pandas(folder: Path, wanted: FeatureSet, events: int) -> dict[str, Any]:
    """For each transaction the counts and sums of its customer and merchant over the last 1, 7 and 30 days."""
    import pandas as pd

    columns = ["event_timestamp", "customer_id", "merchant_id", "amount_minor"]
    frame = pd.read_parquet(folder / "data" / "transactions.parquet", columns=columns)
    frame = frame[frame.event_timestamp > frame.event_timestamp.max() - timedelta(days=60)]
    last = frame.tail(int(events * _HALF))
    total = 0
    started = time.perf_counter()
    for event in last.itertuples():
        for key in ("customer_id", "merchant_id"):
            of_key = frame[(frame[key] == getattr(event, key)) & (frame.event_timestamp <= event.event_timestamp)]
            for days in (1, 7, 30):
                held = of_key[of_key.event_timestamp > event.event_timestamp - timedelta(days=days)].amount_minor
                total += int(held.sum()) + len(held) + int((held**2).sum()) + int(held.max())
    return {"seconds": time.perf_counter() - started, "events": len(last), "total": total}


if __name__ == "__main__":
    main()
