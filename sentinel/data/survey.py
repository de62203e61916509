"""Hash every copy of a version, wherever it lies: remote, cache and work tree.

DVC believes what it once hashed: it does not notice a byte that flips later. So nothing here trusts a record.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sentinel.data.objects import (
    TRANSACTIONS,
    Digest,
    Store,
    digest,
    files_below,
    listing_name,
    parse_listing,
    read_blocks,
    version_of,
)
from sentinel.progress import Progress, silent

WORK_TREE = "work tree"
_READERS = 4  # hashing lets go of Python's lock


@dataclass(frozen=True)
class Copy:
    """One object in one place; the md5s are None for a file the version lacks (expected) or a missing one (found)."""

    place: str
    name: str
    where: str
    expected: str | None
    found: str | None
    sha256: str

    @property
    def object_name(self) -> str:
        """What a store calls it."""
        return f"{self.expected}.dir" if self.name.endswith(".dir") else f"{self.expected}"

    @property
    def good(self) -> bool:
        return self.found is not None and self.found == self.expected


@dataclass(frozen=True)
class Survey:
    version: str
    copies: tuple[Copy, ...]
    folder: Path
    has_folder: bool  # the work tree holds this version, whole or damaged

    def at(self, place: str) -> tuple[Copy, ...]:
        return tuple(copy for copy in self.copies if copy.place == place)

    @property
    def is_cached(self) -> bool:
        """Whether the cache holds this version; a quarantine file alone may belong to another one."""
        telling = (listing_name(self.version), TRANSACTIONS)
        return any(copy.found is not None and copy.name in telling for copy in self.at("cache"))

    @property
    def lacks(self) -> bool:
        """Whether something has to be fetched before the version can be used."""
        return not self.has_folder or not all(copy.good for copy in self.at("cache"))


def survey(version: str, stores: Sequence[Store], folder: Path, progress: Progress = silent) -> Survey:
    """Hash the version's objects in every store and every file of `folder`.

    A folder that holds another version known to a store counts as absent: git moved the pointer.
    """
    listing = find_listing(version, stores)
    present = _digest_all([_WorkTreeFile(name, path) for name, path in files_below(folder).items()], silent)
    held = version_of({copy.name: copy.found for copy in present if copy.found is not None})
    if listing is None and held == version:
        listing = {copy.name: copy.found for copy in present if copy.found is not None}
    has_folder = bool(present) and (held == version or find_listing(held, stores) is None)
    jobs = [_Object(store, listing_name(version), listing_name(version)) for store in stores]
    jobs += [_Object(store, name, md5) for store in stores for name, md5 in (listing or {}).items()]
    copies = _digest_all(jobs, progress)
    if has_folder:
        copies += _compare(present, listing, folder)
    return Survey(version, tuple(copies), folder, has_folder)


def find_listing(version: str, stores: Sequence[Store]) -> dict[str, str] | None:
    """The files of a version, from the first store whose listing is whole."""
    for store in stores:
        try:
            content = b"".join(store.read(listing_name(version)))
        except FileNotFoundError:
            continue
        if digest(iter([content]), sha256=False).md5 == version:
            return parse_listing(content)
    return None


@dataclass(frozen=True)
class _Object:
    store: Store
    name: str
    object_name: str

    def digest(self) -> Copy:
        found = _digest_or_none(partial(self.store.read, self.object_name), sha256=False)
        where, expected = self.store.where(self.object_name), self.object_name.removesuffix(".dir")
        return Copy(self.store.place, self.name, where, expected, found and found.md5, "")


@dataclass(frozen=True)
class _WorkTreeFile:
    name: str
    path: Path

    def digest(self) -> Copy:
        found = _digest_or_none(partial(read_blocks, self.path), sha256=True)
        sha256 = found.sha256 if found else ""
        return Copy(WORK_TREE, self.name, str(self.path), None, found and found.md5, sha256)


def _digest_or_none(read: Callable[[], Iterator[bytes]], *, sha256: bool) -> Digest | None:
    try:
        return digest(read(), sha256=sha256)
    except FileNotFoundError:
        return None


def _digest(job: _Object | _WorkTreeFile) -> Copy:
    return job.digest()


def _digest_all(jobs: Sequence[_Object | _WorkTreeFile], progress: Progress) -> list[Copy]:
    with ThreadPoolExecutor(_READERS) as pool:
        copies: list[Copy] = []
        for copy in pool.map(_digest, jobs):
            copies.append(copy)
            progress(len(copies), len(jobs), f"checking {copy.name} in the {copy.place}")
    return copies


def _compare(present: Sequence[Copy], listing: dict[str, str] | None, folder: Path) -> list[Copy]:
    """The work tree's copies with what the version expects, missing files included."""
    if listing is None:
        return []
    found = {copy.name: copy for copy in present}
    copies = [
        Copy(copy.place, copy.name, copy.where, listing.get(copy.name), copy.found, copy.sha256) for copy in present
    ]
    missing = [name for name in listing if name not in found]
    return copies + [Copy(WORK_TREE, name, str(folder / name), listing[name], None, "") for name in missing]
