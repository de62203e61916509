"""What every command shares: its options, where it runs, how it answers and how it fails."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from flows.environment import prepare_environment
from sentinel.config import Config, load_config
from sentinel.paths import Paths, find_paths

ConfigOption = Annotated[
    Path | None, typer.Option("--config", help="The TOML file of the data set; without it configs/default.toml.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout, and logs on stderr.")]


def not_blank(value: str | None) -> str | None:
    """For an option or argument that an unset variable of a script leaves empty."""
    if value is not None and not value.strip():
        raise typer.BadParameter("it is empty; write a value")
    return value


# Answers go to stdout, everything else to stderr.
answers = Console(highlight=False)
remarks = Console(stderr=True, highlight=False)


@dataclass(frozen=True)
class Session:
    """One call of a command: the checked configuration, the folders, and whether a machine listens."""

    config: Config
    paths: Paths
    as_json: bool

    def answer(self, document: Any) -> None:
        """Print the one JSON document; call it only when `as_json`."""
        print_json(document)


def claim_stdout() -> None:
    """Keep stdout for the one JSON document: whatever a library prints from now on goes to stderr."""
    sys.stdout.flush()
    sys.stdout = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)


def print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")
    sys.stdout.flush()


def open_session(config: Path | None, as_json: bool = False) -> Session:
    """Find the project, read the configuration and prepare the libraries' environment."""
    paths = find_paths(Path.cwd(), os.environ)
    prepare_environment(paths)
    return Session(load_config(config or paths.configs / "default.toml"), paths, as_json)


def new_group(help: str, example: str) -> typer.Typer:
    """A group of commands; without a command it shows its help."""
    return typer.Typer(
        help=help,
        epilog=f"Example: {example}",
        no_args_is_help=True,
        rich_markup_mode="rich",
        add_completion=False,
        pretty_exceptions_enable=False,
    )
