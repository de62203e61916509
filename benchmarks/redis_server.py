"""A Redis for one measurement: empty, on a port of its own, writing nothing to the disk."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def empty_redis() -> Iterator[str]:
    """Its address, once it answers; it ends with the block."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port = listener.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        try:
            url = f"redis://127.0.0.1:{port}/0"
            _wait_for(url)
            yield url
        finally:
            server.terminate()


def _wait_for(url: str) -> None:
    from redis import ConnectionError as NotYet
    from redis import Redis

    with Redis.from_url(url) as client:
        for _ in range(200):
            try:
                client.ping()
                return
            except NotYet:
                time.sleep(0.05)
    raise SystemExit(f"redis-server does not answer at {url}.")
