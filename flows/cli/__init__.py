"""The `sentinel` command. Groups are light to import; what they need is imported when they run."""

from __future__ import annotations

import sys

import typer

from flows.cli.console import claim_stdout, new_group, print_json, remarks
from sentinel.errors import SentinelError
from sentinel.storage import closed_place_in_a_sentence, disk_full_in_a_sentence


def build_app() -> typer.Typer:
    from flows.cli import config, data, features, keys, models
    from flows.cli.deploy import deploy
    from flows.cli.doctor import doctor
    from flows.cli.evaluate import evaluate
    from flows.cli.reproduce import reproduce
    from flows.cli.run import run
    from flows.cli.tune import tune

    app = new_group(
        "Raw card transactions to a fraud model in production, with evidence for every step.", "sentinel run --json"
    )
    app.command(epilog="Example: sentinel run --config configs/handbook.toml")(run)
    app.command(epilog="Example: sentinel reproduce 6ae944f2546740a08ba0b23d941d850b")(reproduce)
    app.add_typer(config.app, name="config")
    app.add_typer(data.app, name="data")
    app.add_typer(features.app, name="features")
    app.add_typer(models.app, name="models")
    app.add_typer(keys.app, name="keys")
    app.command(epilog="Example: sentinel evaluate --protocol handbook --data transactions.parquet")(evaluate)
    app.command(epilog="Example: sentinel tune --config configs/handbook.toml --trials 30")(tune)
    app.command(epilog="Example: PREFECT_API_URL=http://127.0.0.1:4200/api sentinel deploy")(deploy)
    app.command(epilog="Example: sentinel doctor --config configs/handbook.toml")(doctor)
    return app


def main() -> None:
    """Run one command: a user's mistake ends in a sentence and an exit code, never in a traceback."""
    if _wants_json():
        claim_stdout()
    try:
        with disk_full_in_a_sentence("a file"), closed_place_in_a_sentence():
            build_app()()
    except SentinelError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except Exception as error:  # a bug, whose traceback Python prints
        _answer(error)
        raise


def _tell(error: SentinelError) -> None:
    remarks.print(f"[bold red]{type(error).__name__}[/]", soft_wrap=True)
    remarks.print(str(error), markup=False, soft_wrap=True)
    _answer(error)


def _answer(error: Exception) -> None:
    if _wants_json():
        print_json({"error": {"type": type(error).__name__, "message": str(error)}})


def _wants_json() -> bool:
    return "--json" in sys.argv
