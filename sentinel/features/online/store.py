"""Which online store a data set has: Redis where an address is configured, else an SQLite file of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from sentinel.features.online.rows import OnlineRows
from sentinel.paths import Paths

StoreKind = Literal["sqlite", "redis"]
SOME_CONFIGURATION = "the configuration"


def store_kind(redis_url: str | None) -> StoreKind:
    return "redis" if redis_url else "sqlite"


def online_file(paths: Paths, name: str) -> Path:
    return paths.feast(name) / "online.db"


def open_online(paths: Paths, name: str, redis_url: str | None, *, where: str = SOME_CONFIGURATION) -> OnlineRows:
    """The store of `name`; `where`: the configuration that names Redis (`file:line`). Close it after use.

    Raises ServiceUnavailable when it does not answer.
    """
    return open_rows(name, online_file(paths, name), redis_url, where=where)


def open_rows(name: str, file: Path, redis_url: str | None, *, where: str = SOME_CONFIGURATION) -> OnlineRows:
    """The same with the embedded store's file."""
    if redis_url:
        from sentinel.features.online.redis_rows import RedisRows

        return RedisRows(name, redis_url, where)
    from sentinel.features.online.sqlite_rows import SqliteRows

    return SqliteRows(file)
