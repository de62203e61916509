"""One object builds every path. Nothing here creates a folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sentinel.errors import ConfigInvalid

DEFAULT_NAME = "default"


@dataclass(frozen=True)
class Paths:
    """The project's folders. `root` holds what git tracks, `home` all local state."""

    root: Path
    home: Path

    @property
    def configs(self) -> Path:
        return self.root / "configs"

    @property
    def great_expectations(self) -> Path:
        return self.root / "great_expectations"

    @property
    def feature_repo(self) -> Path:
        return self.root / "feature_repo"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def data_docs(self) -> Path:
        return self.home / "data_docs"

    @property
    def dvc_cache(self) -> Path:
        return self.home / "dvc" / "cache"

    @property
    def embedded_remote(self) -> Path:
        return self.home / "remote"

    @property
    def prefect_home(self) -> Path:
        return self.home / "prefect"

    @property
    def prefect_results(self) -> Path:
        return self.home / "prefect" / "results"

    @property
    def mlflow_database(self) -> Path:
        return self.home / "mlflow" / "mlflow.db"

    @property
    def mlflow_artifacts(self) -> Path:
        return self.home / "mlflow" / "artifacts"

    def pointer(self, name: str) -> Path:
        """The DVC pointer that pins what runs of `name` train on."""
        return self.root / "data.dvc" if name == DEFAULT_NAME else self.root / "datasets" / f"{name}.dvc"

    def data(self, name: str) -> Path:
        """The work-tree folder that the pointer of `name` describes."""
        return self.pointer(name).with_suffix("")

    def pulled(self, name: str, revision: str) -> Path:
        """Where a version other than the work tree's is laid out."""
        return self.home / "pulled" / name / revision

    def feast(self, name: str) -> Path:
        """Feast's registry and online store of `name`."""
        return self.home / "feast" / name

    def stage(self, name: str, stage: str, key: str) -> Path:
        """The output folder of one stage for one cache key."""
        return self.home / "stages" / name / stage / key[:16]

    def releases(self, name: str) -> Path:
        return self.home / "releases" / name

    def decisions(self, name: str) -> Path:
        return self.home / "decisions" / f"{name}.jsonl"

    @property
    def keys(self) -> Path:
        return self.home / "keys"

    def lock(self, name: str) -> Path:
        return self.home / "locks" / f"{name}.lock"

    def relative(self, path: Path) -> str:
        """`path` as artifacts store it: relative to `home`."""
        return os.path.relpath(path, self.home)

    def absolute(self, relative: str) -> Path:
        return Path(os.path.normpath(self.home / relative))


def find_paths(start: Path, environment: Mapping[str, str]) -> Paths:
    """Look for the project root from `start` upwards; local state is in `SENTINEL_HOME` or `.sentinel/`.

    Raises ConfigInvalid when no folder above `start` is a Sentinel project.
    """
    for folder in (start.resolve(), *start.resolve().parents):
        if (folder / "configs" / "default.toml").is_file() and (folder / "pyproject.toml").is_file():
            home = environment.get("SENTINEL_HOME")
            return Paths(folder, Path(home).resolve() if home else folder / ".sentinel")
    raise ConfigInvalid(
        f"No Sentinel project found in {start.resolve()} or above it (a folder with configs/default.toml and "
        "pyproject.toml). Change to the project's folder and run the command again."
    )
