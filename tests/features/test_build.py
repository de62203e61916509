from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from sentinel.config import Features
from sentinel.features.build import KNOWABLE_AT, build_views
from sentinel.features.spec import feature_set
from sentinel.storage import listing
from tests.features.oracle import expected, scored
from tests.features.project import LAG, START, Project, columns_of, row
from tests.tables import canonical_table

HOUR = timedelta(hours=1)
RULES = Features(ingestion_lag=LAG, label_delay=timedelta(days=3))
# moments that meet each other, window ends and the ttl, to the microsecond
STEPS = [0 * HOUR, LAG, HOUR, 24 * HOUR - LAG, 24 * HOUR, 72 * HOUR, 168 * HOUR, 720 * HOUR, 720 * HOUR + LAG]
MOMENTS = st.tuples(st.sampled_from(STEPS), st.sampled_from(STEPS), st.integers(-1, 1)).map(
    lambda parts: parts[0] + parts[1] + parts[2] * timedelta(microseconds=1)
)
AMOUNTS = st.one_of(st.integers(-500, 5000), st.sampled_from([2**63 - 1, -(2**63) + 1, 3_037_000_499, 3_037_000_500]))
KEYS = {"int": st.sampled_from([1, 12, 123]), "text": st.sampled_from(["1", "12", "a'b", ""])}


def test_shuffled_source_gives_byte_identical_files(tmp_path: Path) -> None:
    table = canonical_table(20_000, seed=5, customers=50, merchants=30, with_recorded_at=True, days=20)
    folders = []
    for seed in (None, 1, 2):
        order = np.arange(table.num_rows) if seed is None else np.random.default_rng(seed).permutation(table.num_rows)
        parquet.write_table(table.take(pa.array(order)), tmp_path / "shuffled.parquet")
        wanted = feature_set(columns_of(dict.fromkeys(table.column_names)), RULES)
        build_views(tmp_path / "shuffled.parquet", wanted, tmp_path / str(seed), threads=1 if seed == 1 else 4)
        folders.append(listing(tmp_path / str(seed)))
    assert len(folders[0]) == 4
    assert folders[0] == folders[1] == folders[2]


def test_key_and_moment_are_unique_and_sorted(tmp_path: Path) -> None:
    table = canonical_table(5000, seed=6, customers=3, merchants=2, days=1)
    parquet.write_table(table, tmp_path / "transactions.parquet")
    wanted = feature_set(columns_of(dict.fromkeys(table.column_names)), RULES)
    files = build_views(tmp_path / "transactions.parquet", wanted, tmp_path / "views")
    for view in wanted.views:
        rows = parquet.read_table(files[view.name])
        pairs = list(zip(rows[view.key].to_pylist(), rows[view.known_at].to_pylist(), strict=True))
        assert pairs == sorted(set(pairs))
        assert rows[view.known_at].equals(pc.cast(rows[KNOWABLE_AT], pa.int64()))
        assert rows.schema.field(KNOWABLE_AT).type == pa.timestamp("us", "UTC")
        assert {str(rows.schema.field(name).type) for name in view.stored} == {"int64"}
        assert len(pairs) < table.num_rows  # some moments were met twice


@st.composite
def transactions(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Rows sorted as ingestion sorts them; few keys and moments, so that everything collides."""
    keys = KEYS[draw(st.sampled_from(["int", "text"]))]
    has_merchant, has_arrival, has_label_time = draw(st.booleans()), draw(st.booleans()), draw(st.booleans())
    rows = []
    for number in range(draw(st.integers(1, 14))):
        values: dict[str, Any] = {
            "customer_id": draw(keys), "amount_minor": draw(AMOUNTS),
            "is_fraud": draw(st.sampled_from([True, False, None])),
        }  # fmt: skip
        after = draw(MOMENTS)
        if has_merchant:
            values["merchant_id"] = draw(st.one_of(st.none(), keys))
        if has_arrival:
            values["recorded_at"] = START + draw(MOMENTS)
            number = draw(st.integers(0, 5))  # the same number again is a correction
        if has_label_time:
            values["label_available_at"] = draw(st.one_of(st.none(), MOMENTS.map(lambda late: START + late)))
        rows.append(row(number, after, **values))
    unique = {(each["transaction_id"], each.get("recorded_at")): each for each in rows}
    return sorted(unique.values(), key=lambda each: (each["event_timestamp"], each["transaction_id"]))


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("property")


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rows=transactions())
def test_build_and_retrieval_give_what_the_oracle_counts(shared_folder: Path, rows: list[dict[str, Any]]) -> None:
    found = Project(shared_folder, RULES).features(rows)
    wanted = expected(rows, lag=LAG, label_delay=RULES.label_delay)
    for asked, answer, oracle in zip(scored(rows), found, wanted, strict=True):
        assert {name: answer[name] for name in asked} == asked
        assert {name: answer[name] for name in oracle} == oracle
        assert set(answer) == {*asked, *oracle}
