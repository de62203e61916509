"""`sentinel config`: a first configuration for one's own table."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from flows.cli.console import JsonOption, answers, new_group, print_json
from flows.cli.live import one_bar
from sentinel.errors import ConfigInvalid
from sentinel.paths import Paths, find_paths
from sentinel.storage import complete_file

if TYPE_CHECKING:
    from sentinel.data.guess import Guessed

app = new_group("Make a configuration for your own table.", "sentinel config new --from transactions.csv")

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,40}")


@app.callback()
def group() -> None:
    """Keeps `new` a command of its own."""


@app.command(epilog="Example: sentinel config new --from transactions.csv --out configs/bank.toml")
def new(
    source: Annotated[Path, typer.Option("--from", help="A CSV (also gzip) or Parquet file with your transactions.")],
    out: Annotated[Path | None, typer.Option(help="The file to write; without it configs/NAME.toml.")] = None,
    name: Annotated[str | None, typer.Option(help="The data set's name; without it after the file.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Look at a file and write a commented configuration: a guess for every column, and what it could not guess.

    Guesses that need your eye are marked GUESS, what needs an answer QUESTION. Nothing is ever overwritten.
    """
    paths = find_paths(Path.cwd(), os.environ)
    name = _name(name, source, out)
    file = out or paths.configs / f"{name}.toml"
    _refuse_taken(file, name, paths)
    from sentinel.data.guess import guess
    from sentinel.data.guess_document import document

    with one_bar("look") as progress:
        guessed = guess(source, name, scratch=paths.home, progress=progress)
    with complete_file(file) as temporary:
        temporary.write_text(document(guessed.guesses, _heading(guessed, source, file)), encoding="utf-8")
    if as_json:
        print_json(_document(guessed, file))
    else:
        _show(guessed, source, file)


def _name(given: str | None, source: Path, out: Path | None) -> str:
    """Names the pointer, the experiment and the registered model."""
    stem = out.stem if out else source.name.partition(".")[0]
    name = given or re.sub(r"[^a-z0-9_-]+", "_", stem.lower()).strip("_-").lstrip("0123456789_-")[:40]
    if not _NAME.fullmatch(name):
        raise ConfigInvalid(
            f"{name or source.name!r} is no name for a data set. Give --name: a lower case letter, then letters, "
            "digits, _ and -, at most 41."
        )
    return name


def _refuse_taken(file: Path, name: str, paths: Paths) -> None:
    if file.exists():
        raise ConfigInvalid(f"{file} is there already, and nothing is overwritten. Choose another --out or --name.")
    for other in sorted(paths.configs.glob("*.toml")):
        try:
            taken = tomllib.loads(other.read_text(encoding="utf-8")).get("name")
        except (OSError, ValueError):
            continue
        if taken == name:
            raise ConfigInvalid(f"{other} has the name {name!r} already; two would share data and models. Give --name.")


def _heading(guessed: Guessed, source: Path, file: Path) -> list[str]:
    looked = "every row" if guessed.every == 1 else f"every {guessed.every}th row"
    broken = f" {guessed.broken:,} lines are no rows." if guessed.broken else ""
    return [
        f"A guess from {source.name}: {guessed.rows:,} rows, {guessed.columns} columns; looked at {looked}.{broken}",
        "Check the lines marked GUESS, answer each QUESTION; every setting is explained in sentinel/config.py. Then:",
        *(f"  {command}" for command in _commands(source, file)),
    ]


def _commands(source: Path, file: Path) -> list[str]:
    config = os.path.relpath(file)
    return [f"sentinel data ingest {source} --config {config}", f"sentinel run --config {config}"]


def _document(guessed: Guessed, file: Path) -> dict[str, Any]:
    guesses = [
        {"section": one.section, "key": one.key, "value": one.value, "certainty": one.certainty, "reason": one.reason}
        for one in guessed.guesses
    ]
    return {
        "config": str(file),
        "rows": guessed.rows,
        "columns": guessed.columns,
        "looked_at_every": guessed.every,
        "broken_lines": guessed.broken,
        "unanswered": guessed.unanswered,
        "guesses": guesses,
    }


def _show(guessed: Guessed, source: Path, file: Path) -> None:
    answers.print(f"{guessed.rows:,} rows, {guessed.columns} columns: [bold]{escape(os.path.relpath(file))}[/]")
    for certainty, style, title in (("guess", "yellow", "check"), ("open", "bold red", "answer")):
        for one in guessed.of(certainty):
            shown = escape(".".join(filter(None, (one.section, one.key))))
            what = "" if one.value is None else f" = {one.value!r}"
            answers.print(f"[{style}]{title:<7}[/]{shown}{escape(what)}", soft_wrap=True)
    if guessed.unanswered:
        answers.print(f"It cannot be used before {', '.join(guessed.unanswered)} is answered in it.", soft_wrap=True)
    answers.print("Mend it, then:")
    for command in _commands(source, file):
        answers.print(f"  {escape(command)}", soft_wrap=True)
