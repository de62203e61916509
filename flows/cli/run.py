"""`sentinel run`: the main job with live progress and a summary."""

from __future__ import annotations

import atexit
import os
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from rich.markup import escape

from flows.cli.console import ConfigOption, JsonOption, Session, answers, not_blank, open_session
from flows.cli.gates import gate_table
from flows.embedded_server import EmbeddedServer
from flows.environment import prefect_api_url, require_prefect, tracking_uri
from flows.interruption import ended_in_a_sentence
from sentinel.errors import GateFailed

DataVersionOption = Annotated[
    str | None,
    typer.Option("--data-version", callback=not_blank, help="Train on the data that this git revision's pointer pins."),
]
_GO_ON = "The same call goes on: finished stages stand, a training goes on from its last checkpoint."
_COLOURS = {"promoted": "green", "rejected": "bold red"}


def run(config: ConfigOption = None, data_version: DataVersionOption = None, as_json: JsonOption = False) -> None:
    """Run the main job: data to a promoted model, or a reasoned refusal."""
    session = open_session(config, as_json)
    named_server = prefect_api_url(session.config)
    with ended_in_a_sentence(_GO_ON):
        result = _run(session, data_version)
    if as_json:
        session.answer(result)
    else:
        _show(session, result, named_server)
    if result["failed_now"]:
        raise typer.Exit(GateFailed.exit_code)


def _run(session: Session, data_version: str | None) -> dict[str, Any]:
    connect_prefect(session)
    # imported late: Prefect reads its environment when it is imported
    from flows.cli.stages import shown_stages
    from flows.train_to_deploy import train_to_deploy

    with shown_stages():
        file = os.path.relpath(session.config.file.resolve(), session.paths.root)
        # a flow that returns a state gives its caller the state's data
        return cast("dict[str, Any]", train_to_deploy(file, data_version))


def connect_prefect(session: Session) -> None:
    """Name Prefect's API for this process: the configured server, or an embedded one that ends with the process."""
    if url := prefect_api_url(session.config):
        require_prefect(url)
        os.environ["PREFECT_API_URL"] = url
        return
    server = EmbeddedServer(session.paths.prefect_home, session.paths.logs / "prefect-server.log")
    server.launch()
    # not earlier: Prefect hands over its last logs and events while the interpreter shuts down
    atexit.register(server.stop)
    os.environ["PREFECT_API_URL"] = server.api_url
    import flows.train_to_deploy  # noqa: F401  while the server starts on the other core

    server.wait()


def _show(session: Session, result: dict[str, Any], named_server: str | None) -> None:
    """The summary a person reads at a glance, and what to do next."""
    answers.print()
    data = f"version {result['data_version']}: {result['rows']:,} rows, {result['frauds']:,} frauds"
    answers.print(f"[bold]data[/]       {data}", soft_wrap=True)
    answers.print(f"[bold]drift[/]      {escape(result['drift']['note'])}", soft_wrap=True)
    for warning in result["warnings"]:
        answers.print(f"[yellow]warning[/]    {escape(warning)}", soft_wrap=True)
    answers.print(gate_table(result["gates"]))
    colour = _COLOURS.get(result["decision"], "yellow")
    aliases = ", ".join(result["aliases"]) or "none"
    answers.print(f"[bold]decision[/]   [{colour}]{result['decision']}[/]: {result['reason']}", soft_wrap=True)
    answers.print(f"[bold]version[/]    {session.config.name} version {result['version']}, alias {aliases}")
    if result["nothing_new"] or (result["failed_now"] and result["decision"] == "promoted"):
        answers.print(f"[bold]{result['sentence']}[/]", soft_wrap=True)
    answers.print()
    for what, command in _next_commands(session, result, named_server):
        answers.print(f"[dim]{what:<11}[/]{command}", soft_wrap=True)


def _next_commands(session: Session, result: dict[str, Any], named_server: str | None) -> list[tuple[str, str]]:
    here = Path.cwd()
    report = os.path.relpath(Path(result["release_path"]) / "report.html", here)
    uri = tracking_uri(session.config, session.paths)
    make = "make" if here == session.paths.root else f"make -C {os.path.relpath(session.paths.root, here)}"
    approve = f'sentinel models approve {result["version"]} --reason "..."  (or reject)'
    return [
        *([("answer", approve)] if result["decision"] == "waiting" else []),
        ("report", f"xdg-open {report}"),
        ("data docs", f"xdg-open {os.path.relpath(result['drift']['data_docs'], here)}"),
        ("MLflow UI", uri if uri.startswith("http") else f"{make} mlflow-ui"),
        ("Prefect UI", named_server.removesuffix("/api") if named_server else f"{make} prefect-ui"),
    ]
