"""The stages of a run on the terminal: a line each, with a bar while it works and the time it took."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from flows.cli.console import remarks
from tasks.events import Event, StageAdvanced, StageEnded, StageStarted, listener

_STYLES = {"done": "green", "cached": "cyan", "failed": "bold red"}


class _Left(ProgressColumn):
    """The time left while a stage works; how it ended afterwards."""

    max_refresh = 0.5

    def __init__(self) -> None:
        super().__init__()
        self._remaining = TimeRemainingColumn(compact=True)

    def render(self, task: Task) -> RenderableType:
        outcome = task.fields["outcome"]
        if outcome:
            return Text(outcome, style=_STYLES[outcome])
        return Text.assemble("left ", self._remaining.render(task)) if task.total else Text("")


@contextmanager
def shown_stages() -> Iterator[None]:
    """Show every stage event until the block ends: live on a terminal, a line an ended stage elsewhere."""
    progress = Progress(
        SpinnerColumn(finished_text="[green]✓[/]"),
        TextColumn("[bold]{task.description:<11}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[seconds]:>7}"),
        _Left(),
        TextColumn("[dim]{task.fields[doing]}"),
        console=remarks,
        disable=not remarks.is_terminal,
    )
    bars: dict[str, TaskID] = {}

    def show(event: Event) -> None:
        if isinstance(event, StageStarted):
            bars[event.stage] = progress.add_task(event.stage, total=None, doing="", seconds="", outcome="")
        elif isinstance(event, StageAdvanced):
            progress.update(bars[event.stage], completed=event.done, total=event.total, doing=event.doing)
        else:
            _end(progress, bars[event.stage], event)

    token = listener.set(show)
    try:
        with progress:
            yield
    finally:
        listener.reset(token)


def _end(progress: Progress, bar: TaskID, event: StageEnded) -> None:
    seconds = f"{event.seconds:.1f} s"
    if event.outcome == "failed":
        progress.update(bar, seconds=seconds, outcome=event.outcome, doing="")
        progress.stop_task(bar)
    else:
        progress.update(bar, total=1, completed=1, seconds=seconds, outcome=event.outcome, doing="")
    if not remarks.is_terminal:
        remarks.print(f"{event.stage:<11} {event.outcome:<6} {seconds:>8}")
