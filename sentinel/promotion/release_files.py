"""The local folder of a version's release: every byte checked, fetched from MLflow when it is not whole."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import unquote

from sentinel.artifacts import Release
from sentinel.errors import RecordInvalid, ServiceUnavailable
from sentinel.paths import Paths
from sentinel.promotion.catalogue import StoredVersion
from sentinel.promotion.keys import public_keys
from sentinel.promotion.layout import protect


def local_folder(paths: Paths, name: str, digest: str) -> Path:
    return paths.releases(name) / digest[:16]


def is_whole(paths: Paths, name: str, stored: StoredVersion) -> bool:
    """Whether the release of a version lies here with every byte as it was released."""
    return _artifact(paths, stored, local_folder(paths, name, stored.release)).holds(paths.home)


def release_folder(paths: Paths, name: str, tracking_uri: str, stored: StoredVersion) -> Path:
    """Raises RecordInvalid when MLflow's files are not those of the release either."""
    folder = local_folder(paths, name, stored.release)
    if not is_whole(paths, name, stored):
        _fetch(tracking_uri, stored, folder)
        if not is_whole(paths, name, stored):
            from sentinel.promotion.release import verify_release

            verify_release(folder, stored.release, public_keys(paths.keys))
            raise RecordInvalid(f"The files of version {stored.version} in MLflow are not those of its release.")
    return folder


def require_registered_files(paths: Paths, name: str, tracking_uri: str, stored: StoredVersion) -> None:
    """Raises RecordInvalid unless MLflow itself holds the very files of the release that the version's tag names."""
    digest, place = stored.release, paths.releases(name)
    place.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place) as scratch:
        try:
            found = _files_of(tracking_uri, stored, Path(scratch))
        except (ServiceUnavailable, OSError) as error:
            raise RecordInvalid(
                f"The files of version {stored.version}, which names the release {digest[:16]}, cannot be had from "
                f"MLflow ({stored.source})."
            ) from error
        if not _artifact(paths, stored, found).holds(paths.home):
            raise RecordInvalid(f"The files of version {stored.version} in MLflow are not those of its release.")


def _files_of(tracking_uri: str, stored: StoredVersion, scratch: Path) -> Path:
    """Where they lie, when that is a folder here; else a copy below `scratch`."""
    local = Path(unquote(stored.source.removeprefix("file://")))
    if local.is_absolute() and local.is_dir():
        return local
    from sentinel.promotion.mlflow_server import fetch_files

    return fetch_files(tracking_uri, stored.source, scratch)


def _artifact(paths: Paths, stored: StoredVersion, folder: Path) -> Release:
    return Release(
        path=paths.relative(folder),
        sha256=stored.release,
        run_id=stored.run_id or "",
        passed=stored.tags.get("verdict") == "passed",
        model_sha256=stored.tags.get("model_sha256", ""),
    )


def _fetch(tracking_uri: str, stored: StoredVersion, folder: Path) -> None:
    from sentinel.promotion.mlflow_server import fetch_files

    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
        fetched = fetch_files(tracking_uri, stored.source, Path(scratch))
        protect(fetched)
        shutil.rmtree(folder, ignore_errors=True)
        fetched.replace(folder)
