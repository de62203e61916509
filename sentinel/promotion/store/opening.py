"""Which way leads to the registry at an address: MLflow's tables, its REST API, or else its own client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sentinel.promotion.catalogue import Catalogue
from sentinel.promotion.store.contract import Change, RegistryStore
from sentinel.promotion.store.databases import Database, PostgresDatabase, SqliteDatabase
from sentinel.promotion.store.tables import TableStore, are_known

_EMBEDDED = "sqlite:///"


def open_store(tracking_uri: str, name: str) -> RegistryStore:
    """A registry that was never used is empty and stays unmade."""
    if tracking_uri.startswith(("http://", "https://")):
        return _open_server(tracking_uri, name)
    if tracking_uri.startswith(_EMBEDDED) and not embedded_file(tracking_uri).is_file():
        return _Unused(name)
    database = _database(tracking_uri)
    if database is not None and are_known(database):
        return TableStore(database, name)
    return _open_client(tracking_uri, name)


def read_catalogue(tracking_uri: str, name: str) -> Catalogue:
    """An unknown model has an empty catalogue."""
    return open_store(tracking_uri, name).catalogue()


def holds_run(tracking_uri: str, run_id: str) -> bool:
    """Whether MLflow still has this run; a database that was deleted or restored may not."""
    if not tracking_uri.startswith(_EMBEDDED):
        from sentinel.promotion.mlflow_server import client_holds_run

        return client_holds_run(tracking_uri, run_id)
    file = embedded_file(tracking_uri)
    if not file.is_file():
        return False
    with SqliteDatabase(file).reading() as execute:
        found: list[tuple[Any, ...]] = execute("SELECT lifecycle_stage FROM runs WHERE run_uuid = ?", run_id)
    return found == [("active",)]


def is_postgres(url: str) -> bool:
    return url.partition("://")[0].partition("+")[0] == "postgresql"


def embedded_file(tracking_uri: str) -> Path:
    return Path(tracking_uri.removeprefix(_EMBEDDED))


def _database(tracking_uri: str) -> Database | None:
    if tracking_uri.startswith(_EMBEDDED):
        return SqliteDatabase(embedded_file(tracking_uri))
    return PostgresDatabase(tracking_uri) if is_postgres(tracking_uri) else None


def _open_server(tracking_uri: str, name: str) -> RegistryStore:
    from sentinel.promotion.store.rest import RestStore, can_log_in, environment_here, open_http

    if not can_log_in(environment_here()):
        return _open_client(tracking_uri, name)
    return RestStore(tracking_uri, name, open_http(environment_here()))


def _open_client(tracking_uri: str, name: str) -> RegistryStore:
    from sentinel.promotion.mlflow_server import ClientStore

    return ClientStore(tracking_uri, name)


class _Unused:
    """The embedded registry before its first version: reading it makes no file."""

    def __init__(self, name: str) -> None:
        self._name = name

    def catalogue(self) -> Catalogue:
        return Catalogue(self._name, {}, ())

    def apply(self, change: Change) -> None:
        raise AssertionError("a version is created before anything is said of it")
