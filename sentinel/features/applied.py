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


def record_applied(
    paths: Paths,
    name: str,
    feature_set: FeatureSet,
    views: Path,
    keys: Mapping[str, str],
    definition: Mapping[str, Any],
    files: Mapping[str, int],
) -> None:
    """`definition`: of the registered service. `files`: below `views`, with their bytes."""
    record = {
        "feature_set": feature_set.to_dict(),
        "views": paths.relative(views),
        "keys": dict(keys),
        "definition": definition,
        "files": dict(files),
    }
    write_json(_file(paths, name, feature_set.hash), record)


def applied_definition(paths: Paths, name: str, feature_set_hash: str) -> dict[str, Any] | None:
    """The definition of the service as it was registered last; None: it never was here."""
    file = _file(paths, name, feature_set_hash)
    return json.loads(file.read_text()).get("definition") if file.is_file() else None


def lost_files(paths: Paths, name: str, feature_set_hash: str) -> str | None:
    """What is missing of the files that Feast would read for this version of the features; None: nothing."""
    file = _file(paths, name, feature_set_hash)
    if not file.is_file():
        return "they were not registered here"
    record = json.loads(file.read_text())
    views = paths.absolute(record["views"])
    if not views.is_dir():
        return f"{views} is gone"
    changed = [each for each, size in record.get("files", {}).items() if _size(views / each) != size]
    return f"{views / changed[0]} is gone or cut short" if changed else None


def is_applied(paths: Paths, name: str, table: FeatureTable) -> bool:
    """Whether the registry points at this very table for its feature set."""
    file = _file(paths, name, table.feature_set_hash)
    return file.is_file() and json.loads(file.read_text())["views"] == f"{table.path}/{VIEWS}"


def applied_versions(paths: Paths, name: str) -> list[dict[str, Any]]:
    """What `record_applied` wrote, the latest for each version, where the files are still there."""
    records = [json.loads(file.read_text()) for file in sorted(_folder(paths, name).glob("*.json"))]
    return [record for record in records if paths.absolute(record["views"]).is_dir()]


def _size(file: Path) -> int | None:
    return file.stat().st_size if file.is_file() else None


def _file(paths: Paths, name: str, feature_set_hash: str) -> Path:
    return _folder(paths, name) / f"{feature_set_hash}.json"


def _folder(paths: Paths, name: str) -> Path:
    return paths.feast(name) / "applied"
