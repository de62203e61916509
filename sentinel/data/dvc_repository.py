"""DVC at work in a scratch folder of its own.

The scratch folder lies beside the target, so that a finished folder takes the target's name by a rename. The project's
tree, its git repository and its `.dvc/` are never written to.
"""

from __future__ import annotations

import errno
import logging
import shutil
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from sentinel.errors import ServiceUnavailable
from sentinel.storage import require_free_disk

_REMOTE = "pinned"
_LOGGERS = ("dvc", "dvc_data", "dvc_objects")


@dataclass(frozen=True)
class DvcSettings:
    """`remote` is a section of DVC's configuration."""

    cache: Path
    remote: dict[str, Any]


@dataclass(frozen=True)
class Scratch:
    """A DVC repository without git: `folder` is the data, `pointer` the DVC file that describes it."""

    root: Path
    folder: Path
    settings: DvcSettings

    @property
    def pointer(self) -> Path:
        return self.folder.with_suffix(".dvc")

    @property
    def aside(self) -> Path:
        """Where a replaced folder waits until its successor stands."""
        return self.root / "replaced"

    def add_and_push(self, size: int) -> str:
        """Add `folder` to the cache, push it and return the pointer's text."""
        with self._dvc("push to the data remote", size) as repository:
            repository.add(str(self.folder))
            repository.push(targets=[str(self.pointer)], remote=_REMOTE)
        return self.pointer.read_text(encoding="utf-8")

    def fetch(self, pointer_text: str, size: int, *, checkout: bool) -> None:
        """Bring what the pointer names into the cache, and lay it out in `folder` when `checkout`."""
        self.pointer.write_text(pointer_text, encoding="utf-8")
        with self._dvc("fetch from the data remote", size) as repository:
            repository.fetch(targets=[str(self.pointer)], remote=_REMOTE)
            if checkout:
                repository.checkout(targets=[str(self.pointer)], force=True)

    @contextmanager
    def _dvc(self, doing: str, size: int) -> Generator[Any]:
        from dvc.exceptions import DvcException  # pyright: ignore[reportMissingTypeStubs]

        with _quiet():
            repository = self._open()
            try:
                yield repository
            except (DvcException, OSError) as error:
                if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
                    raise  # the caller's sentence about a full disk
                require_free_disk(self.settings.cache, size)  # DVC hides a full disk behind a count of failures
                raise ServiceUnavailable(
                    f"DVC could not {doing} {self.settings.remote['url']}: {str(error).splitlines()[0]} "
                    "Nothing was replaced. Check that the remote answers and that the disk has room, and run again."
                ) from error
            finally:
                repository.close()

    def _open(self) -> Any:
        """The DVC repository without its memory of digests, whose database spins for ever once the disk is full."""
        from dvc.cachemgr import CacheManager  # pyright: ignore[reportMissingTypeStubs]
        from dvc.repo import Repo  # pyright: ignore[reportMissingTypeStubs]
        from dvc_data.hashfile.state import StateNoop  # pyright: ignore[reportMissingTypeStubs]

        repository = cast("Any", Repo)(str(self.root), config=self._config())
        repository.state.close()
        repository.state = StateNoop()
        repository.cache = cast("Any", CacheManager)(repository)
        return repository

    def _config(self) -> dict[str, Any]:
        return {
            "core": {
                "no_scm": True,
                "analytics": False,
                "check_update": False,
                "autostage": False,
                "remote": _REMOTE,
                "site_cache_dir": str(self.root / "site"),
            },
            # never links: a byte that flips in one place must not flip in the other
            "cache": {"dir": str(self.settings.cache), "type": "reflink,copy"},
            "remote": {_REMOTE: self.settings.remote},
        }


@contextmanager
def scratch_repository(target: Path, name: str, settings: DvcSettings) -> Generator[Scratch]:
    """A scratch folder beside `target`; it is gone afterwards, also one that a killed run left.

    `name` is the folder's name in the pointer.
    """
    root = target.parent / f".{target.name}.partial"
    shutil.rmtree(root, ignore_errors=True)
    (root / ".dvc").mkdir(parents=True)
    try:
        yield Scratch(root, root / name, settings)
    finally:
        shutil.rmtree(root, ignore_errors=True)


@contextmanager
def _quiet() -> Generator[None]:
    """DVC draws its bars unless its loggers are above ERROR; the failure itself arrives as an exception.

    DVC 3.67 still reads a step of a pygtrie in the way that pygtrie is about to drop, and each add would say so.
    """
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "_NoneStep.value", DeprecationWarning, r"dvc\.repo")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
