"""Look for answers until the process is told to end: at once when MLflow's webhook calls, else every so often."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Event, Thread

from sentinel.errors import ConfigInvalid, SentinelError
from sentinel.promotion.review.webhook import Calls

logger = logging.getLogger("sentinel.review")

_MOST_BYTES = 1_000_000
_SETTLING_S = 2.0  # a reviewer's page sets the tags of one answer one after the other


def watch(look: Callable[[], None], called: Event, ended: Event, every_s: float) -> None:
    """A look that fails is told, and the next one is due all the same."""
    while not ended.is_set():
        called.clear()
        try:
            look()
        except SentinelError as error:
            logger.warning("%s", error)
        if called.wait(every_s) and not ended.is_set():
            ended.wait(_SETTLING_S)


@contextmanager
def listening(host: str, port: int, calls: Calls, called: Event) -> Generator[str]:
    """Answer MLflow's calls during the block; yields the address. Raises ConfigInvalid when it is taken."""

    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            length = self.headers.get("Content-Length", "")
            if not length.isdigit() or int(length) > _MOST_BYTES:
                self.send_error(413)
                return
            if why := calls.why_refused(dict(self.headers.items()), self.rfile.read(int(length))):
                logger.warning("A call from %s was refused: %s.", self.client_address[0], why)
                self.send_error(401)
                return
            called.set()
            self.send_response(202)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Every refusal is told above; the rest is of no interest."""

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except (OSError, OverflowError) as error:
        raise ConfigInvalid(f"Nothing can listen on {host}:{port}: {error}. Choose another with --listen.") from error
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
