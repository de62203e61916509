"""Building the features against pandas rolling as in the handbook, and against bare DuckDB SQL as the limit.

    python -m benchmarks.feature_build [--json FILE] [--sizes 200000,1750000]

All read the same transactions. Ours writes every view of the default spec, sorted and one row a moment. Bare SQL
writes the same windows without different merchants, unsorted and a row a transaction. Pandas computes the handbook's
15 features (count and mean of three windows a customer, count and risk of three windows a terminal) in memory. A
contender is stopped at 10 minutes or 16 GB. That customer_amount_sum_7d is the same for all is checked in each run.
"""

from __future__ import annotations

import argparse
import importlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

from benchmarks.feature_data import default_config, project_paths, simulated
from benchmarks.report import Measurement, make_document, measure, publish
from sentinel.features.spec import FeatureSet, FeatureView, feature_set, microseconds

SIZES = (200_000, 1_750_000)
OURS, LIMIT, BOOK = "sentinel", "bare duckdb", "pandas rolling"
_LIBRARY = {OURS: "sentinel.features.build", LIMIT: "duckdb", BOOK: "pandas"}
PACKAGES = ("duckdb", "ibis-framework", "pandas", "pyarrow")
DAYS = (1, 7, 30)
_WITHIN = {"count": "count(*)", "label_count": "count(*)", "amount_sum": "sum(amount_minor)",
           "amount_sum_of_squares": "sum(amount_minor * amount_minor)", "amount_max": "max(amount_minor)",
           "fraud_count": "sum(is_fraud::BIGINT)",
           "first_fraud_at": "min(CASE WHEN is_fraud THEN epoch_us(event_timestamp) END)",
           "last_fraud_at": "max(CASE WHEN is_fraud THEN epoch_us(event_timestamp) END)",
           "last_genuine_at": "max(CASE WHEN NOT is_fraud THEN epoch_us(event_timestamp) END)",
           "genuine_amount_sum": "sum(CASE WHEN NOT is_fraud THEN amount_minor END)",
           "genuine_amount_sum_of_squares": "sum(CASE WHEN NOT is_fraud THEN amount_minor * amount_minor END)",
           "genuine_amount_max": "max(CASE WHEN NOT is_fraud THEN amount_minor END)"}  # fmt: skip


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
    publish(make_document("feature_build", PACKAGES, measurements, lambda each: f"{each.case}/{OURS}"), options.json)


def _compare(size: int) -> list[Measurement]:
    with tempfile.TemporaryDirectory() as folder:
        simulated(size, Path(folder))
        found = [
            measure(
                __spec__.name, {"contender": contender, "home": folder}, f"{size:,} rows", contender,
                repeats=1 if contender == BOOK else 3, limit_s=600,
            )
            for contender in (OURS, LIMIT, BOOK)
        ]  # fmt: skip
    checks = {run.facts["check"] for each in found for run in each.runs if run.outcome == "done"}
    if len(checks) > 1:
        raise SystemExit(f"customer_amount_sum_7d is not the same for all: {checks}")
    return found


def _work(contender: str, home: str) -> dict[str, Any]:
    folder = Path(home)
    file = folder / "data" / "transactions.parquet"
    config = default_config(project_paths(folder))
    wanted = feature_set(config.columns, config.features)
    build: Callable[[Path, FeatureSet, Path], Callable[[], int]] = {OURS: _ours, LIMIT: _bare, BOOK: _book}[contender]
    importlib.import_module(_LIBRARY[contender])  # not in the time
    started = time.perf_counter()
    check = build(file, wanted, folder / f"built-{time.time_ns()}")
    seconds = time.perf_counter() - started
    rows = int(_one(f"SELECT count(*) FROM read_parquet('{file}')"))
    return {"seconds": seconds, "rows": rows, "rows_a_second": round(rows / seconds), "check": check()}


def _ours(file: Path, wanted: FeatureSet, out: Path) -> Callable[[], int]:
    from sentinel.features.build import build_views

    views = build_views(file, wanted, out)
    return lambda: int(
        _one(f"SELECT sum(customer_amount_sum_7d) FROM read_parquet('{views['customer_spending']}/*.parquet')")
    )


def _bare(file: Path, wanted: FeatureSet, out: Path) -> Callable[[], int]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET threads = 2")  # as many as ours has
    out.mkdir()
    for view in wanted.views:
        sql = _window_sql(file, view, wanted)
        connection.execute(f"COPY ({sql}) TO '{out / view.name}.parquet' (FORMAT parquet, COMPRESSION zstd)")
    spending = out / "customer_spending.parquet"
    last = f"SELECT max(customer_amount_sum_7d) AS value FROM '{spending}' GROUP BY customer_id, known_at"
    return lambda: int(_one(f"SELECT sum(value) FROM ({last})"))


def _window_sql(file: Path, view: FeatureView, wanted: FeatureSet) -> str:
    """A row an event, with every window of the view."""
    if view.kind == "spending":
        known_at, where = f"epoch_us(event_timestamp) + {microseconds(wanted.ingestion_lag)}", "true"
    else:
        known_at, where = "epoch_us(label_available_at)", "is_fraud IS NOT NULL AND label_available_at IS NOT NULL"
    keys = ", ".join(view.keys)
    aggregates = ", ".join(
        f"{_WITHIN[each.statistic]} OVER (PARTITION BY {keys} ORDER BY known_at RANGE BETWEEN "
        f"{microseconds(each.window) - 1} PRECEDING AND CURRENT ROW) AS {each.name}"
        for each in view.aggregates
        if each.statistic in _WITHIN
    )
    events = f"SELECT *, {known_at} AS known_at FROM read_parquet('{file}') WHERE {where}"
    return f"SELECT {keys}, known_at, {aggregates} FROM ({events})"


def _book(file: Path, wanted: FeatureSet, out: Path) -> Callable[[], int]:
    """The handbook's two functions, on our columns."""
    import pandas as pd

    table = pd.read_parquet(file, columns=["event_timestamp", "customer_id", "merchant_id", "amount_minor", "is_fraud"])
    table["is_fraud"] = table["is_fraud"].astype("float64")
    table = table.sort_values("event_timestamp", kind="stable")

    def spending(of_customer: Any) -> Any:
        by_time = of_customer.set_index("event_timestamp")["amount_minor"]
        for days in DAYS:
            window = by_time.rolling(f"{days}D")
            total, count = window.sum(), window.count()
            of_customer[f"count_{days}d"] = count.to_numpy()
            of_customer[f"sum_{days}d"] = total.to_numpy()
            of_customer[f"mean_{days}d"] = (total / count).to_numpy()
        return of_customer

    def risk(of_terminal: Any, delay: int = 7) -> Any:
        by_time = of_terminal.set_index("event_timestamp")["is_fraud"]
        frauds_late, count_late = by_time.rolling(f"{delay}D").sum(), by_time.rolling(f"{delay}D").count()
        for days in DAYS:
            window = by_time.rolling(f"{delay + days}D")
            count = window.count() - count_late
            of_terminal[f"terminal_count_{days}d"] = count.to_numpy()
            of_terminal[f"terminal_risk_{days}d"] = ((window.sum() - frauds_late) / count).fillna(0).to_numpy()
        return of_terminal

    table = pd.concat([spending(group.copy()) for _, group in table.groupby("customer_id")])
    table = table.sort_values("event_timestamp", kind="stable")
    table = pd.concat([risk(group.copy()) for _, group in table.groupby("merchant_id")])
    return lambda: int(table.groupby(["customer_id", "event_timestamp"])["sum_7d"].max().sum())


def _one(sql: str) -> Any:
    row = duckdb.sql(sql).fetchone()
    assert row is not None
    return row[0]


if __name__ == "__main__":
    main()
