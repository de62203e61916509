"""Spark as the engine of the features."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel.config import Spark
from sentinel.features.spark.session import spark_session
from sentinel.features.spec import FeatureSet
from sentinel.progress import Progress, silent

STORE = "sentinel.features.spark.offline_store.SparkAsofOfflineStore"


@dataclass(frozen=True)
class SparkEngine:
    session: Any
    scratch: Path

    @property
    def offline(self) -> Mapping[str, Any]:
        return {"type": STORE, "staging_folder": str(self.scratch / "answers")}

    def build_views(
        self, transactions: Path, feature_set: FeatureSet, folder: Path, *, progress: Progress = silent
    ) -> dict[str, Path]:
        from sentinel.features.spark.views import build_views

        return build_views(self.session, transactions, feature_set, folder, scratch=self.scratch, progress=progress)


@contextmanager
def open_spark(settings: Spark, *, scratch: Path, log: Path) -> Generator[SparkEngine]:
    with spark_session(settings, scratch=scratch, log=log) as session:
        yield SparkEngine(session, scratch)
