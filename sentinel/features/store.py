"""Feast's store of one data set: opened from feature_repo/feature_store.yaml, its state below the home folder."""

# Feast and pyarrow carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import yaml
from feast import FeatureStore, RepoConfig
from pyarrow import parquet, types

from sentinel.errors import ConfigInvalid, DataContractError, RecordInvalid
from sentinel.features.applied import VIEWS, applied_versions, record_applied
from sentinel.features.definitions import FeastObject, KeyType, feast_objects
from sentinel.features.spec import FeatureSet
from sentinel.paths import Paths


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
    settings["registry"] = str(state / "registry.db")
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
    paths: Paths, name: str, feature_set: FeatureSet, views: Path, keys: Mapping[str, KeyType]
) -> list[FeastObject]:
    """Register the feature set with its sources in `views`; other versions stay as they are."""
    objects = feast_objects(feature_set, view_folders(feature_set, views), keys)
    register(open_store(paths, name), objects)
    record_applied(paths, name, feature_set, views, keys)
    return objects


def apply_table(paths: Paths, name: str, table: Path) -> list[FeastObject]:
    """Register the feature set of a built table, its sources that table's views."""
    feature_set = FeatureSet.from_dict(json.loads((table / "feature_set.json").read_text()))
    return apply(paths, name, feature_set, table / VIEWS, key_types(feature_set, table / "features.parquet"))


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
    objects: list[FeastObject] = []
    for record in applied_versions(paths, name):
        try:
            feature_set = FeatureSet.from_dict(record["feature_set"])
        except RecordInvalid:
            continue
        objects += feast_objects(
            feature_set, view_folders(feature_set, paths.absolute(record["views"])), record["keys"]
        )
    return objects


def _key_type(key: str, kind: Any) -> KeyType:
    if types.is_int64(kind):
        return "int64"
    if types.is_string(kind) or types.is_large_string(kind):
        return "string"
    raise DataContractError(f"The key {key} has type {kind}; a key is int64 or string. Ingest the source again.")
