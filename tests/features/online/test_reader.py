"""A vector read online equals the row that training would have made of the same moment."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from pyarrow import parquet

from sentinel.features.online.reader import Asked, read_vectors
from sentinel.features.online.rows import OnlineRow, OnlineRows
from sentinel.features.spec import FeatureSet, microseconds, view_name
from tests.features.online.built import bring, build, feature_set_of, opened
from tests.features.project import Project
from tests.tables import canonical_table

T = 1_770_000_000_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("project"))
    build(made, canonical_table(2000, with_recorded_at=True), "table")
    build(made, canonical_table(2000, string_ids=True), "words")
    return made


@pytest.fixture
def wanted(project: Project) -> FeatureSet:
    return feature_set_of(project.paths.home / "table")


def asked(at_us: int, customer: Any = 1, merchant: Any = 2) -> Asked:
    return Asked({"customer_id": customer, "merchant_id": merchant}, at_us)


@pytest.mark.parametrize("out", ["table", "words"])
def test_vector_equals_the_row_that_training_has_of_the_same_moment(project: Project, tmp_path: Path, out: str) -> None:
    """The store is filled as of some transactions' moments, so that nothing newer is in the way."""
    folder = project.paths.home / out
    feature_set = feature_set_of(folder)
    transactions: list[dict[str, Any]] = parquet.read_table(folder / "features.parquet").to_pylist()
    mine = Project(tmp_path)
    for each in random.Random(3).sample(transactions[500:], 8):
        at_us = microseconds(each["event_timestamp"] - EPOCH)
        for file in mine.paths.feast("tiny").glob("online.db*"):
            file.unlink()
        with opened(mine, None) as rows:
            bring(Project(project.folder), rows, out, until_us=at_us)
            (vector,) = read_vectors(rows, feature_set, [Asked({key: each[key] for key in feature_set.keys}, at_us)])
        assert vector.values == tuple(each[name] for name in feature_set.columns)
        assert vector.too_new == ()


def test_row_speaks_until_its_ttl_and_not_a_microsecond_longer(rows: OnlineRows, wanted: FeatureSet) -> None:
    view = wanted.views[0]
    values = tuple(range(len(view.aggregates)))
    rows.write(view_name(view, wanted), [OnlineRow((1,), T, values)])
    last = T + microseconds(view.ttl)
    fresh, old, expired = read_vectors(rows, wanted, [asked(T), asked(last), asked(last + 1)])
    assert fresh.values[: len(values)] == old.values[: len(values)] == values
    age = wanted.columns.index(view.age)
    assert (fresh.values[age], old.values[age]) == (0, microseconds(view.ttl))
    assert set(expired.values) == {None}


def test_row_from_the_future_is_missing_and_told_of(rows: OnlineRows, wanted: FeatureSet) -> None:
    first, second = wanted.views[:2]
    rows.write(view_name(first, wanted), [OnlineRow((1,), T + 1, (1,) * len(first.aggregates))])
    rows.write(view_name(second, wanted), [OnlineRow((1,), T, (2,) * len(second.aggregates))])
    (vector,) = read_vectors(rows, wanted, [asked(T)])
    assert vector.too_new == (first.name,)
    found = dict(zip(wanted.columns, vector.values, strict=True))
    assert [found[name] for name in (*first.columns, first.age)] == [None] * (len(first.columns) + 1)
    assert [found[name] for name in (*second.columns, second.age)] == [2] * len(second.columns) + [0]


def test_transaction_without_a_merchant_has_what_its_customer_has(rows: OnlineRows, wanted: FeatureSet) -> None:
    for view in wanted.views:
        key = (1, 2) if len(view.keys) == 2 else (1,) if view.entity == "customer" else (2,)
        rows.write(view_name(view, wanted), [OnlineRow(key, T, (5,) * len(view.aggregates))])
    whole, without = read_vectors(rows, wanted, [asked(T), asked(T, merchant=None)])
    assert None not in whole.values
    present = {name for name, value in zip(wanted.columns, without.values, strict=True) if value is not None}
    of_customer = [view for view in wanted.views if view.entity == "customer"]
    assert present == {name for view in of_customer for name in (*view.columns, view.age)}


def test_unknown_keys_read_as_missing_and_order_is_kept(rows: OnlineRows, wanted: FeatureSet) -> None:
    view = wanted.views[0]
    rows.write(view_name(view, wanted), [OnlineRow((key,), T, (key,) * len(view.aggregates)) for key in range(50)])
    customers = [7, "7", 3, 99, 7, -1]
    vectors = read_vectors(rows, wanted, [asked(T, customer) for customer in customers])
    assert [vector.values[0] for vector in vectors] == [7, None, 3, None, 7, None]
    assert read_vectors(rows, wanted, []) == []


def test_many_vectors_are_one_round_trip(redis_url: str, tmp_path: Path, wanted: FeatureSet) -> None:
    with opened(Project(tmp_path), redis_url) as rows, redis.Redis.from_url(redis_url) as client:
        client.config_resetstat()
        read_vectors(rows, wanted, [asked(T, customer) for customer in range(100)])
        statistics: Any = client.info("commandstats")
    assert statistics["cmdstat_mget"]["calls"] == 1
    assert "cmdstat_get" not in statistics
