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
from sentinel.features.spec import FeatureSet
from sentinel.features.spec import FeatureView as View

KeyType = Literal["int64", "string"]
FeastObject = Entity | FeatureView | FeatureService | FileSource


def service_name(feature_set: FeatureSet) -> str:
    return f"transaction_{feature_set.short_hash}"


def view_name(view: View, feature_set: FeatureSet) -> str:
    return f"{view.name}_{feature_set.short_hash}"


def feast_objects(
    feature_set: FeatureSet, files: Mapping[str, Path], key_types: Mapping[str, KeyType]
) -> list[FeastObject]:
    """Entities, sources, views and the service. `files`: of each view, `key_types`: of each key column."""
    entities = {view.entity: _entity(view, key_types[view.key]) for view in feature_set.views}
    sources = {view.name: _source(view, feature_set, files[view.name]) for view in feature_set.views}
    views = [
        _feast_view(view, feature_set, entities[view.entity], sources[view.name], key_types[view.key])
        for view in feature_set.views
    ]
    service = FeatureService(
        name=service_name(feature_set), features=list(views), tags={"feature_set_hash": feature_set.hash}
    )
    return [*entities.values(), *sources.values(), *views, service]


def _entity(view: View, key_type: KeyType) -> Entity:
    value_type = ValueType.INT64 if key_type == "int64" else ValueType.STRING
    return Entity(name=view.entity, join_keys=[view.key], value_type=value_type)


def _source(view: View, feature_set: FeatureSet, file: Path) -> FileSource:
    return FileSource(
        name=view_name(view, feature_set),
        path=str(file),
        timestamp_field=KNOWABLE_AT,
        file_format=ParquetFormat(),
    )


def _feast_view(
    view: View, feature_set: FeatureSet, entity: Entity, source: FileSource, key_type: KeyType
) -> FeatureView:
    key = Field(name=view.key, dtype=Int64 if key_type == "int64" else String)
    return FeatureView(
        name=view_name(view, feature_set),
        entities=[entity],
        ttl=view.ttl,
        schema=[key, *(Field(name=feature, dtype=Int64) for feature in view.stored)],
        source=source,
        online=True,
        tags={"feature_set_hash": feature_set.hash},
    )
