"""Feast's store of one data set: opened from feature_repo/feature_store.yaml, its state below the home folder."""

# Feast and pyarrow carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import yaml
from feast import FeatureStore, RepoConfig
from pyarrow import parquet, types

from sentinel.errors import ConfigInvalid, DataContractError, RecordInvalid
from sentinel.features.applied import VIEWS, applied_definition, applied_versions, record_applied
from sentinel.features.definitions import FeastObject, KeyType, feast_objects, service_name, service_named
from sentinel.features.guard import require_unchanged, service_definition
from sentinel.features.in_use import InUse
from sentinel.features.spec import FeatureSet
from sentinel.paths import Paths

REGISTRY = "registry.db"


def project_name(name: str) -> str:
    """Feast's project of a config name; Feast takes no dash."""
    return name.replace("-", "_")


def open_store(
    paths: Paths,
    name: str,
    *,
    state: Path | None = None,
    offline: Mapping[str, Any] | None = None,
    online: Mapping[str, Any] | None = None,
) -> FeatureStore:
    """The store of `name`. `state`: another folder for registry and online store; `offline`: settings of the engine.

    `online`: settings of the online store, such as the `redis_url` that is used instead of a file; all of another type.
    """
    state = state or paths.feast(name)
    state.mkdir(parents=True, exist_ok=True)
    file = paths.feature_repo / "feature_store.yaml"
    if not file.is_file():
        raise ConfigInvalid(f"{file} is missing: it says how Feast stores features. Restore it from git.")
    settings: dict[str, Any] = yaml.safe_load(os.path.expandvars(file.read_text()))
    settings["project"] = project_name(name)
    settings["registry"] = str(state / REGISTRY)
    embedded = {"name": name, "path": str(state / "online.db"), "redis_url": None, "configuration": None}
    settings["online_store"] |= embedded | dict(online or {})
    if online and "type" in online:
        settings["online_store"] = dict(online)
    settings["offline_store"] |= offline or {}
    return FeatureStore(config=RepoConfig(**settings, repo_path=paths.feature_repo))


def view_folders(feature_set: FeatureSet, folder: Path) -> dict[str, Path]:
    return {view.name: folder / view.name for view in feature_set.views}


def key_types(feature_set: FeatureSet, table: Path) -> dict[str, KeyType]:
    """The type of each key column in a parquet file. Raises DataContractError for one that is no key."""
    schema = parquet.read_schema(table)
    return {key: _key_type(key, schema.field(key).type) for key in feature_set.keys}


def apply(
    paths: Paths,
    name: str,
    feature_set: FeatureSet,
    views: Path,
    keys: Mapping[str, KeyType],
    *,
    in_use: Sequence[InUse] = (),
) -> list[FeastObject]:
    """Register the feature set with its sources in `views`; other versions stay, or become again, what they were.

    Raises FeaturesInUse, and registers nothing, when that would change what a model `in_use` reads.
    """
    require_harmless(paths, name, feature_set, keys, in_use)
    objects = feast_objects(feature_set, view_folders(feature_set, views), keys)
    store = open_store(paths, name)
    _register_beside(paths, name, store, feature_set, objects)
    definition = service_definition(store, service_name(feature_set)) or {}
    files = {file.relative_to(views).as_posix(): file.stat().st_size for file in views.rglob("*.parquet")}
    record_applied(paths, name, feature_set, views, keys, definition, files)
    return objects


def require_harmless(
    paths: Paths, name: str, feature_set: FeatureSet, keys: Mapping[str, KeyType], in_use: Sequence[InUse]
) -> None:
    """Raise FeaturesInUse when registering the set would change what a model `in_use` reads. Tried on a copy."""
    before = _definitions(paths, name, in_use)
    if not before:
        return
    with tempfile.TemporaryDirectory(prefix="feast-trial-") as folder:
        trial = Path(folder)
        if (registry := paths.feast(name) / REGISTRY).is_file():
            shutil.copyfile(registry, trial / REGISTRY)
        store = open_store(paths, name, state=trial)
        objects = feast_objects(feature_set, view_folders(feature_set, trial), keys)
        _register_beside(paths, name, store, feature_set, objects)
        require_unchanged(in_use, before, store, f"the features {feature_set.short_hash}")


def _definitions(paths: Paths, name: str, in_use: Sequence[InUse]) -> dict[str, dict[str, Any]]:
    """Of each service in use: as its model knows it, recorded when it was registered; else as it stands in Feast."""
    store = open_store(paths, name) if (paths.feast(name) / REGISTRY).is_file() else None
    found: dict[str, dict[str, Any]] = {}
    for feature_set_hash in {used.feature_set_hash for used in in_use}:
        service = service_named(feature_set_hash)
        definition = applied_definition(paths, name, feature_set_hash)
        if definition is None and store is not None:
            definition = service_definition(store, service)
        if definition is not None:
            found[service] = definition
    return found


def apply_table(paths: Paths, name: str, table: Path, *, in_use: Sequence[InUse] = ()) -> list[FeastObject]:
    """Register the feature set of a built table, its sources that table's views."""
    feature_set = FeatureSet.from_dict(json.loads((table / "feature_set.json").read_text()))
    keys = key_types(feature_set, table / "features.parquet")
    return apply(paths, name, feature_set, table / VIEWS, keys, in_use=in_use)


def register(store: FeatureStore, objects: Sequence[FeastObject]) -> None:
    store.apply(cast("Any", list(objects)))


def record_materialized(paths: Paths, name: str, reach: Mapping[str, tuple[int, int]]) -> None:
    """Tell Feast which time (microseconds since 1970) of each view, by Feast's name, now stands online.

    Then `feast materialize-incremental` goes on from there.
    """
    store = open_store(paths, name)
    for view in store.list_feature_views():
        if view.name in reach:
            start, end = (datetime.fromtimestamp(moment // 1_000_000, UTC) for moment in reach[view.name])
            store.registry.apply_materialization(view, store.project, start, end)


def applied_objects(paths: Paths, name: str) -> list[FeastObject]:
    """What was registered for `name` of each version of the features that this code can still describe."""
    return [made for _, objects in _applied(paths, name) for made in objects]


def _register_beside(
    paths: Paths, name: str, store: FeatureStore, feature_set: FeatureSet, objects: Sequence[FeastObject]
) -> None:
    """Register `objects`, and the other versions that Feast lost or that were changed in it by hand."""
    others: list[FeastObject] = []
    for version, made in _applied(paths, name):
        recorded = applied_definition(paths, name, version.hash)
        if version.hash != feature_set.hash and service_definition(store, service_name(version)) != recorded:
            others += made
    register(store, [*others, *objects])


def _applied(paths: Paths, name: str) -> Iterator[tuple[FeatureSet, list[FeastObject]]]:
    for record in applied_versions(paths, name):
        try:
            feature_set = FeatureSet.from_dict(record["feature_set"])
        except RecordInvalid:
            continue
        folders = view_folders(feature_set, paths.absolute(record["views"]))
        yield feature_set, feast_objects(feature_set, folders, record["keys"])


def _key_type(key: str, kind: Any) -> KeyType:
    if types.is_int64(kind):
        return "int64"
    if types.is_string(kind) or types.is_large_string(kind):
        return "string"
    raise DataContractError(f"The key {key} has type {kind}; a key is int64 or string. Ingest the source again.")
