"""A project of its own for tests of versioning: DVC's files as the real project has them, small data, damage."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from sentinel.artifacts import RawData
from sentinel.config import Data
from sentinel.data.versioning import pin, pull
from sentinel.paths import Paths
from sentinel.storage import sha256_file
from tests.tables import canonical_table

REPOSITORY = Path(__file__).parents[2]
EMBEDDED = Data()
FILES = ("transactions.parquet", "quarantine.parquet")


def write_ingested(folder: Path, seed: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(canonical_table(300, seed), folder / FILES[0])
    pq.write_table(pa.table({"reason": pa.array([], pa.string())}), folder / FILES[1])


@dataclass
class Project:
    """A Sentinel project of its own, with the project's DVC files."""

    paths: Paths
    data: Data = EMBEDDED
    name: str = "default"

    def ingest(self, seed: int) -> str:
        source = self.paths.home / "ingested"
        shutil.rmtree(source, ignore_errors=True)
        write_ingested(source, seed)
        return pin(source, self.paths.pointer(self.name), self.data, paths=self.paths)

    def pull(self, revision: str | None = None, fill: Callable[[Path], None] | None = None) -> RawData:
        return pull(self.name, self.data, paths=self.paths, revision=revision, fill=fill)

    def object(self, place: str, name: str) -> Path:
        """The file that is `name` ("listing" or a file) of the pinned version in `place`."""
        if place == "work tree":
            return self.paths.data(self.name) / name
        version = re.search(r"md5: (\w+\.dir)", self.paths.pointer(self.name).read_text())
        assert version
        md5 = version[1] if name == "listing" else md5_of(self.paths.data(self.name) / name)
        folder = self.paths.embedded_remote if place == "remote" else self.paths.dvc_cache
        return folder / "files" / "md5" / md5[:2] / md5[2:]

    def git(self, *arguments: str) -> str:
        identity = ("-c", "user.name=t", "-c", "user.email=t@example.org")
        return subprocess.run(
            ["git", *identity, *arguments], cwd=self.paths.root, check=True, capture_output=True, text=True
        ).stdout

    def commit(self, message: str) -> None:
        self.git("add", "-A")
        self.git("commit", "-q", "-m", message)


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def flip_a_byte(path: Path, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)  # in place: a link from another place would flip too
    path.chmod(mode)


def state_of(*folders: Path) -> dict[str, str]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts]
    return {str(path): sha256_file(path) for path in files}


def start_project(root: Path) -> Project:
    root.mkdir(parents=True)
    shutil.copytree(REPOSITORY / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    for name in (".dvcignore", ".gitignore"):
        shutil.copy(REPOSITORY / name, root / name)
    return Project(Paths(root, root / ".sentinel"))


def copy_project(template: Path, root: Path) -> Project:
    shutil.copytree(template, root, symlinks=True)
    return Project(Paths(root, root / ".sentinel"))
