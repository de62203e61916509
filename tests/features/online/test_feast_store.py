"""Feast's own calls over the online rows."""

from __future__ import annotations

import shutil
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from feast import FeatureStore
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

from sentinel.features.definitions import feast_objects, service_name
from sentinel.features.online.materialize import record_in_feast
from sentinel.features.online.reader import Asked, read_vectors
from sentinel.features.online.rows import OnlineRow
from sentinel.features.online.store import open_online
from sentinel.features.spec import FeatureSet, microseconds, view_name
from sentinel.features.store import key_types, open_store, register, view_folders
from tests.features.online.built import NAME, bring, build, feature_set_of, opened
from tests.features.project import Project, row, table_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
ALIKE = ((1, 23), (12, 3), (1, 3), (12, 23), (5, 5))
ASKED = [{"customer_id": customer, "merchant_id": merchant} for customer in (1, 12, 5, 123) for merchant in (23, 3, 5)]


def recent() -> list[dict[str, Any]]:
    """Transactions of the last 40 days until an hour ago, at odd microseconds, of keys that look alike."""
    end = datetime.now(UTC) - timedelta(hours=1)
    return [
        {
            **row(number, timedelta(0), customer_id=ALIKE[number % 5][0], merchant_id=ALIKE[number % 5][1]),
            "event_timestamp": end - timedelta(hours=6 * number, microseconds=number),
            "amount_minor": 100 + number,
            "is_fraud": number % 7 == 0,
        }
        for number in range(160)
    ]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    made = Project(tmp_path_factory.mktemp("project"))
    build(made, table_of(recent()))
    return made


@pytest.fixture
def wanted(project: Project) -> FeatureSet:
    return feature_set_of(project.paths.home / "table")


def show_to_feast(store: FeatureStore, project: Project, wanted: FeatureSet) -> None:
    table = project.paths.home / "table"
    keys = key_types(wanted, table / "features.parquet")
    register(store, feast_objects(wanted, view_folders(wanted, table / "views"), keys))


def now_us() -> int:
    return microseconds(datetime.now(UTC) - EPOCH)


def answers(store: FeatureStore, wanted: FeatureSet) -> list[dict[str, Any]]:
    """Every stored feature of each of ASKED, as Feast gives it."""
    found = store.get_online_features(store.get_feature_service(service_name(wanted)), ASKED).to_dict()
    names = [name for view in wanted.views for name in view.stored]
    return [{name: found[name][position] for name in names} for position in range(len(ASKED))]


def read(project: Project, url: str | None, wanted: FeatureSet) -> list[dict[str, Any]]:
    """The same by our own reader."""
    moment = now_us()
    with opened(project, url) as rows:
        vectors = read_vectors(rows, wanted, [Asked(keys, moment) for keys in ASKED])
    found = [dict(zip(wanted.columns, vector.values, strict=True)) for vector in vectors]
    return [
        {name: values[name] for view in wanted.views for name in view.columns}
        | {view.known_at: None if (age := values[view.age]) is None else moment - age for view in wanted.views}
        for values in found
    ]


def test_feast_gives_what_our_reader_gives(project: Project, store_url: str | None, wanted: FeatureSet) -> None:
    with opened(project, store_url) as rows:
        bring(project, rows)
    theirs = answers(open_store(project.paths, NAME, online={"redis_url": store_url}), wanted)
    assert theirs == read(project, store_url, wanted)
    assert {value is None for each in theirs for value in each.values()} == {True, False}


def test_feast_materializes_the_same_rows(
    project: Project, store_url: str | None, wanted: FeatureSet, tmp_path: Path
) -> None:
    other = Project(tmp_path)
    other.paths.home.mkdir(parents=True)
    shutil.copytree(project.paths.feature_repo, other.paths.feature_repo)
    store = open_store(other.paths, NAME, online={"redis_url": store_url})
    show_to_feast(store, project, wanted)
    now = datetime.now(UTC)
    store.materialize(now - timedelta(days=31), now)
    assert any(each["customer_count_7d"] for each in answers(store, wanted))
    theirs = read(other, store_url, wanted)
    with opened(project, None) as rows:
        bring(project, rows)
    assert theirs == read(project, None, wanted)


def test_expired_row_reads_as_missing_and_so_does_one_from_the_future(
    project: Project, store_url: str | None, wanted: FeatureSet
) -> None:
    view = wanted.views[0]
    ttl = microseconds(view.ttl)
    moments = {1: now_us() - ttl - 1, 12: now_us() - ttl + 600_000_000, 5: now_us() + 600_000_000}
    other = open_store(project.paths, NAME, state=project.paths.feast("expiry"), online={"redis_url": store_url})
    show_to_feast(other, project, wanted)
    provider_write(other, view_name(view, wanted), {key: (moment, 7) for key, moment in moments.items()})
    found = {
        keys["customer_id"]: each[view.columns[0]] for keys, each in zip(ASKED, answers(other, wanted), strict=True)
    }
    assert found == {1: None, 12: 7, 5: None, 123: None}


def provider_write(store: FeatureStore, name: str, rows: dict[int, tuple[int, int]]) -> None:
    """Let Feast write a row of each customer: its moment, and one value for every feature."""
    view = store.get_feature_view(name)
    data = [
        (
            EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=customer)]),
            {feature.name: Value(int64_val=value) for feature in view.features},
            EPOCH + timedelta(microseconds=moment),
            None,
        )
        for customer, (moment, value) in rows.items()
    ]
    store._get_provider().online_write_batch(store.config, view, data, None)


def test_feast_cannot_replace_a_newer_row_and_cuts_no_microsecond(
    project: Project, store_url: str | None, wanted: FeatureSet
) -> None:
    view = wanted.views[0]
    name, moment = view_name(view, wanted), now_us()
    with opened(project, store_url) as rows:
        bring(project, rows)
    store = open_store(project.paths, NAME, online={"redis_url": store_url})
    provider_write(store, name, {1: (moment, 7), 12: (moment, 7)})
    provider_write(store, name, {1: (moment - 1, 8), 12: (moment, 8)})
    with opened(project, store_url) as rows:
        found = rows.read([(name, (1,)), (name, (12,))])
    assert found == [OnlineRow((key,), moment, (value,) * len(view.aggregates)) for key, value in ((1, 7), (12, 8))]


def test_versions_are_read_side_by_side(project: Project, store_url: str | None, wanted: FeatureSet) -> None:
    slower = Project(project.folder, project.rules.model_copy(update={"ingestion_lag": timedelta(minutes=30)}))
    build(slower, table_of(recent()), "slower")
    other = feature_set_of(project.paths.home / "slower")
    with opened(project, store_url) as rows:
        bring(project, rows)
        bring(project, rows, "slower")
    store = open_store(project.paths, NAME, online={"redis_url": store_url})
    ours, theirs = answers(store, wanted), answers(store, other)
    assert ours == read(project, store_url, wanted) and theirs == read(project, store_url, other)
    assert ours[0]["customer_spending_known_at_us"] != theirs[0]["customer_spending_known_at_us"]


def test_registry_knows_what_was_materialized(project: Project, wanted: FeatureSet) -> None:
    with opened(project, None) as rows:
        rows.note(f"materialized:{wanted.hash}", "")
        done = bring(project, rows)
    record_in_feast(project.paths, NAME, done)
    for view in open_store(project.paths, NAME).list_feature_views():
        if view.name.endswith(wanted.short_hash):
            assert view.materialization_intervals[-1][1] == EPOCH + timedelta(seconds=done.views[0].until_us // 10**6)


def test_features_that_are_no_integers_are_refused(project: Project, wanted: FeatureSet) -> None:
    store = open_store(project.paths, NAME)
    view = store.get_feature_view(view_name(wanted.views[0], wanted))
    key = EntityKey(join_keys=["customer_id"], entity_values=[Value(int64_val=1)])
    values = {feature.name: Value(double_val=0.5) for feature in view.features}
    with pytest.raises(TypeError, match="int64 features, not double_val"):
        store._get_provider().online_write_batch(store.config, view, [(key, values, datetime.now(UTC), None)], None)


def test_plain_feast_reads_the_redis_that_the_configuration_names(
    project: Project, redis_url: str, wanted: FeatureSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `feast` commands and a notebook do: the repository alone says which store it is."""
    monkeypatch.delenv("REDIS_URL", raising=False)
    other = Project(tmp_path)
    shutil.copytree(project.paths.feature_repo, other.paths.feature_repo)
    configuration = other.paths.configs / "default.toml"
    configuration.parent.mkdir()
    needed = "\n".join(
        f'{name} = "{name}"' for name in ("transaction_id", "event_timestamp", "customer_id", "amount", "is_fraud")
    )
    configuration.write_text(
        f'name = "default"\n[columns]\n{needed}\n[gates]\nmin_pr_auc = 0.1\n[services]\nredis_url = "{redis_url}"\n'
    )
    (other.paths.root / ".sentinel" / "feast" / "default").mkdir(parents=True)
    store = FeatureStore(repo_path=str(other.paths.feature_repo))
    show_to_feast(store, project, wanted)
    with closing(open_online(project.paths, "default", redis_url)) as rows:
        bring(project, rows)
    assert any(each["customer_count_7d"] for each in answers(store, wanted))
