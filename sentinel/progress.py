"""How a stage tells how far it is, without knowing who listens."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    def __call__(self, done: float, total: float, doing: str = "") -> None:
        """`done` of `total` units are finished; `doing` names the present step in a few words."""


def silent(done: float, total: float, doing: str = "") -> None:
    """The listener for callers that do not show progress."""


def part_of(listener: Progress, start: float, end: float) -> Progress:
    """What tells `listener` of a step that is its way from `start` to `end`, in hundredths of the whole."""

    def tell(done: float, total: float, doing: str = "") -> None:
        listener(start + (end - start) * done / total, 100, doing)

    return tell
