"""Which built table Feast's registry points at, for each version of the features. Light: asking imports no Feast."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sentinel.artifacts import FeatureTable
from sentinel.features.spec import FeatureSet
from sentinel.paths import Paths
from sentinel.storage import write_json

VIEWS = "views"  # the folder of the view files beside features.parquet


def record_applied(paths: Paths, name: str, feature_set: FeatureSet, views: Path, keys: Mapping[str, str]) -> None:
    record = {"feature_set": feature_set.to_dict(), "views": paths.relative(views), "keys": dict(keys)}
    write_json(_file(paths, name, feature_set.hash), record)


def is_applied(paths: Paths, name: str, table: FeatureTable) -> bool:
    """Whether the registry points at this very table for its feature set."""
    file = _file(paths, name, table.feature_set_hash)
    return file.is_file() and json.loads(file.read_text())["views"] == f"{table.path}/{VIEWS}"


def applied_versions(paths: Paths, name: str) -> list[dict[str, Any]]:
    """What `record_applied` wrote, the latest for each version, where the files are still there."""
    records = [json.loads(file.read_text()) for file in sorted(_folder(paths, name).glob("*.json"))]
    return [record for record in records if paths.absolute(record["views"]).is_dir()]


def _file(paths: Paths, name: str, feature_set_hash: str) -> Path:
    return _folder(paths, name) / f"{feature_set_hash}.json"


def _folder(paths: Paths, name: str) -> Path:
    return paths.feast(name) / "applied"
