"""`sentinel reproduce`: a recorded training once more, and its weights beside the recorded ones."""

from __future__ import annotations

import os
from typing import Annotated, Any, cast

import typer
from rich.markup import escape

from flows.cli.console import ConfigOption, JsonOption, Session, answers, not_blank, open_session
from flows.cli.run import connect_prefect
from flows.interruption import ended_in_a_sentence
from sentinel.errors import RecordInvalid

_COLOURS = {"bit-exact": "green", "within": "green"}


def reproduce(
    run_id: Annotated[
        str, typer.Argument(metavar="RUN_ID", callback=not_blank, help="As `sentinel models show` prints it.")
    ],
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Pull a run's data, train it again with its settings and seed, and compare the weights.

    What differs from then (lock, packages, code, machine) is named. Nothing is registered. Exit code 8: other weights.
    """
    session = open_session(config, as_json)
    with ended_in_a_sentence("Nothing was compared: the same call trains anew."):
        result = _reproduce(session, run_id)
    if as_json:
        session.answer(result)
    else:
        _show(result)
    if result["kind"] not in _COLOURS:
        raise typer.Exit(RecordInvalid.exit_code)


def _reproduce(session: Session, run_id: str) -> dict[str, Any]:
    connect_prefect(session)
    # imported late: Prefect reads its environment when it is imported
    from flows.cli.stages import shown_stages
    from flows.reproduce import reproduce as reproduce_flow

    with shown_stages():
        file = os.path.relpath(session.config.file.resolve(), session.paths.root)
        return cast("dict[str, Any]", reproduce_flow(run_id, file))


def _show(result: dict[str, Any]) -> None:
    answers.print()
    for one in result["differences"]:
        answers.print(
            f"[yellow]differs[/]    {one['kind']} {escape(one['what'])}: {escape(one['then'] or 'absent')} then, "
            f"{escape(one['now'] or 'absent')} now",
            soft_wrap=True,
        )
    answers.print(f"[bold {_COLOURS.get(result['kind'], 'red')}]{escape(result['sentence'])}[/]", soft_wrap=True)
    answers.print(f"[dim]weights    [/]{escape(result['weights'])}", soft_wrap=True)
