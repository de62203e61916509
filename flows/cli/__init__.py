"""The `sentinel` command. Groups are light to import; what they need is imported when they run."""

from __future__ import annotations

import json
import sys

import click
import typer

from flows.cli.console import new_group, remarks
from sentinel.errors import SentinelError
from sentinel.storage import disk_full_in_a_sentence

EXIT_INTERRUPTED = 130


def build_app() -> typer.Typer:
    from flows.cli import data
    from flows.cli.deploy import deploy
    from flows.cli.run import run

    app = new_group("Raw card transactions to a fraud model in production, with evidence for every step.")
    app.command(epilog="Example: sentinel run --config configs/handbook.toml")(run)
    app.add_typer(data.app, name="data")
    app.command(epilog="Example: PREFECT_API_URL=http://127.0.0.1:4200/api sentinel deploy")(deploy)
    return app


def main() -> None:
    """Run one command: a user's mistake ends in a sentence and an exit code, never in a traceback."""
    try:
        with disk_full_in_a_sentence("a file"):
            code = build_app()(standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        remarks.print("[yellow]Stopped by you. What was complete is kept; run again to go on.[/]")
        sys.exit(EXIT_INTERRUPTED)
    except SentinelError as error:
        _tell(error)
        sys.exit(error.exit_code)


def _tell(error: SentinelError) -> None:
    remarks.print(f"[bold red]{type(error).__name__}[/]", soft_wrap=True)
    remarks.print(str(error), markup=False, soft_wrap=True)
    if "--json" in sys.argv:
        typer.echo(json.dumps({"error": {"type": type(error).__name__, "message": str(error)}}))
