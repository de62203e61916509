"""One run of the flow: what it works on, under which identity, and what its stages did."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from sentinel.config import Config
from sentinel.paths import Paths

# What a model's numbers can depend on.
_LIBRARIES = (
    "torch",
    "onnxruntime",
    "numpy",
    "pandas",
    "pyarrow",
    "duckdb",
    "feast",
    "great-expectations",
    "mlflow",
    "onnx",
    "prefect",
)


@dataclass(frozen=True)
class StageRecord:
    name: str
    seconds: float
    cached: bool


@dataclass(frozen=True)
class Code:
    """Which code ran: the git commit, and whether the work tree was that commit."""

    commit: str
    is_clean: bool


@dataclass(frozen=True)
class Pinned:
    """A version of the data by DVC's md5, and the bytes of its files."""

    version: str
    bytes: int


@dataclass(frozen=True)
class Run:
    id: str
    config: Config
    paths: Paths
    tracking_uri: str
    lock: Path  # the lock file of what is installed
    lock_sha256: str
    code: Code
    redis_url: str | None = None  # of the online store; None: the embedded one
    registry_database_url: str | None = None  # whose lock all writers of the registry share
    author: str = ""  # by which names whoever started it is known
    data_version: str | None = None  # a git revision whose pointer is used; None: the work tree's
    pinned: Pinned | None = None  # a version of the data that no revision has to know
    stages: list[StageRecord] = field(default_factory=list[StageRecord])


def read_code(root: Path) -> Code:
    """Ask git; outside a repository the commit is 'none' and the tree counts as not clean."""

    def git(*words: str) -> str | None:
        done = subprocess.run(["git", *words], cwd=root, capture_output=True, text=True, check=False)
        return done.stdout.strip() if done.returncode == 0 else None

    commit = git("rev-parse", "HEAD")
    return Code(commit or "none", is_clean=commit is not None and git("status", "--porcelain") == "")


def installed_lock(root: Path) -> Path:
    """The lock that this environment was installed from: gpu where onnxruntime-gpu is."""
    return root / "requirements" / ("gpu.lock" if _version("onnxruntime-gpu") else "cpu.lock")


def library_versions() -> dict[str, str]:
    """The installed versions of the libraries whose change could change a model."""
    found = {library: _version(library) for library in (*_LIBRARIES, "onnxruntime-gpu")}
    return {library: version for library, version in found.items() if version}


def _version(library: str) -> str | None:
    try:
        return version(library)
    except PackageNotFoundError:
        return None
