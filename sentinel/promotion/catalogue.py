"""What the registry holds of one model, read only: its aliases, and its versions with their tags.

The embedded registry is read from its SQLite file, because importing MLflow takes seconds; a server, or a file of
another shape, is asked through MLflow's client. A test holds both to the same answer.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel.errors import RecordInvalid

_EMBEDDED = "sqlite:///"
_RELEASE = "release"  # the tag that holds the digest of a version's release
_FEATURE_SET = "feature_set_hash"
_SERVING = ("champion", "challenger", "previous")


@dataclass(frozen=True)
class StoredVersion:
    """A version as MLflow holds it. `source` is where its files lie."""

    version: str
    run_id: str | None
    source: str
    tags: dict[str, str]

    @property
    def release(self) -> str:
        """The digest of its release. Raises RecordInvalid for a version that did not come from one."""
        if _RELEASE not in self.tags:
            raise RecordInvalid(
                f"Version {self.version} names no release: it was registered by hand. Give the alias to a version "
                "that `sentinel models list` shows with a release."
            )
        return self.tags[_RELEASE]


@dataclass(frozen=True)
class Catalogue:
    """`aliases`: alias to version. `versions`: newest first."""

    name: str
    aliases: dict[str, str]
    versions: tuple[StoredVersion, ...]

    def find(self, wanted: str) -> StoredVersion:
        """By alias or number. Raises RecordInvalid with what there is."""
        number = self.aliases.get(wanted, wanted)
        for stored in self.versions:
            if stored.version == number:
                return stored
        there = ", ".join([*self.aliases, *(stored.version for stored in self.versions)])
        raise RecordInvalid(f"Model {self.name} has no version or alias {wanted!r}; it has {there or 'none'}.")

    def feature_sets_in_use(self) -> list[tuple[str, str, str]]:
        """(version, alias, hash of its feature set) of what serves, may serve, or would serve again."""
        hashes = {stored.version: stored.tags.get(_FEATURE_SET) for stored in self.versions}
        found = [(version, alias, hashes.get(version)) for alias, version in sorted(self.aliases.items())]
        return [(version, alias, used) for version, alias, used in found if alias in _SERVING and used]

    def of_release(self, digest: str) -> StoredVersion | None:
        """The first version that holds this release."""
        held = [stored for stored in self.versions if stored.tags.get(_RELEASE) == digest]
        return held[-1] if held else None


def read_catalogue(tracking_uri: str, name: str) -> Catalogue:
    """An unknown model has an empty catalogue."""
    if not tracking_uri.startswith(_EMBEDDED):
        return from_client(tracking_uri, name)
    file = Path(tracking_uri.removeprefix(_EMBEDDED))
    if not file.is_file():
        return Catalogue(name, {}, ())
    try:
        return from_database(file, name)
    except sqlite3.Error:
        return from_client(tracking_uri, name)


def holds_run(tracking_uri: str, run_id: str) -> bool:
    """Whether MLflow still has this run; a database that was deleted or restored may not."""
    if not tracking_uri.startswith(_EMBEDDED):
        return _client_holds_run(tracking_uri, run_id)
    file = Path(tracking_uri.removeprefix(_EMBEDDED))
    if not file.is_file():
        return False
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=20)) as database:
        found = database.execute("SELECT lifecycle_stage FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
    return found == ("active",)


def _client_holds_run(tracking_uri: str, run_id: str) -> bool:
    from mlflow.exceptions import MlflowException

    from sentinel.promotion.mlflow_server import answered, connect

    with answered(tracking_uri):
        try:
            return connect(tracking_uri).get_run(run_id).info.lifecycle_stage == "active"
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise


def from_database(file: Path, name: str) -> Catalogue:
    with closing(sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True, timeout=20)) as database:
        where = "WHERE name = ? AND workspace = 'default'"

        def rows(query: str) -> list[Any]:
            return database.execute(f"{query} {where}", (name,)).fetchall()

        database.execute("BEGIN")  # one moment for all three questions
        aliases = {
            alias: str(version) for alias, version in rows("SELECT alias, version FROM registered_model_aliases")
        }
        tags: dict[int, dict[str, str]] = {}
        for version, key, value in rows("SELECT version, key, value FROM model_version_tags"):
            tags.setdefault(version, {})[key] = value
        found = rows("SELECT version, run_id, COALESCE(storage_location, source), current_stage FROM model_versions")
    versions = [
        StoredVersion(str(version), run_id, source, tags.get(version, {}))
        for version, run_id, source, stage in sorted(found, reverse=True)
        if stage != "Deleted_Internal"
    ]
    return Catalogue(name, aliases, tuple(versions))


def from_client(tracking_uri: str, name: str) -> Catalogue:
    from sentinel.promotion.mlflow_server import answered, connect

    with answered(tracking_uri):
        client = connect(tracking_uri)
        model = next(iter(client.search_registered_models(f"name = '{name}'")), None)
        if model is None:
            return Catalogue(name, {}, ())
        found: list[Any] = []
        token = None
        while token != "":
            page = client.search_model_versions(f"name = '{name}'", max_results=200, page_token=token)
            found += page
            token = page.token or ""
        aliases = {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}
    versions = [StoredVersion(str(one.version), one.run_id or None, one.source, dict(one.tags)) for one in found]
    return Catalogue(name, aliases, tuple(sorted(versions, key=lambda one: -int(one.version))))
