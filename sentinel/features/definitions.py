"""The feature set in Feast's words. A name ends with the set's hash, so that several versions live side by side."""

# Feast carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from feast import Entity, FeatureService, FeatureView, Field, FileSource
from feast.data_format import ParquetFormat
from feast.types import Int64, String
from feast.value_type import ValueType

from sentinel.features.build import KNOWABLE_AT
from sentinel.features.spec import FeatureSet, view_name
from sentinel.features.spec import FeatureView as View

KeyType = Literal["int64", "string"]
FeastObject = Entity | FeatureView | FeatureService | FileSource


def service_name(feature_set: FeatureSet) -> str:
    return service_named(feature_set.hash)


def service_named(feature_set_hash: str) -> str:
    """The service of the feature set with this hash."""
    return f"transaction_{feature_set_hash[:12]}"


def feast_objects(
    feature_set: FeatureSet, folders: Mapping[str, Path], key_types: Mapping[str, KeyType]
) -> list[FeastObject]:
    """Entities, sources, views and the service. `folders`: of each view, `key_types`: of each key column."""
    entities = {key: _entity(key, key_types[key]) for key in feature_set.keys}
    sources = {view.name: _source(view, feature_set, folders[view.name]) for view in feature_set.views}
    views = [
        _feast_view(view, feature_set, [entities[key] for key in view.keys], sources[view.name], key_types)
        for view in feature_set.views
    ]
    service = FeatureService(
        name=service_name(feature_set), features=list(views), tags={"feature_set_hash": feature_set.hash}
    )
    return [*entities.values(), *sources.values(), *views, service]


def _entity(key: str, key_type: KeyType) -> Entity:
    """Versions of the features share entities, so that its name says all that it is: none can change it for another."""
    value_type = ValueType.INT64 if key_type == "int64" else ValueType.STRING
    return Entity(name=f"{key.removesuffix('_id')}_{key_type}", join_keys=[key], value_type=value_type)


def _source(view: View, feature_set: FeatureSet, folder: Path) -> FileSource:
    return FileSource(
        name=view_name(view, feature_set),
        path=str(folder),
        timestamp_field=KNOWABLE_AT,
        file_format=ParquetFormat(),
    )


def _feast_view(
    view: View,
    feature_set: FeatureSet,
    entities: list[Entity],
    source: FileSource,
    key_types: Mapping[str, KeyType],
) -> FeatureView:
    keys = [Field(name=key, dtype=Int64 if key_types[key] == "int64" else String) for key in view.keys]
    return FeatureView(
        name=view_name(view, feature_set),
        entities=entities,
        ttl=view.ttl,
        schema=[*keys, *(Field(name=feature, dtype=Int64) for feature in view.stored)],
        source=source,
        online=True,
        tags={"feature_set_hash": feature_set.hash},
    )
