"""`sentinel models watch`: a process that acts on reviewers' answers, and guards the champion, until it is ended."""

from __future__ import annotations

import logging
import signal
from datetime import UTC, datetime
from threading import Event
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.console import ConfigOption, Session, open_session, remarks
from flows.environment import prefect_api_url
from flows.reviewing import open_review
from sentinel.errors import ConfigInvalid, ServiceUnavailable

if TYPE_CHECKING:
    from sentinel.promotion.review.answer import Review
    from sentinel.promotion.review.look import Happening

logger = logging.getLogger("sentinel.review")

ListenOption = Annotated[str, typer.Option("--listen", metavar="HOST:PORT", help="Where MLflow's calls are heard.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="How the MLflow server reaches this process; without it, as it listens.")
]


def watch(config: ConfigOption = None, listen: ListenOption = "127.0.0.1:4300", url: UrlOption = None) -> None:
    """Act on answers as they come: MLflow's server calls by its webhook; else a look every review_check_seconds."""
    from flows.logs import logged_run
    from sentinel.promotion.review.watch import listening
    from sentinel.promotion.review.watch import watch as keep_watch
    from sentinel.promotion.review.webhook import Calls, webhook_secret

    session = open_session(config)
    host, port = _place(listen)
    review = open_review(session.config, session.paths)
    every_s = session.config.promotion.review_check_seconds
    called, ended = Event(), Event()
    _end_on_signals(called, ended)
    secret = webhook_secret(session.paths.keys)
    with (
        logged_run(f"watch-{datetime.now(UTC):%Y%m%dT%H%M%S}", session.paths.logs),
        listening(host, port, Calls(secret), called) as address,
    ):
        remarks.print(f"Watching {session.config.name}. {review.registry.lock.covers}", soft_wrap=True)
        _register(review, url or address, secret, every_s)
        keep_watch(lambda: _look(session, review), called, ended, every_s)
    remarks.print("Ended. Answers given from now on are seen by the next look.")


def _look(session: Session, review: Review) -> None:
    from sentinel.promotion.review.look import look_for_answers, tell

    found = look_for_answers(review, datetime.now(UTC))
    tell(found)
    for happening in (one for one in found if not one.is_grave):  # a warning is on the terminal already
        remarks.print(happening.sentence, markup=False, soft_wrap=True)
    _emit(session, found)


def _emit(session: Session, found: list[Happening]) -> None:
    """Prefect's events, where a server is named."""
    if found and prefect_api_url(session.config):
        from flows.review import emit_happenings

        emit_happenings(session.config.name, found)


def _register(review: Review, url: str, secret: str, every_s: int) -> None:
    """A server that takes no webhook is no reason not to watch."""
    uri = review.registry.tracking_uri
    if not uri.startswith("http"):
        remarks.print(f"No MLflow server is named, so there is a look every {every_s} s.")
        return
    from sentinel.promotion.review.registration import ensure_webhook

    try:
        ensure_webhook(uri, review.registry.name, url, secret)
        remarks.print(f"MLflow calls {url}; besides there is a look every {every_s} s.", soft_wrap=True)
    except ServiceUnavailable as error:
        logger.warning("%s", error)
        remarks.print(f"Until then there is a look every {every_s} s.")


def _place(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigInvalid(f"--listen is {listen!r}; write a host and a port, such as 127.0.0.1:4300.")
    return host, int(port)


def _end_on_signals(called: Event, ended: Event) -> None:
    def end(*_: object) -> None:
        ended.set()
        called.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end)
