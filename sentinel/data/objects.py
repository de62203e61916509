"""DVC's way of naming bytes: an object is named by its md5, a folder by the md5 of its listing."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from sentinel.errors import DataDamaged

TRANSACTIONS = "transactions.parquet"
QUARANTINE = "quarantine.parquet"
BLOCK = 1 << 20


class Store(Protocol):
    """Objects by name: the remote (a folder or S3) and the cache."""

    @property
    def place(self) -> str:
        """`remote` or `cache`."""
        ...

    def where(self, name: str) -> str:
        """The path or URL of an object."""
        ...

    def read(self, name: str) -> Iterator[bytes]:
        """The object block by block. Raises FileNotFoundError, at the call or the first block, when missing."""
        ...

    def remove(self, name: str) -> None: ...


@dataclass(frozen=True)
class FolderStore:
    """Objects in a local folder."""

    place: str
    folder: Path

    def path(self, name: str) -> Path:
        return self.folder / object_key(name)

    def where(self, name: str) -> str:
        return str(self.path(name))

    def read(self, name: str) -> Iterator[bytes]:
        return read_blocks(self.path(name))

    def remove(self, name: str) -> None:
        self.path(name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Digest:
    md5: str
    sha256: str


def object_key(name: str) -> str:
    return f"files/md5/{name[:2]}/{name[2:]}"


def listing_name(version: str) -> str:
    """The object that holds the listing of a folder."""
    return f"{version}.dir"


def read_blocks(path: Path) -> Iterator[bytes]:
    """Raises FileNotFoundError for a missing file, DataDamaged for one that cannot be read."""
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                yield block
    except FileNotFoundError:
        raise
    except OSError as error:
        raise DataDamaged(
            f"{path} cannot be read: {error.strerror}. Nothing was changed. Check its permissions and its disk."
        ) from error


def digest(blocks: Iterator[bytes], *, sha256: bool) -> Digest:
    """One pass over the bytes; without `sha256` only md5 is computed."""
    md5, sha = hashlib.md5(usedforsecurity=False), hashlib.sha256()
    for block in blocks:
        md5.update(block)
        if sha256:
            sha.update(block)
    return Digest(md5.hexdigest(), sha.hexdigest() if sha256 else "")


def write_listing(files: Mapping[str, str]) -> bytes:
    """DVC's listing of a folder: md5 by relative path, sorted; its md5 is the version."""
    return json.dumps([{"md5": files[name], "relpath": name} for name in sorted(files)]).encode()


def version_of(files: Mapping[str, str]) -> str:
    return hashlib.md5(write_listing(files), usedforsecurity=False).hexdigest()


def parse_listing(content: bytes) -> dict[str, str]:
    """md5 by relative path. Raises DataDamaged for a file outside the folder."""
    entries = cast("list[dict[str, Any]]", json.loads(content))
    files = {str(entry["relpath"]): str(entry["md5"]) for entry in entries}
    for name, md5 in files.items():
        if not re.fullmatch(r"[0-9a-f]{32}", md5) or name.startswith("/") or ".." in Path(name).parts:
            raise DataDamaged(f"The data's listing names {name!r} with md5 {md5!r}: no run made it. Do not use it.")
    return files


def files_below(folder: Path) -> dict[str, Path]:
    """Every file of a folder by its relative POSIX path; empty when there is no folder."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() or path.is_symlink())
    return {path.relative_to(folder).as_posix(): path for path in found}
