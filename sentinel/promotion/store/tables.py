"""The registry in MLflow's own tables, written exactly as MLflow's client would (tests hold both to the same effect).

Tables of another shape are left to MLflow's client.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from sentinel.errors import RecordInvalid
from sentinel.promotion.catalogue import CHAMPION, Catalogue, StoredVersion
from sentinel.promotion.store.contract import Change, Swap, moved
from sentinel.promotion.store.databases import Database, Execute

ALIASES, TAGS, VERSIONS = "registered_model_aliases", "model_version_tags", "model_versions"
_KNOWN = {
    ALIASES: {"workspace", "name", "alias", "version"},
    TAGS: {"workspace", "name", "version", "key", "value"},
}
_USED = {
    "workspace", "name", "version", "run_id", "source", "storage_location", "current_stage", "description",
    "last_updated_time",
}  # fmt: skip
_DELETED = "Deleted_Internal"  # the stage by which MLflow marks a version that is gone
_MINE = "workspace = 'default' AND name = ?"
_ONE = f"{_MINE} AND version = ? AND current_stage <> '{_DELETED}'"


def are_known(database: Database) -> bool:
    """Whether the tables are of the shape that this module knows."""
    known = all(database.columns(table) == columns for table, columns in _KNOWN.items())
    return known and database.columns(VERSIONS) >= _USED


@dataclass(frozen=True)
class TableStore:
    database: Database
    name: str

    def catalogue(self) -> Catalogue:
        with self.database.reading() as execute:
            return _read(execute, self.name)

    def apply(self, change: Change) -> None:
        with self.database.writing() as execute:
            if change.champion is not None:
                self._swap(execute, change.champion)
            for alias, version in change.aliases.items():
                self._require(execute, version)
                self._set_alias(execute, alias, version)
            for version, tags in change.tags.items():
                self._require(execute, version)
                for key, value in tags.items():
                    self._set_tag(execute, version, key, value)
            for version, text in change.descriptions.items():
                self._describe(execute, version, text)

    def _swap(self, execute: Execute, swap: Swap) -> None:
        where = f"{_MINE} AND alias = '{CHAMPION}'"
        if swap.after is not None:
            self._require(execute, swap.after)
        if swap.before is None and swap.after is not None:
            done = execute(
                f"INSERT INTO {ALIASES} (workspace, name, alias, version) VALUES ('default', ?, '{CHAMPION}', ?) "
                "ON CONFLICT DO NOTHING RETURNING version",
                self.name, int(swap.after),
            )  # fmt: skip
        elif swap.before is not None and swap.after is None:
            done = execute(
                f"DELETE FROM {ALIASES} WHERE {where} AND version = ? RETURNING version", self.name, int(swap.before)
            )
        elif swap.before is not None and swap.after is not None:
            done = execute(
                f"UPDATE {ALIASES} SET version = ? WHERE {where} AND version = ? RETURNING version",
                int(swap.after), self.name, int(swap.before),
            )  # fmt: skip
        else:
            done = [()]
        if not done:
            found = execute(f"SELECT version FROM {ALIASES} WHERE {where}", self.name)
            raise moved(self.name, swap.before, str(found[0][0]) if found else None)

    def _set_alias(self, execute: Execute, alias: str, version: str) -> None:
        execute(
            f"INSERT INTO {ALIASES} (workspace, name, alias, version) VALUES ('default', ?, ?, ?) "
            "ON CONFLICT (workspace, name, alias) DO UPDATE SET version = excluded.version",
            self.name, alias, int(version),
        )  # fmt: skip

    def _set_tag(self, execute: Execute, version: str, key: str, value: str) -> None:
        execute(
            f"INSERT INTO {TAGS} (workspace, key, name, version, value) VALUES ('default', ?, ?, ?, ?) "
            "ON CONFLICT (workspace, key, name, version) DO UPDATE SET value = excluded.value",
            key, self.name, int(version), value,
        )  # fmt: skip

    def _describe(self, execute: Execute, version: str, text: str) -> None:
        now = int(time.time() * 1000)
        execute(
            f"UPDATE {VERSIONS} SET description = ?, last_updated_time = ? WHERE {_ONE}",
            text, now, self.name, int(version),
        )  # fmt: skip

    def _require(self, execute: Execute, version: str) -> None:
        if not execute(f"SELECT 1 FROM {VERSIONS} WHERE {_ONE}", self.name, int(version)):
            raise RecordInvalid(f"Model {self.name} has no version {version}: it was deleted. Choose another one.")


def _read(execute: Execute, name: str) -> Catalogue:
    named = execute(f"SELECT alias, version FROM {ALIASES} WHERE {_MINE}", name)
    aliases = {str(alias): str(version) for alias, version in named}
    tags: dict[int, dict[str, str]] = {}
    for version, key, value in execute(f"SELECT version, key, value FROM {TAGS} WHERE {_MINE}", name):
        tags.setdefault(version, {})[key] = value
    found = execute(
        "SELECT version, run_id, COALESCE(storage_location, source), description "
        f"FROM {VERSIONS} WHERE {_MINE} AND current_stage <> '{_DELETED}' ORDER BY version DESC",
        name,
    )
    versions = [
        StoredVersion(str(version), run_id or None, source, tags.get(version, {}), description or "")
        for version, run_id, source, description in found
    ]
    return Catalogue(name, aliases, tuple(versions))
