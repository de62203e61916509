"""Ctrl-C and SIGTERM while steps are taken: they wait for the border of a step, where a checkpoint can be written.

What a signal means is not decided here: it is delivered once more to whoever handled it before.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from types import FrameType

from sentinel.errors import TrainingFailed

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(TrainingFailed):
    """Training was told to end; whoever told it hears of it by the signal itself."""


@contextmanager
def put_off() -> Generator[Callable[[], None]]:
    """Yields a watch that raises Interrupted once a signal has come; the block's end delivers it.

    A second signal is not put off. Only the main thread can do so: elsewhere signals are what they were.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda: None
        return
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    before = {number: handler for number, handler in handlers.items() if handler != signal.SIG_IGN}
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append(number)
        _restore(before)

    def watch() -> None:
        if came:
            raise Interrupted("Training was interrupted between two steps.")

    for number in before:
        signal.signal(number, note)
    try:
        yield watch
    finally:
        _restore(before)
        if came:
            signal.raise_signal(came[0])


def _restore(handlers: dict[signal.Signals, signal.Handlers | Callable[..., object] | int | None]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler if handler is not None else signal.SIG_DFL)
