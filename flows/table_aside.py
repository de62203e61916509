"""The features of any file of transactions, built beside the real runs and kept: no pointer, no Feast registry moves.

A table is found again by the digest of the file, of what the configuration says of columns and features, and of the
code that builds it. The few newest of a name are kept.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import sentinel
from flows.exclusive import one_run_at_a_time
from sentinel.artifacts import FeatureTable, ValidatedData
from sentinel.config import Config
from sentinel.errors import ConfigInvalid
from sentinel.paths import Paths
from sentinel.progress import Progress
from sentinel.storage import complete_folder, remove_leftovers, sha256_file, sha256_json

KEPT = 3
TABLE, FEATURE_SET = "features.parquet", "feature_set.json"
_CODE = ("data", "features", "feature_spec.py")  # of the package; what makes a table

logger = logging.getLogger("sentinel.table")
ShownProgress = Callable[[str], AbstractContextManager[Progress]]


def table_aside(config: Config, data: Path, paths: Paths, shown: ShownProgress) -> FeatureTable:
    """The features of the transactions in `data`, a CSV or Parquet file; built when they are not there yet.

    `shown` gives the listener of a named step. The artifact's path is relative to the home of `paths`.
    """
    if not data.is_file():
        raise ConfigInvalid(f"There is no file {data}. Give the transactions with --data: one CSV or Parquet file.")
    folder = paths.home / "tables" / config.name / _key(config, data)[:16]
    with one_run_at_a_time(paths.lock(f"{config.name}-table"), data.name, "the command line", logger.warning):
        if not folder.is_dir():
            remove_leftovers(folder)
            _build(config, data, paths, folder, shown)
            _keep_newest(folder.parent)
    return FeatureTable(
        path=paths.relative(folder),
        sha256=sha256_file(folder / TABLE),
        rows=_rows(folder / TABLE),
        feature_set_hash=json.loads((folder / FEATURE_SET).read_text())["hash"],
    )


def _key(config: Config, data: Path) -> str:
    package = Path(sentinel.__path__[0])
    files = [file for name in _CODE for file in _source_files(package / name)]
    return sha256_json(
        {
            "data": sha256_file(data),
            "columns": config.columns.model_dump(mode="json"),
            "source": config.source.model_dump(mode="json"),
            "features": config.features.model_dump(mode="json"),
            "code": {file.relative_to(package).as_posix(): sha256_file(file) for file in files},
        }
    )


def _source_files(place: Path) -> list[Path]:
    return [place] if place.is_file() else sorted(file for file in place.rglob("*") if file.suffix in (".py", ".toml"))


def _build(config: Config, data: Path, paths: Paths, folder: Path, shown: ShownProgress) -> None:
    from sentinel.data.ingestion import ingest
    from sentinel.features.retrieval import build_features

    with complete_folder(folder) as kept:
        # A home of its own, so that Feast's registry of the real runs stays as it is.
        aside = Paths(paths.root, kept / "home")
        source = aside.home / "data"
        with shown("ingest") as progress:
            ingested = ingest([data], config.columns, config.source, source, where=config.where, progress=progress)
        transactions = source / "transactions.parquet"
        validated = ValidatedData(
            path=aside.relative(source),
            sha256=(digest := sha256_file(transactions)),
            transactions=aside.relative(transactions),
            transactions_sha256=digest,
            expectations=0,
            rows=ingested.rows,
        )
        built = aside.home / "features"
        with shown("features") as progress:
            build_features(
                validated, config.columns, config.features, name=config.name, paths=aside, out=built, progress=progress
            )
        for name in (TABLE, FEATURE_SET):
            (built / name).rename(kept / name)
        shutil.rmtree(aside.home)


def _rows(table: Path) -> int:
    from pyarrow import parquet

    return int(parquet.read_metadata(table).num_rows)


def _keep_newest(folder: Path) -> None:
    tables = sorted(folder.iterdir(), key=lambda table: table.stat().st_mtime, reverse=True)
    for old in tables[KEPT:]:
        shutil.rmtree(old)
