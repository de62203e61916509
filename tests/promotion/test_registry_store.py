"""Each way to the registry does exactly what MLflow's own client does: on SQLite, PostgreSQL and a server."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from sentinel.artifacts import Release
from sentinel.errors import ChampionMoved, RecordInvalid, ServiceUnavailable
from sentinel.promotion.mlflow_server import ClientStore, connect
from sentinel.promotion.registry import Registry
from sentinel.promotion.store.contract import Change, Swap
from sentinel.promotion.store.opening import open_store
from sentinel.promotion.store.rest import RestStore, can_log_in, open_http
from sentinel.promotion.store.tables import TableStore
from tests.promotion.releases import laid_out

Made = list[tuple[Release, Path]]
CHANGES = (
    Change(Swap(None, "1"), {"previous": "1"}, {"1": {"review": 'it\'s ∅ "quoted" %s ?'}}, {"1": "one\n\n| a |\n"}),
    Change(Swap("1", "2"), {"previous": "1", "challenger": "2"}, {"2": {"review": "x"}, "1": {"review": "y"}}),
    Change(aliases={"previous": "2"}, descriptions={"2": "two"}),
    Change(Swap("2", None)),
)


@pytest.fixture
def filled(any_registry: Registry, releases: Made) -> Registry:
    for made in releases[:2]:
        any_registry.register(laid_out(any_registry, made))
    return any_registry


def test_every_change_has_the_effect_of_mlflows_own_client(filled: Registry) -> None:
    own, client = filled.store(), ClientStore(filled.tracking_uri, filled.name)
    assert isinstance(own, TableStore | RestStore)
    assert own.catalogue() == client.catalogue()
    seen = []
    for change in CHANGES:
        own.apply(change)
        seen.append(own.catalogue())
        assert seen[-1] == client.catalogue()
    own.apply(Change(aliases={"challenger": "2", "previous": "1"}))
    for stored in seen[-1].versions:
        for key in ("review",):
            connect(filled.tracking_uri).delete_model_version_tag(filled.name, stored.version, key)
    for change, after in zip(CHANGES, seen, strict=True):
        client.apply(change)
        assert client.catalogue().aliases == after.aliases
        assert {one.version: one.tags.get("review") for one in own.catalogue().versions} == {
            one.version: one.tags.get("review") for one in after.versions
        }


def test_swap_of_another_champion_than_the_one_there_changes_nothing(filled: Registry) -> None:
    for store in (filled.store(), ClientStore(filled.tracking_uri, filled.name)):
        before = store.catalogue()
        for swap in (Swap("1", "2"), Swap("2", None)):
            with pytest.raises(ChampionMoved, match="is none and not version"):
                store.apply(Change(swap, {"previous": "1"}, {"1": {"touched": "yes"}}))
        assert store.catalogue() == before


def test_version_that_was_deleted_is_a_sentence_and_nothing_changes(filled: Registry) -> None:
    client = connect(filled.tracking_uri)
    client.delete_model_version(filled.name, "2")
    store = filled.store()
    assert [stored.version for stored in store.catalogue().versions] == ["1"]
    with pytest.raises((RecordInvalid, ServiceUnavailable), match="2"):
        store.apply(Change(Swap(None, "2")))
    assert store.catalogue().champion is None


def test_tables_of_another_shape_are_left_to_mlflows_client(empty_database: Path, tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(empty_database.read_bytes())
    with sqlite3.connect(file) as database:
        database.execute("ALTER TABLE registered_model_aliases ADD COLUMN region TEXT")
    database.close()
    assert isinstance(open_store(f"sqlite:///{file}", "x"), ClientStore)


def test_database_that_cannot_be_written_is_a_sentence(empty_database: Path, tmp_path: Path) -> None:
    file = tmp_path / "mlflow.db"
    file.write_bytes(empty_database.read_bytes()[:4096])
    with pytest.raises(ServiceUnavailable, match=r"mlflow\.db did not do what was asked"):
        open_store(f"sqlite:///{file}", "x").catalogue()


def test_password_of_the_database_is_not_told() -> None:
    with pytest.raises(ServiceUnavailable) as told:
        open_store("postgresql+psycopg2://me:secret@127.0.0.1:9/mlflow?connect_timeout=1", "x").catalogue()
    assert "127.0.0.1:9/mlflow did not do" in str(told.value) and "secret" not in str(told.value)


def test_login_is_that_of_mlflows_client() -> None:
    named = open_http({"MLFLOW_TRACKING_USERNAME": "ann", "MLFLOW_TRACKING_PASSWORD": "secret"})
    assert named.auth == ("ann", "secret")
    assert open_http({"MLFLOW_TRACKING_TOKEN": "abc"}).headers["Authorization"] == "Bearer abc"
    assert open_http({"MLFLOW_TRACKING_INSECURE_TLS": "true"}).verify is False
    assert not can_log_in({"MLFLOW_TRACKING_AUTH": "plug-in"})
