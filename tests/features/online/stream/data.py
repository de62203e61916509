"""Events of small tables, and what an offline build of the same tables says online rows must be."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
from hypothesis import strategies as st
from pyarrow import parquet

from sentinel.config import Column, Columns, Features
from sentinel.features.build import build_views
from sentinel.features.online.rows import OnlineRow
from sentinel.features.online.stream.schema import Fields
from sentinel.features.spec import FeatureSet, feature_set, microseconds, view_name
from tests.features.project import LAG, START

RULES = Features(ingestion_lag=LAG, label_delay=timedelta(days=3))
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
STEPS = [0 * HOUR, LAG, HOUR, 24 * HOUR - LAG, 24 * HOUR, 72 * HOUR, 168 * HOUR, 720 * HOUR, 720 * HOUR + LAG]
MOMENTS = st.tuples(st.sampled_from(STEPS), st.sampled_from(STEPS), st.integers(-1, 1)).map(
    lambda parts: START + parts[0] + parts[1] + parts[2] * MICROSECOND
)
AMOUNTS = st.one_of(st.integers(-500, 5000), st.sampled_from([2**63 - 1, -(2**63) + 1, 3_037_000_499, 3_037_000_500]))
KEYS = {"int64": st.sampled_from([1, 12, 123]), "string": st.sampled_from(["1", "12", "a'b", ""])}
ENTITIES = ("merchant_id", "device_id")


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Few keys and moments, so that everything collides; the same id again is a correction."""
    keys = KEYS[draw(st.sampled_from(["int64", "string"]))]
    entities = [name for name in ENTITIES if draw(st.booleans())]
    has_arrival, has_label_time = draw(st.booleans()), draw(st.booleans())
    rows: dict[Any, dict[str, Any]] = {}
    for number in range(draw(st.integers(1, 14))):
        row = {"transaction_id": number, "event_timestamp": draw(MOMENTS), "customer_id": draw(keys)}
        row |= {name: draw(st.one_of(st.none(), keys)) for name in entities}
        row |= {"amount_minor": draw(AMOUNTS), "is_fraud": draw(st.sampled_from([True, False, None]))}
        if has_arrival:
            row |= {"transaction_id": draw(st.integers(0, 5)), "recorded_at": draw(MOMENTS)}
        if has_label_time:
            row["label_available_at"] = draw(st.one_of(st.none(), MOMENTS))
        rows[row["transaction_id"], row.get("recorded_at")] = row
    return list(rows.values())


def us(moment: datetime) -> int:
    return (moment - EPOCH) // MICROSECOND


def wanted_of(rows: list[dict[str, Any]], rules: Features = RULES) -> FeatureSet:
    names = rows[0]
    needed = ("transaction_id", "event_timestamp", "customer_id", "amount", "is_fraud")
    optional = [name for name in ("merchant_id", "recorded_at", "label_available_at") if name in names]
    columns = {name: Column(source=name) for name in (*needed, *optional)}
    entities = {"device": Column(source="device_id")} if "device_id" in names else {}
    return feature_set(Columns(**columns, entities=entities), rules)


def fields_of(rows: list[dict[str, Any]]) -> Fields:
    kind = "string" if isinstance(rows[0]["customer_id"], str) else "int64"
    keys = {name: kind for name in ("customer_id", *ENTITIES) if name in rows[0]}
    return Fields(
        "int64", keys, has_recorded_at="recorded_at" in rows[0], has_label_available_at="label_available_at" in rows[0]
    )


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    kind = pa.array([rows[0]["customer_id"]]).type
    moment = pa.timestamp("us", "UTC")
    types = {
        "transaction_id": pa.int64(), "event_timestamp": moment, "recorded_at": moment, "label_available_at": moment,
        "customer_id": kind, "merchant_id": kind, "device_id": kind, "amount_minor": pa.int64(), "is_fraud": pa.bool_(),
    }  # fmt: skip
    return pa.table({name: pa.array([row[name] for row in rows], types[name]) for name in rows[0]})


def write(rows: list[dict[str, Any]], file: Path) -> Path:
    parquet.write_table(table_of(rows), file)
    return file


def known(row: dict[str, Any]) -> datetime:
    return max(row.get("recorded_at", row["event_timestamp"]), row["event_timestamp"])


def label_arrival(row: dict[str, Any], rules: Features = RULES) -> datetime | None:
    if row["is_fraud"] is None:
        return None
    return row["label_available_at"] if "label_available_at" in row else row["event_timestamp"] + rules.label_delay


def transaction_line(row: dict[str, Any], *, with_label: bool = False) -> bytes:
    left_out = () if with_label else ("is_fraud", "label_available_at")
    return _line("transaction", {name: value for name, value in row.items() if name not in left_out})


def label_line(row: dict[str, Any]) -> bytes:
    """Of this very version, where transactions have versions."""
    named = ("transaction_id", "recorded_at", "is_fraud", "label_available_at")
    return _line("label", {name: row[name] for name in named if name in row})


def _line(kind: str, fields: dict[str, Any]) -> bytes:
    said = {name: value.isoformat() if isinstance(value, datetime) else value for name, value in fields.items()}
    return json.dumps({"type": kind, **said}).encode()


def offline_rows(rows: list[dict[str, Any]], wanted: FeatureSet, folder: Path, now_us: int) -> dict[Any, OnlineRow]:
    """By view and key the row that an offline build of all rows has as of now, unless it expired."""
    folder.mkdir()  # a build wants an empty one
    folders = build_views(write(rows, folder / "all.parquet"), wanted, folder / "views", threads=1)
    found: dict[Any, OnlineRow] = {}
    with duckdb.connect() as connection:
        for view in wanted.views:
            keys = ", ".join(view.keys)
            ttl = microseconds(view.ttl)
            sql = (
                f"SELECT {keys}, {view.known_at}, {', '.join(view.columns)} FROM '{folders[view.name]}/*.parquet' "
                f"WHERE {view.known_at} <= {now_us} QUALIFY row_number() OVER (PARTITION BY {keys} "
                f"ORDER BY {view.known_at} DESC) = 1 AND {view.known_at} >= {now_us - ttl}"
            )
            n = len(view.keys)
            for row in connection.execute(sql).fetchall():
                found[view_name(view, wanted), row[:n]] = OnlineRow(row[:n], row[n], row[n + 1 :])
    return found
