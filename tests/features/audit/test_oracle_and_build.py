"""Build and retrieval on one side, the oracle on the other: two ways to the same numbers, held together at random."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sentinel.config import Column, Columns, Features
from sentinel.features.audit.oracle import ASKED_AT, expected_features, moments_asked
from sentinel.features.build import KNOWABLE_AT, build_views
from sentinel.features.spec import FeatureSet, feature_set
from sentinel.storage import listing
from tests.features.project import LAG, START, Project, columns, row, table_of

HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)
RULES = Features(ingestion_lag=LAG, label_delay=timedelta(days=3))
# moments that meet each other, ends of windows and the ttl, to the microsecond
STEPS = [0 * HOUR, LAG, HOUR, 24 * HOUR - LAG, 24 * HOUR, 72 * HOUR, 168 * HOUR, 720 * HOUR, 720 * HOUR + LAG]
MOMENTS = st.builds(
    lambda first, then, jitter: first + then + jitter * MICROSECOND,
    st.sampled_from(STEPS), st.sampled_from(STEPS), st.integers(-1, 1),
)  # fmt: skip
AMOUNTS = st.one_of(st.integers(-500, 5000), st.sampled_from([2**63 - 1, -(2**63) + 1, 3_037_000_499, 3_037_000_500]))
OPTIONAL = ("merchant_id", "recorded_at", "label_available_at", "device_id")
HISTORIES = 10  # of disjoint keys in one build: a build costs more than what is in it


@st.composite
def tables(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Several small histories as rows of one source, sorted as ingestion sorts them."""
    has = {name: draw(st.booleans()) for name in OPTIONAL}
    is_text = draw(st.booleans())
    histories = draw(st.lists(_history(has), min_size=1, max_size=HISTORIES))
    rows = []
    for number, history in enumerate(histories):
        for entry in history:
            keys = {
                name: _own_key(number, entry[name], is_text)
                for name in ("customer_id", "merchant_id", "device_id")
                if name in entry
            }
            rows.append({**entry, **keys, "transaction_id": entry["transaction_id"] + 100 * number})
    return sorted(rows, key=lambda each: (each["event_timestamp"], each["transaction_id"], each.get("recorded_at")))


def _own_key(history: int, key: int | None, is_text: bool) -> int | str | None:
    """(1, 23) and (12, 3) read alike when written behind each other, in every history."""
    if key is None:
        return None
    return f"{history}'{key}" if is_text else history * 1000 + key


@st.composite
def _history(draw: st.DrawFn, has: dict[str, bool]) -> list[dict[str, Any]]:
    rows = []
    for number in range(draw(st.integers(1, 10))):
        values: dict[str, Any] = {
            "customer_id": draw(st.sampled_from([1, 12])), "amount_minor": draw(AMOUNTS),
            "is_fraud": draw(st.sampled_from([True, False, None])),
        }  # fmt: skip
        if has["merchant_id"]:
            values["merchant_id"] = draw(st.sampled_from([None, 3, 23]))
        if has["device_id"]:
            values["device_id"] = draw(st.sampled_from([None, 1, 3]))
        if has["recorded_at"]:
            values["recorded_at"] = START + draw(MOMENTS)
            number = draw(st.integers(0, 4))  # the same number again is a correction
        if has["label_available_at"]:
            values["label_available_at"] = draw(st.one_of(st.none(), MOMENTS.map(lambda late: START + late)))
        rows.append(row(number, draw(MOMENTS), **values))
    return list({(each["transaction_id"], each.get("recorded_at")): each for each in rows}.values())


def _columns_of(entry: dict[str, Any]) -> Columns:
    mapped = {name: Column(source=name) for name in OPTIONAL[:3] if name in entry}
    return columns(**mapped, entities={"device": Column(source="device_id")} if "device_id" in entry else {})


def _typed(rows: list[dict[str, Any]]) -> pa.Table:
    table = table_of(rows)
    if "device_id" in table.column_names:
        place = table.column_names.index("device_id")
        table = table.set_column(place, "device_id", table["device_id"].cast(table["customer_id"].type))
    return table


def _questions(source: pa.Table, wanted: FeatureSet, answered: pa.Table) -> pa.Table:
    moments = pa.array(moments_asked(source, wanted, answered), pa.timestamp("us", "UTC"))
    return answered.select(list(wanted.keys)).append_column(ASKED_AT, moments)


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("property")


@settings(max_examples=10, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rows=tables(), seed=st.integers(0, 9))
def test_build_and_retrieval_give_what_the_oracle_counts(
    shared_folder: Path, rows: list[dict[str, Any]], seed: int
) -> None:
    project, source, mapped = Project(shared_folder, RULES), _typed(rows), _columns_of(rows[0])
    wanted = feature_set(mapped, RULES)
    made = project.build(source, mapped).locate(project.paths.home)
    found = parquet.read_table(made / "features.parquet")
    expected = expected_features(source, wanted, _questions(source, wanted, found))
    assert found.num_rows == len({each["transaction_id"] for each in rows})
    for place, answer in enumerate(expected):
        given_back = found.select(list(wanted.columns)).slice(place, 1).to_pylist()[0]
        assert given_back == dict(zip(wanted.columns, answer, strict=True)), found.slice(place, 1).to_pylist()
    for view in wanted.views:
        _require_unique(made / "views" / view.name, (*view.keys, KNOWABLE_AT))
    _require_same_files_of_shuffled(source, wanted, made / "views", shared_folder / "shuffled", seed)


def _require_unique(folder: Path, columns: tuple[str, ...]) -> None:
    rows = parquet.read_table(folder).select(columns)
    assert rows.group_by(columns).aggregate([]).num_rows == rows.num_rows


def _require_same_files_of_shuffled(source: pa.Table, wanted: FeatureSet, views: Path, folder: Path, seed: int) -> None:
    folder.mkdir(exist_ok=True)
    order = np.random.default_rng(seed).permutation(source.num_rows)
    parquet.write_table(source.take(pa.array(order)), folder / "transactions.parquet")
    shutil.rmtree(folder / "views", ignore_errors=True)
    build_views(folder / "transactions.parquet", wanted, folder / "views", threads=1)
    assert listing(folder / "views") == listing(views)
