"""A process that does one thing again and again, each time killed one step later, until it comes through.

A step is what Python tells its audit hooks: a file opened to write or renamed, a database opened, a request that
changes something sent. Before the next one the child, a fork that has everything imported already, kills itself.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

_STEPS = ("os.rename", "os.remove", "sqlite3.connect", "os.truncate")


def killed_at_every_step(prepare: Callable[[], None], act: Callable[[], None], check: Callable[[int], None]) -> int:
    """`prepare`, `act` in a child that is killed before its step number n, `check(n)`; returns the number of steps."""
    number = 0
    while True:
        number += 1
        prepare()
        child = os.fork()
        if child == 0:
            try:
                _kill_before_step(number)
                act()
                os._exit(0)
            except BaseException:
                import traceback

                traceback.print_exc()
                os._exit(3)
        status = os.waitpid(child, 0)[1]
        check(number)
        if os.WIFEXITED(status):
            assert os.WEXITSTATUS(status) == 0
            return number - 1


def _kill_before_step(number: int) -> None:
    seen = 0

    def count(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event == "open":
            mode, flags = arguments[1], arguments[2]
            is_step = (isinstance(mode, str) and set(mode) & set("wa+")) or (
                mode is None and isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
            )
        elif event == "http.client.send":
            is_step = not bytes(arguments[1]).startswith(b"GET")  # type: ignore[call-overload]
        else:
            is_step = event in _STEPS
        if is_step:
            seen += 1
            if seen == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(count)
