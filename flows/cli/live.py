"""Progress of one long step on the terminal: a bar with the time left. Nothing is drawn where nobody looks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from flows.cli.console import remarks
from sentinel.progress import Progress as Listener


def bars() -> Progress:
    return Progress(
        TextColumn("[bold]{task.description:<10}"),
        BarColumn(bar_width=28),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("[dim]{task.fields[doing]}"),
        console=remarks,
        transient=True,
        disable=not remarks.is_terminal,
    )


@contextmanager
def one_bar(title: str) -> Iterator[Listener]:
    """Yield a listener that draws one bar until the block ends."""
    with bars() as shown:
        bar = shown.add_task(title, total=None, doing="")

        def listen(done: float, total: float, doing: str = "") -> None:
            shown.update(bar, completed=done, total=total, doing=doing)

        yield listen
