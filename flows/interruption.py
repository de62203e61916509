"""Ctrl-C, and the SIGTERM of containers and service managers: the command ends in a sentence that says how to go on."""

from __future__ import annotations

import signal
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

import typer

from flows.cli.console import remarks


@contextmanager
def ended_in_a_sentence(how_to_go_on: str) -> Generator[None]:
    """For one command, in the main thread. Within a flow Prefect hears SIGTERM first, marks the run, and passes it on.

    The exit code is that of a program which the signal ends.
    """
    came = signal.SIGINT

    def terminate(number: int, frame: FrameType | None) -> None:
        nonlocal came
        came = signal.SIGTERM
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    except KeyboardInterrupt as interrupt:
        cause = "Ended by SIGTERM" if came == signal.SIGTERM else "Interrupted"
        remarks.print(f"{cause}. {how_to_go_on}", soft_wrap=True)
        raise typer.Exit(128 + came) from interrupt
    finally:
        signal.signal(signal.SIGTERM, before)
