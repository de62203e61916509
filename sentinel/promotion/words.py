"""Words that people typed, as they are stored and shown: one line, no control characters, not endless."""

from __future__ import annotations

import re
import unicodedata
from datetime import timedelta

from sentinel.errors import DecisionRefused

MOST_REASON, MOST_NAME = 500, 80
_MARKUP = re.compile(r"([\\`*_\[\]<>|#!~])")


def one_line(text: str, most: int = MOST_REASON) -> str:
    """Control and invisible characters become blanks; what is too long ends in an ellipsis."""
    shown = "".join(" " if unicodedata.category(letter)[0] in "CZ" else letter for letter in text)
    line = " ".join(shown.split())
    return line if len(line) <= most else f"{line[: most - 1].rstrip()}…"


def required(text: str, what: str, most: int = MOST_REASON) -> str:
    """Raises DecisionRefused when nothing is left to read."""
    line = one_line(text, most)
    if not line:
        raise DecisionRefused(f"The {what} is empty. Write it in words that whoever asks later can understand.")
    return line


def as_markdown(text: str) -> str:
    """The same words where a page renders Markdown."""
    return _MARKUP.sub(r"\\\1", text)


def lasting(time: timedelta) -> str:
    """14 days; 36 hours; what is no whole number of them as Python writes it."""
    for unit, seconds in (("day", 86_400), ("hour", 3600), ("minute", 60), ("second", 1)):
        count, rest = divmod(time.total_seconds(), seconds)
        if rest == 0 and count:
            return f"{count:.0f} {unit}{'s' if count > 1 else ''}"
    return str(time)


def same_person(left: str, right: str) -> bool:
    def plain(name: str) -> str:
        return unicodedata.normalize("NFKC", one_line(name)).casefold()

    return plain(left) == plain(right)
