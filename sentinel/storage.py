"""Files that are either complete or absent: digests, write-then-rename, room on the disk."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sentinel.errors import ConfigInvalid, DiskFull, SentinelError


def sha256_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_bytes(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def canonical_json(value: Any) -> str:
    """JSON with sorted keys and no spaces: equal values give equal bytes. NaN is refused."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_json(value: Any) -> str:
    return sha256_bytes(canonical_json(value).encode())


def listing(folder: Path) -> dict[str, str]:
    """sha256 of every file below `folder`, by its relative POSIX path, sorted."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}


def sha256_path(path: Path) -> str:
    """Digest of a file, or of the listing of a folder."""
    return sha256_json(listing(path)) if path.is_dir() else sha256_file(path)


@contextmanager
def complete_file(path: Path) -> Generator[Path]:
    """Yield a temporary path beside `path`; it takes the name when the block ends without an error."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with disk_full_in_a_sentence(path):
            yield temporary
            with temporary.open("rb") as file:
                os.fsync(file.fileno())
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def complete_folder(path: Path) -> Generator[Path]:
    """Like `complete_file` for a folder; a folder of that name is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        with disk_full_in_a_sentence(path):
            yield temporary
            shutil.rmtree(path, ignore_errors=True)
            temporary.replace(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def remove_leftovers(path: Path) -> None:
    """Remove what killed writers of `path` left half written. Only for a caller that is its sole writer."""
    for leftover in path.parent.glob(f".{path.name}.*.partial"):
        shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()


def write_json(path: Path, value: Any) -> None:
    with complete_file(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def require_free_disk(folder: Path, needed_bytes: int) -> None:
    """Raise DiskFull when the disk that will hold `folder` has less than `needed_bytes` free."""
    existing = next(parent for parent in (folder, *folder.parents) if parent.exists())
    free = shutil.disk_usage(existing).free
    if free < needed_bytes:
        raise DiskFull(
            f"{folder} needs {needed_bytes / 1e6:,.0f} MB, and its disk has {free / 1e6:,.0f} MB free. "
            "Nothing was written. Free some room, or point SENTINEL_HOME at another disk, and run again."
        )


@contextmanager
def disk_full_in_a_sentence(path: Path | str) -> Generator[None]:
    """Turn 'no space left on device' from any writer into DiskFull: the system's, DuckDB's and SQLite's alike."""
    try:
        yield
    except Exception as error:
        if isinstance(error, SentinelError) or not _is_disk_full(error):
            raise
        raise DiskFull(
            f"The disk became full while {path} was written; what was there before is unchanged. "
            "Free some room, or point SENTINEL_HOME at another disk, and run again."
        ) from error


@contextmanager
def closed_place_in_a_sentence() -> Generator[None]:
    """Turn the system's refusal of a path (read-only, forbidden, a file for a folder) into ConfigInvalid."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR):
            raise
        raise ConfigInvalid(
            f"{error.filename2 or error.filename} cannot be used: {(error.strerror or '').lower()}. Mend it, or name "
            "another place: SENTINEL_HOME holds all state, --out what one command writes."
        ) from error


def _is_disk_full(error: Exception) -> bool:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return any(words in str(error) for words in ("No space left on device", "database or disk is full"))
