"""A guess as a line of a configuration, and all of them as a commented file."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

Certainty = Literal["sure", "guess", "open", "left_out"]
WIDTH: Final = 110
SECTIONS: Final = (
    "", "columns", "columns.entities", "columns.numeric", "columns.categorical", "source", "source.clock",
    "source.labels", "validation", "validation.categories", "features", "splits", "gates",
)  # fmt: skip
_ABOUT: Final = {
    "columns": "the contract's name = the column of the source",
    "columns.entities": "further keys whose past is counted, beside customer and merchant",
    "columns.numeric": "inputs of the model; each must be known when the transaction happens",
    "columns.categorical": 'inputs of the model; with use = "slice" a column is for reports alone',
    "validation.categories": "known values; any other stops a run",
    "splits": "lengths counted back from the last transaction whose label is mature",
}


@dataclass(frozen=True)
class Guess:
    """`certainty`: open ones have no value and ask; left_out ones name a column that no line uses."""

    section: str
    key: str
    value: Any
    certainty: Certainty
    reason: str


def document(guesses: Sequence[Guess], heading: Sequence[str]) -> str:
    """The TOML file."""
    lines = [*(line for text in heading for line in _comment(text))]
    for section in SECTIONS:
        found = [guess for guess in guesses if guess.section == section]
        if not found:
            continue
        if section:
            about = f"  # {_ABOUT[section]}" if section in _ABOUT else ""
            lines += ["", f"[{section}]{about}"]
        for guess in found:
            lines += _lines(guess)
    return "\n".join(lines) + "\n"


def _lines(guess: Guess) -> Iterator[str]:
    mark = {"sure": "", "guess": "GUESS: ", "open": "QUESTION: ", "left_out": "left out: "}[guess.certainty]
    name = f"{toml(guess.key)}: " if guess.certainty == "left_out" else ""
    if guess.reason:
        yield from _comment(f"{mark}{name}{guess.reason}")
    if guess.certainty == "open":
        yield f'# {guess.key} = "?"' if guess.value is None else f"# {guess.key} = {toml(guess.value)}"
    elif guess.certainty != "left_out":
        yield f"{guess.key} = {toml(guess.value)}"


def _comment(text: str) -> list[str]:
    """Comment lines; what a source may hold cannot end the comment."""
    safe = re.sub(r"[\x00-\x1f\x7f\u0085\u2028\u2029]", " ", text)
    return [f"# {line}" for line in textwrap.wrap(safe, WIDTH, break_long_words=False, break_on_hyphens=False)]


def toml(value: Any) -> str:
    """A TOML value; a dict as an inline table."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int):
        return f"{value:_}"
    if isinstance(value, float):
        return _decimal(value)
    if isinstance(value, dict):
        held = cast("dict[str, Any]", value)
        return "{ " + ", ".join(f"{key} = {toml(one)}" for key, one in held.items()) + " }"
    return "[" + ", ".join(toml(held) for held in value) + "]"


def _decimal(value: float) -> str:
    text = f"{value:.10f}".rstrip("0")
    return text + "0" if text.endswith(".") else text
