from __future__ import annotations

import math
from datetime import timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import parquet

from sentinel.config import Features
from sentinel.features.build import KNOWABLE_AT, build_views
from sentinel.features.spec import feature_set
from sentinel.storage import listing
from tests.features.project import LAG, columns_of
from tests.tables import canonical_table

RULES = Features(ingestion_lag=LAG, label_delay=timedelta(days=3))


def test_shuffled_source_gives_byte_identical_files(tmp_path: Path) -> None:
    table = canonical_table(20_000, seed=5, customers=50, merchants=30, with_recorded_at=True, days=20)
    folders = []
    for seed in (None, 1, 2):
        order = np.arange(table.num_rows) if seed is None else np.random.default_rng(seed).permutation(table.num_rows)
        parquet.write_table(table.take(pa.array(order)), tmp_path / "shuffled.parquet")
        wanted = feature_set(columns_of(dict.fromkeys(table.column_names)), RULES)
        build_views(tmp_path / "shuffled.parquet", wanted, tmp_path / str(seed), threads=1 if seed == 1 else 4)
        folders.append(listing(tmp_path / str(seed)))
    assert len(folders[0]) == len(wanted.views)
    assert folders[0] == folders[1] == folders[2]


def test_key_and_moment_are_unique_and_sorted(tmp_path: Path) -> None:
    table = canonical_table(5000, seed=6, customers=3, merchants=2, days=1)
    parquet.write_table(table, tmp_path / "transactions.parquet")
    wanted = feature_set(columns_of(dict.fromkeys(table.column_names)), RULES)
    folders = build_views(tmp_path / "transactions.parquet", wanted, tmp_path / "views")
    for view in wanted.views:
        rows = parquet.read_table(folders[view.name])
        pairs = list(zip(*(rows[name].to_pylist() for name in (*view.keys, view.known_at)), strict=True))
        assert pairs == sorted(set(pairs))
        assert rows[view.known_at].equals(pc.cast(rows[KNOWABLE_AT], pa.int64()))
        assert rows.schema.field(KNOWABLE_AT).type == pa.timestamp("us", "UTC")
        assert {str(rows.schema.field(name).type) for name in view.stored} == {"int64"}
        assert len(pairs) < table.num_rows  # some moments were met twice


def test_partitions_of_the_keys_change_nothing_but_the_files(tmp_path: Path) -> None:
    table = canonical_table(4000, seed=8, customers=40, merchants=30, with_recorded_at=True, days=20)
    parquet.write_table(table, tmp_path / "transactions.parquet")
    wanted = feature_set(columns_of(dict.fromkeys(table.column_names)), RULES)
    whole = build_views(tmp_path / "transactions.parquet", wanted, tmp_path / "whole")
    parts = build_views(tmp_path / "transactions.parquet", wanted, tmp_path / "parts", partition_rows=900)
    for view in wanted.views:
        assert len(list(parts[view.name].iterdir())) == math.ceil(table.num_rows / 900)
        order = [(name, "ascending") for name in (*view.keys, KNOWABLE_AT)]
        assert parquet.read_table(parts[view.name]).sort_by(order).equals(parquet.read_table(whole[view.name]))
