"""Pin a version of the data, and pull the pinned one: every copy is hashed on every run, whatever is cached.

The pull never repairs in silence: it fetches what is absent, and refuses what is damaged.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import duckdb

from sentinel.artifacts import RawData
from sentinel.config import Data
from sentinel.data.damage import faults_of, refuse_damage
from sentinel.data.dvc_repository import DvcSettings, Scratch, scratch_repository
from sentinel.data.objects import (
    QUARANTINE,
    TRANSACTIONS,
    FolderStore,
    digest,
    files_below,
    listing_name,
    read_blocks,
    version_of,
)
from sentinel.data.pointer import Pointer, parse_pointer, read_pointer, read_pointer_at
from sentinel.data.remote import RemoteStore, copy_command, dvc_settings, open_remote
from sentinel.data.survey import WORK_TREE, Survey, find_listing, survey
from sentinel.errors import DataContractError, DataDamaged
from sentinel.paths import Paths
from sentinel.progress import Progress, silent
from sentinel.storage import complete_file, disk_full_in_a_sentence, require_free_disk, sha256_json

_COPIES = 3  # cache, remote, work tree


def pin(folder: Path, pointer: Path, data: Data, *, paths: Paths, progress: Progress = silent) -> str:
    """Store `folder` as a version, lay it out beside `pointer`, and point to it. Returns the version (DVC's md5).

    `folder` itself is left as it is. On any failure the earlier pointer and data are unchanged.
    """
    size = _require_complete(folder)
    target = pointer.with_suffix("")
    require_free_disk(paths.home, _COPIES * size)
    require_free_disk(target, size)
    remote, cache = open_remote(data, paths), _cache(paths)
    with disk_full_in_a_sentence(target), scratch_repository(target, target.name, _settings(remote, paths)) as scratch:
        progress(0, 3, "copying the data")
        shutil.copytree(folder, scratch.folder)
        progress(1, 3, "storing the version in the data remote")
        stored = _store(scratch, remote, cache, size)
        progress(2, 3, "writing the pointer")
        with _replaced(target, scratch), complete_file(pointer) as temporary:
            temporary.write_text(stored.text, encoding="utf-8")
    progress(3, 3, "pinned")
    return stored.version


def pull(
    name: str,
    data: Data,
    *,
    paths: Paths,
    revision: str | None = None,
    pinned: Pointer | None = None,
    fill: Callable[[Path], None] | None = None,
    progress: Progress = silent,
) -> RawData:
    """Bring the pinned version into its folder and hash every copy of it.

    `revision` takes the pointer of a git revision, `pinned` is one that lies nowhere; the work tree's data then stay
    untouched. `fill` writes the data of an embedded remote that does not hold the version yet. Raises DataDamaged
    naming each bad object.
    """
    pointer, folder = _pinned(name, paths, revision, pinned)
    remote, cache = open_remote(data, paths), _cache(paths)
    fillable = fill is not None and isinstance(remote, FolderStore)
    if fill and isinstance(remote, FolderStore) and _is_unfilled(remote, cache, pointer.version):
        _fill(fill, pointer, paths.pointer(name), remote, cache, paths, progress)
    refuse = partial(refuse_damage, copy_command=partial(copy_command, remote), fillable=fillable)
    found = survey(pointer.version, (remote, cache), folder, progress)
    refuse(found)
    if found.lacks:
        _fetch(found, pointer, paths.data(name).name, _settings(remote, paths), progress)
        found = survey(pointer.version, (cache,), folder, progress)
        refuse(found)
    return _raw_data(found, paths)


def _pinned(name: str, paths: Paths, revision: str | None, pinned: Pointer | None) -> tuple[Pointer, Path]:
    """The pointer to use and the folder its version belongs in."""
    file = paths.pointer(name)
    if pinned is not None:
        pointer = pinned
    elif revision is not None:
        pointer = read_pointer_at(revision, file, paths.root)
    else:
        return read_pointer(file), paths.data(name)
    if file.exists() and read_pointer(file).version == pointer.version:
        return pointer, paths.data(name)
    return pointer, paths.pulled(name, pointer.version)


def _cache(paths: Paths) -> FolderStore:
    return FolderStore("cache", paths.dvc_cache)


def _settings(remote: RemoteStore, paths: Paths) -> DvcSettings:
    return DvcSettings(paths.dvc_cache, dvc_settings(remote))


def _require_complete(folder: Path) -> int:
    """The bytes of an ingested folder. Raises DataContractError when one of its two files is missing."""
    for name in (TRANSACTIONS, QUARANTINE):
        if not (folder / name).is_file():
            raise DataContractError(
                f"{folder} has no {name}, so it is not what an ingestion writes. Nothing was pinned. "
                "Run `sentinel data ingest SOURCE --config FILE`."
            )
    return sum(path.stat().st_size for path in files_below(folder).values())


def _store(scratch: Scratch, remote: RemoteStore, cache: FolderStore, size: int) -> Pointer:
    """Add the scratch folder to cache and remote, and read back what both now hold."""
    files = _md5s(scratch.folder)
    _remove_damaged(survey(version_of(files), (remote, cache), scratch.folder), remote, cache)
    stored = parse_pointer(scratch.add_and_push(size), scratch.folder.name, str(scratch.pointer))
    faults = faults_of(survey(stored.version, (remote, cache), scratch.folder))
    if stored.version != version_of(files) or faults:
        raise DataDamaged(
            f"The version {version_of(files)} was stored, but reading it back gives other bytes: "
            f"{', '.join(fault.where for fault in faults)}. The pointer was not written. Check the disk and run again."
        )
    return stored


def _remove_damaged(found: Survey, remote: RemoteStore, cache: FolderStore) -> None:
    """Make DVC store the good bytes again.

    It keeps a damaged object of the right name, and pushes nothing of a version whose listing the remote has.
    """
    for store in (remote, cache):
        copies = found.at(store.place)
        whole = all(copy.good for copy in copies)
        for copy in copies:
            is_listing = copy.object_name == listing_name(found.version)
            if copy.found is not None and (not copy.good or (is_listing and not whole)):
                store.remove(copy.object_name)


def _md5s(folder: Path) -> dict[str, str]:
    return {name: digest(read_blocks(path), sha256=False).md5 for name, path in files_below(folder).items()}


def _is_unfilled(remote: FolderStore, cache: FolderStore, version: str) -> bool:
    """Whether the embedded remote never got this version: neither its listing nor its transactions are there."""
    if remote.path(listing_name(version)).exists():
        return False
    listing = find_listing(version, (cache,))
    return listing is None or TRANSACTIONS not in listing or not remote.path(listing[TRANSACTIONS]).exists()


def _fill(
    fill: Callable[[Path], None],
    pinned: Pointer,
    file: Path,
    remote: FolderStore,
    cache: FolderStore,
    paths: Paths,
    progress: Progress,
) -> None:
    """Make the pinned version and store it. Raises DataDamaged when what was made has another digest."""
    require_free_disk(paths.home, _COPIES * pinned.size)
    place = paths.home / "dvc" / file.stem
    with disk_full_in_a_sentence(place), scratch_repository(place, file.stem, _settings(remote, paths)) as scratch:
        progress(0, 2, "filling the embedded data remote")
        scratch.folder.mkdir()
        fill(scratch.folder)
        made = version_of(_md5s(scratch.folder))
        if made != pinned.version:
            raise DataDamaged(
                f"The embedded remote {remote.folder} does not hold version {pinned.version}, and the data made to "
                f"fill it have version {made}. Nothing was stored. Either the simulator, the ingestion or the "
                f"configuration changed since {file.name} was written: use the code that wrote it, or pin what "
                "today's code makes with `sentinel data simulate` and `sentinel data ingest`."
            )
        progress(1, 2, "storing the version in the embedded data remote")
        _store(scratch, remote, cache, pinned.size)


def _fetch(found: Survey, pointer: Pointer, name: str, settings: DvcSettings, progress: Progress) -> None:
    """Bring the version into the cache, and into its folder when that is absent."""
    require_free_disk(settings.cache, pointer.size if found.has_folder else 2 * pointer.size)
    require_free_disk(found.folder, pointer.size)
    progress(0, 1, f"fetching version {pointer.version[:8]}")
    target = found.folder
    with disk_full_in_a_sentence(target), scratch_repository(target, name, settings) as scratch:
        scratch.fetch(pointer.text, pointer.size, checkout=not found.has_folder)
        if not found.has_folder:
            _require_digest(scratch.folder, pointer.version)
            with _replaced(target, scratch):
                pass
    progress(1, 1, f"fetched version {pointer.version[:8]}")


def _require_digest(folder: Path, version: str) -> None:
    fetched = version_of(_md5s(folder))
    if fetched != version:
        raise DataDamaged(
            f"DVC laid out a folder with version {fetched} in place of the pinned {version}. Nothing was replaced. "
            "Run again; if it stays so, check the disk."
        )


@contextmanager
def _replaced(target: Path, scratch: Scratch) -> Generator[None]:
    """Put the scratch folder in `target`'s place; a failure in the block puts the earlier one back."""
    target.parent.mkdir(parents=True, exist_ok=True)
    had = target.exists()
    if had:
        target.rename(scratch.aside)
    try:
        scratch.folder.rename(target)
        yield
    except BaseException:
        if target.exists():
            target.rename(scratch.folder)
        if had:
            scratch.aside.rename(target)
        raise


def _raw_data(found: Survey, paths: Paths) -> RawData:
    sha256 = {copy.name: copy.sha256 for copy in found.at(WORK_TREE)}
    rows, frauds = _count(found.folder / TRANSACTIONS)
    return RawData(
        path=paths.relative(found.folder),
        sha256=sha256_json(sha256),
        version=found.version,
        rows=rows,
        frauds=frauds,
        transactions_sha256=sha256[TRANSACTIONS],
    )


def _count(transactions: Path) -> tuple[int, int]:
    """Rows and known frauds."""
    try:
        with duckdb.connect() as connection:
            # a bound parameter in its place would make DuckDB import pandas, which takes a second
            table = connection.read_parquet(str(transactions))
            ((rows, frauds),) = table.aggregate("count(*), count(*) FILTER (WHERE is_fraud)").fetchall()
    except duckdb.Error as error:
        raise DataContractError(
            f"{transactions} holds the pinned bytes, but they are no transactions of the contract: {error}. "
            "Ingest the source again with `sentinel data ingest SOURCE --config FILE`."
        ) from error
    return int(rows), int(frauds)
