"""The store of ours against Feast's own DuckDB store: the same rows for whatever Feast offers."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RequestSource, ValueType
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64, String
from pyarrow import parquet

from sentinel.config import Features
from sentinel.features.definitions import service_name
from sentinel.features.retrieval_job import AsofRetrievalJob
from sentinel.features.spec import feature_set
from sentinel.features.store import apply, key_types, open_store
from tests.features.project import START, Project, columns_of
from tests.tables import canonical_table

HOUR = timedelta(hours=1)
STOCK = {"type": "duckdb"}
IN_RANGES = {"range_rows": 23}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("stores"), Features())
    made.store_data(canonical_table(10))
    return made


def as_sorted(job: Any, *keys: str) -> pd.DataFrame:
    frame = job.to_df().sort_values(list(keys)).reset_index(drop=True)
    return frame[sorted(frame.columns)]


def same(ours: pd.DataFrame, stock: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(ours, stock, check_dtype=False, check_exact=True)


def test_same_values_as_the_stock_store_for_the_feature_set(project: Project) -> None:
    table = canonical_table(3000, seed=11, customers=40, merchants=25, days=70)
    mapped = columns_of(dict.fromkeys(table.column_names))
    made = project.build(table, mapped, name="stock")
    wanted = feature_set(mapped, project.rules)
    entities = table.select(["transaction_id", "event_timestamp", "customer_id", "merchant_id"]).to_pandas()
    answers = []
    for offline in ({}, STOCK, {"range_rows": 400}):
        store = open_store(project.paths, "stock", offline=offline)
        job = store.get_historical_features(entities, store.get_feature_service(service_name(wanted)))
        answers.append(as_sorted(job, "transaction_id"))
    same(answers[0], answers[1])
    same(answers[2], answers[1])
    assert answers[0]["customer_count_30d"].isna().any() and answers[0]["merchant_fraud_count_7d"].max() > 0
    stored = parquet.read_table(made.locate(project.paths.home) / "features.parquet", columns=["customer_count_1h"])
    assert stored.column(0).to_pylist() == [
        None if pd.isna(value) else int(value) for value in answers[0]["customer_count_1h"]
    ]


@on_demand_feature_view(
    sources=[RequestSource(name="asked", schema=[Field(name="amount", dtype=Float64)])],
    schema=[Field(name="amount_doubled", dtype=Float64)],
    mode="pandas",
)
def doubled(asked: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"amount_doubled": asked["amount"] * 2})


def written(folder: Path) -> Path:
    """Many rows a key and moment range, late and out of order, some never created."""
    random = np.random.default_rng(4)
    rows = 400
    moment = START + pd.to_timedelta(random.permutation(4000)[:rows], unit="m")
    created = moment + pd.to_timedelta(random.integers(0, 3000, rows), unit="m")
    file = folder / "source.parquet"
    parquet.write_table(
        pa.table(
            {
                "who": pa.array(random.choice(["1", "12"], rows)),
                "balance_raw": pa.array(random.integers(0, 10**6, rows)),
                "visits": pa.array(random.integers(0, 100, rows), mask=random.random(rows) < 0.1),
                "moment": pa.array(moment, pa.timestamp("us", "UTC")),
                "made": pa.array(created, pa.timestamp("us", "UTC")),
            }
        ),
        file,
    )
    return file


@pytest.fixture(scope="module")
def stores(project: Project) -> tuple[FeatureStore, ...]:
    """Ours, the stock one, and ours going through ranges of keys, on one registry: views of one source, of any ttl."""
    person = Entity(name="person", join_keys=["who"], value_type=ValueType.STRING)
    source = FileSource(
        name="visits_source", path=str(written(project.folder)), timestamp_field="moment",
        created_timestamp_column="made", field_mapping={"balance_raw": "balance"},
    )  # fmt: skip
    who = Field(name="who", dtype=String)
    views = [
        FeatureView(
            name=name, entities=[person], ttl=ttl, schema=[who, Field(name=feature, dtype=Int64)], source=source
        )
        for name, ttl, feature in (
            ("balances", 6 * HOUR, "balance"), ("visits_view", None, "visits"), ("again", 600 * HOUR, "visits"),
            ("of_a_friend", 48 * HOUR, "visits"),
        )
    ]  # fmt: skip
    *plain, last = views
    renamed = last.with_name("friends").with_join_key_map({"who": "friend"})
    service = FeatureService(name="everything", features=[*plain, renamed, doubled])
    for_apply = open_store(project.paths, "other")
    for_apply.apply([person, source, *views, doubled, service])
    return for_apply, *(open_store(project.paths, "other", offline=offline) for offline in (STOCK, IN_RANGES))


@pytest.fixture
def entities() -> pd.DataFrame:
    random = np.random.default_rng(9)
    return pd.DataFrame(
        {
            "number": np.arange(300),
            "event_timestamp": START + pd.to_timedelta(random.integers(-100, 9000, 300), unit="m"),
            "who": random.choice(["1", "12", "123"], 300),
            "friend": random.choice(["1", "12"], 300),
            "amount": random.random(300),
        }
    )


@pytest.mark.parametrize("by_creation", [False, True])
def test_same_values_with_creation_times_mappings_and_on_demand_views(
    stores: tuple[FeatureStore, ...], entities: pd.DataFrame, by_creation: bool
) -> None:
    answers = [
        as_sorted(
            store.get_historical_features(
                entities.copy(), store.get_feature_service("everything"), full_feature_names=True,
                filter_by_created_timestamp=by_creation,
            ),
            "number",
        )
        for store in stores
    ]  # fmt: skip
    same(answers[0], answers[1])
    same(answers[2], answers[1])
    found = answers[0]
    assert {"balances__balance", "visits_view__visits", "again__visits", "friends__visits"} <= set(found.columns)
    assert found["balances__balance"].isna().sum() > found["visits_view__visits"].isna().sum() > 0
    assert found["doubled__amount_doubled"].equals(found["amount"] * 2)


def test_views_of_one_source_and_key_are_joined_once(stores: tuple[FeatureStore, ...], entities: pd.DataFrame) -> None:
    job = stores[0].get_historical_features(
        entities, stores[0].get_feature_service("everything"), full_feature_names=True
    )
    assert isinstance(job, AsofRetrievalJob)
    assert job.to_sql().count("ASOF LEFT JOIN") == 2  # by `who`, and by `friend`


@pytest.fixture
def asked(stores: tuple[FeatureStore, ...], entities: pd.DataFrame) -> Iterator[AsofRetrievalJob]:
    job: Any = stores[0].get_historical_features(pa.Table.from_pandas(entities), ["balances:balance"])
    yield job
    job.close()


def test_rows_come_in_the_order_of_arrow_entities_in_batches_and_persisted(
    asked: AsofRetrievalJob, entities: pd.DataFrame, tmp_path: Path
) -> None:
    whole = asked.to_arrow()
    assert whole.column("number").to_pylist() == entities["number"].tolist()
    assert pa.Table.from_batches(list(asked.to_batches(64))).equals(whole)
    storage = SavedDatasetFileStorage(path=str(tmp_path / "saved.parquet"))
    asked.persist(storage)
    assert parquet.read_table(tmp_path / "saved.parquet").equals(whole)
    with pytest.raises(Exception, match="already exists"):
        asked.persist(storage)


def test_ranges_of_keys_answer_as_one_query_does(stores: tuple[FeatureStore, ...]) -> None:
    """Unknown and absent keys, repeated rows, a range without rows, far more rows than a block of ranges holds."""
    random = np.random.default_rng(2)
    rows = 700
    asked = pa.table(
        {
            "number": pa.array(random.integers(0, 50, rows)),
            "event_timestamp": pa.array(
                START + pd.to_timedelta(random.integers(-100, 9000, rows), unit="m"), pa.timestamp("us", "UTC")
            ),
            "who": pa.array(random.choice(["1", "12", "123", ""], rows), mask=random.random(rows) < 0.1),
            "friend": pa.array(["12"] * rows),
            "amount": pa.array(random.random(rows)),
        }
    )
    whole, ranged = (
        store.get_historical_features(
            pa.concat_tables([asked, asked.slice(5, 90)]),
            store.get_feature_service("everything"),
            full_feature_names=True,
        )
        for store in (stores[0], stores[2])
    )
    assert ranged.to_arrow().equals(whole.to_arrow())


def test_entity_rows_as_sql(stores: tuple[FeatureStore, ...]) -> None:
    sql = "SELECT TIMESTAMP '2026-03-02 12:00:00' AS t, who FROM (VALUES ('1'), ('nobody')) AS asked(who)"
    found = stores[0].get_historical_features(sql, ["visits_view:visits", "balances:balance"]).to_arrow()
    assert found.column_names == ["t", "who", "visits", "balance"]
    assert found.to_pylist()[1]["balance"] is None


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELECT '1' AS who", "exactly one timestamp"),
        ("SELECT now() AS a, now() AS b, '1' AS who", "exactly one timestamp"),
        ("SELECT NULL::TIMESTAMPTZ AS event_timestamp, '1' AS who", "have no event_timestamp"),
        ("SELECT now() AS event_timestamp, '1' AS who, 1 AS balance", "would stand twice"),
        ("SELECT now() AS event_timestamp, '1' AS who, 1 AS __row", "must not begin with"),
    ],
)
def test_entity_rows_that_cannot_be_joined_are_refused(
    stores: tuple[FeatureStore, ...], sql: str, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        stores[0].get_historical_features(sql, ["balances:balance"])


def test_versions_of_a_feature_set_live_side_by_side(project: Project) -> None:
    table = canonical_table(200, seed=1)
    mapped = columns_of(dict.fromkeys(table.column_names))
    project.build(table, mapped, name="two-versions", out="first")
    other = feature_set(mapped, Features(ingestion_lag=HOUR))
    file = project.paths.home / "transactions.parquet"
    apply(project.paths, "two-versions", other, project.paths.home / "first" / "views", key_types(other, file))
    store = open_store(project.paths, "two-versions")
    assert store.project == "two_versions"
    names = {service.name for service in store.list_feature_services()}
    assert names == {service_name(feature_set(mapped, project.rules)), service_name(other)}
    assert len(store.list_feature_views()) == 10
