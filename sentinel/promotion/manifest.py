"""manifest.json: the sha256 and bytes of every file of a release, and whether a folder holds exactly these.

Nothing here trusts what it reads: a folder may come from anywhere.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from sentinel.artifacts import MANIFEST, SIGNATURE
from sentinel.errors import RecordInvalid
from sentinel.storage import canonical_json, listing, sha256_bytes, sha256_file

_MOST_BYTES = 20_000_000  # of a manifest or a signature: more is none of ours, and is not read
_SHA256 = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Kept:
    """One file as it was released."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class Manifest:
    """`sha256`: of manifest.json itself, the digest of the release. `files`: by relative POSIX path."""

    name: str
    files: dict[str, Kept]
    sha256: str


def write_manifest(folder: Path, name: str) -> str:
    """Written when every other file is there; its digest is the release's."""
    files = {
        path: {"sha256": digest, "bytes": (folder / path).stat().st_size} for path, digest in listing(folder).items()
    }
    (folder / MANIFEST).write_text(canonical_json({"name": name, "files": files}) + "\n")
    return sha256_file(folder / MANIFEST)


def read_manifest(folder: Path) -> Manifest:
    """Raises RecordInvalid when it is not there, or not as `write_manifest` writes it."""
    if not folder.is_dir():
        raise RecordInvalid(f"{folder} is no folder, so there is no release in it")
    content = read_small(folder, MANIFEST)
    try:
        document = json.loads(content)
        if canonical_json(document).encode() + b"\n" != content:
            raise RecordInvalid(f"{MANIFEST}: is not as it was written")
        files = {path: Kept(str(kept["sha256"]), kept["bytes"]) for path, kept in document["files"].items()}
        manifest = Manifest(str(document["name"]), files, sha256_bytes(content))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RecordInvalid(f"{MANIFEST}: cannot be read as the list of a release's files ({error!r:.200})") from error
    if strange := [path for path, kept in files.items() if not _is_listed_well(path, kept)]:
        raise RecordInvalid(f"{MANIFEST}: lists {shown(strange[0])} as no release does")
    return manifest


def read_small(folder: Path, name: str) -> bytes:
    """A file that is never large. Raises RecordInvalid when it is not there, or is."""
    try:
        found = (folder / name).lstat()
        if not stat.S_ISREG(found.st_mode):
            raise RecordInvalid(f"{name}: is no plain file")
        if found.st_size > _MOST_BYTES:
            raise RecordInvalid(f"{name}: has {found.st_size:,} bytes, which is no release's")
        return (folder / name).read_bytes()
    except FileNotFoundError as error:
        raise RecordInvalid(f"{name}: is missing in {folder}") from error
    except OSError as error:
        raise RecordInvalid(f"{name}: cannot be read ({error.strerror})") from error


def wrong_files(folder: Path, manifest: Manifest) -> dict[str, str]:
    """What is wrong with each file that is not as it was released: missing, altered, added, or no plain file."""
    wrong: dict[str, str] = {}
    there: set[str] = set()
    for path, entry in _entries(folder):
        there.add(path)
        kept = manifest.files.get(path)
        if not entry.is_file(follow_symlinks=False):
            if kept or entry.is_symlink() or not _is_parent(path, manifest):
                wrong[path] = "is no plain file of the release" if kept else "does not belong to the release"
        elif kept is None and path not in (MANIFEST, SIGNATURE):
            wrong[path] = "does not belong to the release"
        elif kept is not None and (fault := _fault(folder / path, kept)):
            wrong[path] = fault
    wrong |= dict.fromkeys(manifest.files.keys() - there, "is missing")
    return dict(sorted(wrong.items()))


def shown(path: str) -> str:
    """A path as a terminal can show it, whatever a stranger called the file."""
    return path if path.isprintable() else ascii(path)


def _entries(folder: Path) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below `folder`, folders too; links are not followed."""
    waiting = [""]
    while waiting:
        above = waiting.pop()
        with os.scandir(folder / above) as entries:
            for entry in entries:
                yield f"{above}{entry.name}", entry
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(f"{above}{entry.name}/")


def _fault(file: Path, kept: Kept) -> str:
    try:
        if file.stat().st_size != kept.bytes:
            return f"is not {kept.bytes} bytes long, as it was released"
        return "" if sha256_file(file) == kept.sha256 else "its bytes are not those that were released"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _is_parent(path: str, manifest: Manifest) -> bool:
    return any(file.startswith(f"{path}/") for file in manifest.files)


def _is_listed_well(path: str, kept: Any) -> bool:
    """A plain path below the folder, a digest and a size."""
    parts = PurePosixPath(path).parts
    is_below = bool(parts) and "/".join(parts) == path and not {"/", "..", "."} & set(parts) and "\0" not in path
    size = cast("object", kept.bytes)
    is_number = isinstance(size, int) and not isinstance(size, bool) and size >= 0
    return is_below and path not in (MANIFEST, SIGNATURE) and bool(_SHA256.fullmatch(kept.sha256)) and is_number
