"""The lock that all writers of one registry share.

A file in the home folder keeps the processes of this machine apart, and guards the chain that lies there. Where the
registry's PostgreSQL database is known, an advisory lock in it keeps apart those of all machines. The kernel, or the
server, frees either with its process, also after kill -9. Not covered: people in MLflow's own pages.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from sentinel.errors import ServiceUnavailable
from sentinel.paths import Paths
from sentinel.promotion.store.databases import connected, place_of
from sentinel.promotion.store.opening import is_postgres

Purpose = Literal["switch", "registration"]
_PAUSE_S = 0.02
_PATIENCE_S = 60


@dataclass(frozen=True)
class RegistryLock:
    """Of the model `name`. `database_url`: the PostgreSQL of an MLflow server that is reached by HTTP, when known."""

    paths: Paths
    name: str
    tracking_uri: str
    database_url: str | None = None

    @property
    def shared_database(self) -> str | None:
        return self.tracking_uri if is_postgres(self.tracking_uri) else self.database_url

    @property
    def covers(self) -> str:
        """Who is kept apart by it, in a sentence."""
        if url := self.shared_database:
            return f"Every writer takes turns by a lock in the PostgreSQL database {place_of(url)}, on all machines."
        if self.tracking_uri.startswith("http"):
            return (
                "Only writers on this machine take turns; other machines are not covered. Name the server's PostgreSQL "
                "in services.registry_database_url or SENTINEL_REGISTRY_DATABASE_URL to cover them."
            )
        return "Writers on this machine take turns by a file lock; the embedded registry is for one machine."

    @contextmanager
    def held(self, purpose: Purpose = "switch", patience_s: int = _PATIENCE_S) -> Generator[None]:
        """Wait for it; raises ServiceUnavailable with who has it when that takes too long."""
        suffix = "registry" if purpose == "switch" else purpose
        with ExitStack() as stack:
            stack.enter_context(_file_lock(self.paths.lock(f"{self.name}.{suffix}"), patience_s))
            if url := self.shared_database:
                stack.enter_context(_advisory_lock(url, self.name, purpose, patience_s))
            yield


@contextmanager
def _file_lock(file: Path, patience_s: int) -> Generator[None]:
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _wait(descriptor, file, patience_s)
        os.ftruncate(descriptor, 0)
        since = datetime.now(UTC).isoformat(timespec="seconds")
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "since": since}).encode(), 0)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, file: Path, patience_s: int) -> None:
    give_up = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > give_up:
                who = os.pread(descriptor, 200, 0).decode(errors="replace")
                raise ServiceUnavailable(
                    f"Another writer has held the registry's lock {file} for over {patience_s} s ({who}). "
                    "Nothing was changed. See what that process does, or end it, and call again."
                ) from None
            time.sleep(_PAUSE_S)


@contextmanager
def _advisory_lock(url: str, name: str, purpose: str, patience_s: int) -> Generator[None]:
    """Held by a connection of its own; a connection pool that shares sessions between clients would break it."""
    import psycopg2

    key = int.from_bytes(hashlib.sha256(f"sentinel:{purpose}:{name}".encode()).digest()[:8], "big", signed=True)
    with connected(url) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"SET lock_timeout = '{patience_s}s'")
        try:
            cursor.execute("SELECT pg_advisory_lock(%s)", (key,))
        except psycopg2.errors.LockNotAvailable:
            raise ServiceUnavailable(
                f"Another writer has held the registry's lock in {place_of(url)} for over {patience_s} s. "
                "Nothing was changed. See what it does (pg_locks, locktype advisory), or end it, and call again."
            ) from None
        yield
