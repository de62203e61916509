"""Built tables to bring online, and what stands online said plainly from their files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from sentinel.artifacts import FeatureTable
from sentinel.features.online.materialize import bring_online
from sentinel.features.online.record import Materialized
from sentinel.features.online.rows import OnlineRow, OnlineRows
from sentinel.features.online.store import open_online
from sentinel.features.spec import FeatureSet, microseconds, view_name
from tests.features.project import Project, columns_of

NAME = "tiny"


def build(project: Project, table: pa.Table, out: str = "table") -> FeatureTable:
    return project.build(table, columns_of(dict.fromkeys(table.column_names)), name=NAME, out=out)


def feature_set_of(folder: Path) -> FeatureSet:
    return FeatureSet.from_dict(json.loads((folder / "feature_set.json").read_text()))


@contextmanager
def opened(project: Project, url: str | None) -> Iterator[OnlineRows]:
    with closing(open_online(project.paths, NAME, url)) as rows:
        yield rows


def bring(project: Project, rows: OnlineRows, out: str = "table", until_us: int | None = None) -> Materialized:
    return bring_online(project.paths.home / out, rows, spill=project.folder / "spill", until_us=until_us)


def view_rows(folder: Path, feature_set: FeatureSet) -> dict[str, list[OnlineRow]]:
    """Every row of each view, by Feast's name."""
    found: dict[str, list[OnlineRow]] = {}
    for view in feature_set.views:
        rows: list[dict[str, Any]] = parquet.read_table(folder / "views" / view.name).to_pylist()
        found[view_name(view, feature_set)] = [
            OnlineRow(
                tuple(row[key] for key in view.keys), row[view.known_at], tuple(row[name] for name in view.columns)
            )
            for row in rows
        ]
    return found


def latest_rows(folder: Path, end_us: int, until_us: int | None = None) -> dict[tuple[str, Any], OnlineRow]:
    """By view and key: the latest row up to `until_us` that was not expired at `end_us`."""
    feature_set = feature_set_of(folder)
    ttl = {view_name(view, feature_set): microseconds(view.ttl) for view in feature_set.views}
    latest: dict[tuple[str, Any], OnlineRow] = {}
    for name, rows in view_rows(folder, feature_set).items():
        for row in sorted(rows, key=lambda row: row.known_at_us):
            if end_us - row.known_at_us <= ttl[name] and row.known_at_us <= (until_us or end_us):
                latest[name, row.key] = row
    return latest


def held(rows: OnlineRows, folder: Path) -> dict[tuple[str, Any], OnlineRow | None]:
    """Everything the store holds of a table's feature set."""
    feature_set = feature_set_of(folder)
    names = [view_name(view, feature_set) for view in feature_set.views]
    asked = [(name, key) for name in names for batch in rows.held(name) for key, _ in batch]
    return dict(zip(asked, rows.read(asked), strict=True))
