"""The online store on Redis: a string a row, `sentinel:<name>:<view>:<key>`, written by a script that keeps the newer.

A row never expires here: data may be months old when a replay asks as of then. Who reads honours the ttl.
"""

# redis carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import redis
from redis import exceptions

from sentinel.errors import ConfigInvalid, ServiceUnavailable
from sentinel.features.online.rows import (
    MOMENT_BYTES,
    Key,
    OnlineRow,
    pack_key,
    pack_moment,
    pack_row,
    unpack_key,
    unpack_moment,
    unpack_row,
)

_TIMEOUT_S = 10.0
_ROWS_A_CALL = 500  # of the script: other clients wait no longer than one call takes
_CALLS_A_TRIP = 20

# Bytes are compared one by one: Lua compares strings by the server's locale.
_IS_OLDER = """
local function is_older(a, b)
  for i = 1, 8 do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x < y end
  end
  return false
end
"""
_KEEP_NEWER = f"""{_IS_OLDER}
for i, key in ipairs(KEYS) do
  local old = redis.call('GETRANGE', key, 0, 7)
  if #old < 8 or not is_older(ARGV[i], old) then redis.call('SET', key, ARGV[i]) end
end
"""
_REMOVE = f"""{_IS_OLDER}
for _, key in ipairs(KEYS) do
  local old = redis.call('GETRANGE', key, 0, 7)
  if #old == 8 and not is_older(ARGV[1], old) then redis.call('DEL', key) end
end
"""


class RedisRows:
    """`name`: of the data set; `where`: the configuration that names the address, for who has to mend it."""

    def __init__(self, name: str, url: str, where: str) -> None:
        self._prefix = f"sentinel:{name}"
        self._place = without_password(url)
        self._where = where
        self._script = ""
        with self._answered():
            try:
                self._redis: Any = redis.Redis.from_url(
                    url, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S
                )
            except ValueError as error:
                raise ConfigInvalid(
                    f"{self._place} is no address of a Redis: {error}. Mend REDIS_URL, or services.redis_url in "
                    f"{where}."
                ) from error
            self._redis.ping()

    def write(self, view: str, rows: Sequence[OnlineRow]) -> None:
        trip = _ROWS_A_CALL * _CALLS_A_TRIP
        with self._answered():
            for start in range(0, len(rows), trip):
                self._write_trip(view, rows[start : start + trip])

    def read(self, asked: Sequence[tuple[str, Key]]) -> list[OnlineRow | None]:
        if not asked:
            return []
        with self._answered():
            found: list[bytes | None] = self._redis.mget([self._key(view, key) for view, key in asked])
        return [
            None if packed is None else unpack_row(key, packed) for (_, key), packed in zip(asked, found, strict=True)
        ]

    def held(self, view: str) -> Iterator[list[tuple[Key, int]]]:
        prefix = f"{self._prefix}:{view}:".encode()
        cursor = None
        with self._answered():
            while cursor != 0:
                cursor, keys = self._redis.scan(cursor or 0, match=prefix + b"*", count=_ROWS_A_CALL * _CALLS_A_TRIP)
                with self._redis.pipeline(transaction=False) as pipeline:
                    for key in keys:
                        pipeline.getrange(key, 0, MOMENT_BYTES - 1)
                    moments: list[bytes] = pipeline.execute()
                yield [
                    (unpack_key(key.removeprefix(prefix)), unpack_moment(moment))
                    for key, moment in zip(keys, moments, strict=True)
                    if moment
                ]

    def remove(self, view: str, keys: Sequence[Key], until_us: int) -> None:
        with self._answered():
            for start in range(0, len(keys), _ROWS_A_CALL):
                names = [self._key(view, key) for key in keys[start : start + _ROWS_A_CALL]]
                self._redis.eval(_REMOVE, len(names), *names, pack_moment(until_us))

    def note(self, subject: str, text: str) -> None:
        with self._answered():
            self._redis.hset(self._notes, subject, text)

    def noted(self, subject: str) -> str | None:
        with self._answered():
            found: bytes | None = self._redis.hget(self._notes, subject)
        return None if found is None else found.decode()

    def close(self) -> None:
        self._redis.close()

    @property
    def _notes(self) -> str:
        return f"{self._prefix}:notes"

    def _key(self, view: str, key: Key) -> str:
        return f"{self._prefix}:{view}:{pack_key(key)}"

    def _write_trip(self, view: str, rows: Sequence[OnlineRow]) -> None:
        """One round trip; a server that was restarted is taught the script again."""
        packed = [(self._key(view, row.key), pack_row(row)) for row in rows]
        for is_last in (False, True):
            if is_last or not self._script:
                self._script = self._redis.script_load(_KEEP_NEWER)
            with self._redis.pipeline(transaction=False) as pipeline:
                for start in range(0, len(packed), _ROWS_A_CALL):
                    keys, values = zip(*packed[start : start + _ROWS_A_CALL], strict=True)
                    pipeline.evalsha(self._script, len(keys), *keys, *values)
                try:
                    pipeline.execute()
                    return
                except exceptions.NoScriptError:
                    if is_last:
                        raise

    @contextmanager
    def _answered(self) -> Generator[None]:
        try:
            yield
        except (exceptions.RedisError, OSError) as error:
            raise ServiceUnavailable(
                f"The online store {self._place} (REDIS_URL, or services.redis_url in {self._where}) does not answer: "
                f"{str(error).rstrip('.')}. Start it (`redis-server`), or mend the address; without one the embedded "
                "store is used, which needs no server."
            ) from error


def without_password(url: str) -> str:
    try:
        parts = urlsplit(url)
        place = parts.hostname or ""
        if parts.port:
            place = f"{place}:{parts.port}"
        return urlunsplit((parts.scheme, place, parts.path, "", ""))
    except ValueError:
        return "the address"
