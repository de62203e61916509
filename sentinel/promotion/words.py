"""Words that people typed, as they are stored and shown: one line, no control characters, not endless."""

from __future__ import annotations

import re
import unicodedata

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


def same_person(left: str, right: str) -> bool:
    def plain(name: str) -> str:
        return unicodedata.normalize("NFKC", one_line(name)).casefold()

    return plain(left) == plain(right)
