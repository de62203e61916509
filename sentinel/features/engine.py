"""The one place that chooses what builds the views and answers point in time: DuckDB on this machine, or Spark.

Both compute the expressions of build.py; a value, a row and its place do not depend on the engine.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sentinel.config import Features
from sentinel.features.spec import FeatureSet
from sentinel.paths import Paths
from sentinel.progress import Progress, silent
from sentinel.spark_installed import require_engine


class Engine(Protocol):
    @property
    def offline(self) -> Mapping[str, Any]:
        """The settings of Feast's offline store."""
        ...

    def build_views(
        self, transactions: Path, feature_set: FeatureSet, folder: Path, *, progress: Progress = silent
    ) -> dict[str, Path]:
        """Write `<view>/*.parquet` into `folder` for every view; returns the folders by view."""
        ...


@dataclass(frozen=True)
class DuckDb:
    offline: Mapping[str, Any]

    def build_views(
        self, transactions: Path, feature_set: FeatureSet, folder: Path, *, progress: Progress = silent
    ) -> dict[str, Path]:
        from sentinel.features.build import build_views

        return build_views(transactions, feature_set, folder, progress=progress)


@contextmanager
def open_engine(features: Features | None, paths: Paths, scratch: Path) -> Generator[Engine]:
    """The configured engine (None: DuckDB), spilling into `scratch`. Raises ConfigInvalid when it cannot run here."""
    if features is None or features.engine == "duckdb":
        yield DuckDb({"temp_directory": str(scratch / "spill")})
        return
    require_engine(features)
    from sentinel.features.spark.engine import open_spark

    with open_spark(features.spark, scratch=scratch, log=paths.logs / "spark.log") as engine:
        yield engine
