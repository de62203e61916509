"""Simulated transactions of any size in the contract's columns, for the feature benchmarks."""

from __future__ import annotations

import os
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from sentinel.artifacts import ValidatedData
from sentinel.config import Config, load_config
from sentinel.data.ingestion import ingest
from sentinel.data.simulator import simulate
from sentinel.paths import Paths, find_paths
from sentinel.storage import sha256_file

NAME = "benchmark"
SEED = 7


def project_paths(home: Path) -> Paths:
    return Paths(find_paths(Path.cwd(), os.environ).root, home)


def default_config(paths: Paths) -> Config:
    return load_config(paths.configs / "default.toml")


def simulated(rows: int, home: Path) -> ValidatedData:
    """Simulate and ingest `rows` transactions into `home`.

    In a process of its own: the kernel counts what a parent once held to the peak of its children.
    """
    with ProcessPoolExecutor(1, get_context("fork")) as apart:
        return apart.submit(_simulate, rows, home).result()


def _simulate(rows: int, home: Path) -> ValidatedData:
    paths = project_paths(home)
    config = default_config(paths)
    source, folder = home / "source.parquet", home / "data"
    simulate(source, rows, SEED)
    ingest([source], config.columns, config.source, folder, where=config.where)
    source.unlink()
    file = folder / "transactions.parquet"
    return ValidatedData(
        path="data", sha256="", transactions=paths.relative(file), transactions_sha256=sha256_file(file),
        expectations=0, rows=rows,
    )  # fmt: skip
