"""The handbook's data with Sentinel's features, built once and kept, for the benchmarks of quality."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.cli.live import one_bar
from flows.environment import prepare_environment
from flows.table_aside import table_aside
from sentinel.config import Training, load_config
from sentinel.paths import Paths, find_paths

WITHOUT_DATA = "Not measured: it needs the handbook's transactions (--data FILE), which carry no licence to ship them."


@dataclass(frozen=True)
class HandbookData:
    """`folder`: the built table, with that digest; `settings`: what a fold is trained with by default."""

    paths: Paths
    folder: Path
    sha256: str
    feature_set: dict[str, Any]
    settings: Training


def open_handbook(data: Path) -> HandbookData:
    from sentinel.training.handbook.evaluation import fold_settings
    from sentinel.training.handbook.table import read_feature_set

    paths = find_paths(Path.cwd(), os.environ)
    prepare_environment(paths)
    config = load_config(paths.configs / "handbook.toml")
    table = table_aside(config, data, paths, one_bar)
    folder = table.locate(paths.home)
    return HandbookData(paths, folder, table.sha256, read_feature_set(folder), fold_settings(config.training))
