"""Events of a Redis stream: entries whose field `event` (or only field) holds one JSON object."""

# redis carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any, cast

import redis
from redis import exceptions

from sentinel.errors import DataDamaged, ServiceUnavailable
from sentinel.features.online.stream.sources import BATCH, PATIENCE_S, Batch

_START = "0-0"
_TIMEOUT_S = 10.0


class RedisStream:
    """`drain`: end at what is there now, instead of waiting for more. `where`: what names the address."""

    def __init__(self, url: str, stream: str, *, drain: bool, where: str) -> None:
        self.name = f"redis stream {stream}"
        self._stream = stream
        self._drain = drain
        self._where = where
        with self._answered():
            try:
                self._redis: Any = redis.Redis.from_url(
                    url, socket_connect_timeout=_TIMEOUT_S, socket_timeout=_TIMEOUT_S
                )
            except ValueError as error:
                raise ServiceUnavailable(f"{where} is no address of a Redis: {error}. Mend it.") from error
            self._redis.ping()

    def batches(self, position: Any) -> Iterator[Batch]:
        last = cast("str", position or _START)
        self._require_continuity(last)
        wait = None if self._drain else int(PATIENCE_S * 1000)
        while True:
            with self._answered():
                answer = self._redis.xread({self._stream: last}, count=BATCH, block=wait)
            entries = answer[0][1] if answer else []
            if entries:
                last = entries[-1][0].decode()
            elif self._drain:
                return
            yield Batch([(f"entry {entry.decode()}", _line(fields)) for entry, fields in entries], last)

    def close(self) -> None:
        self._redis.close()

    def _require_continuity(self, position: str) -> None:
        """The stream must still know what comes after `position`."""
        with self._answered():
            if not self._redis.exists(self._stream):
                return
            info = self._redis.xinfo_stream(self._stream)
        if position != _START and _number(info["last-generated-id"].decode()) < _number(position):
            raise DataDamaged(
                f"The Redis stream {self._stream} ends before {position}, up to which it was read: it is another "
                "stream of that name. Give it another name, or bring the old one back."
            )

    @contextmanager
    def _answered(self) -> Generator[None]:
        try:
            yield
        except (exceptions.RedisError, OSError) as error:
            raise ServiceUnavailable(
                f"The Redis of the stream {self._stream} (named by {self._where}) does not answer: {error}. Start it, "
                "or mend the address. The position is kept: nothing is lost."
            ) from error


def _line(fields: dict[bytes, bytes]) -> bytes:
    """An entry without a field `event` and with several others is no event; its fields go to the dead letters."""
    if b"event" in fields:
        return fields[b"event"]
    return next(iter(fields.values())) if len(fields) == 1 else repr(fields).encode()


def _number(entry: str) -> tuple[int, int]:
    first, _, second = entry.partition("-")
    return int(first), int(second or 0)
