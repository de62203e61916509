"""`sentinel models`: what is registered, what serves and why, and whether it still holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.console import ConfigOption, JsonOption, Session, answers, new_group, open_session
from flows.cli.gates import figure, gate_table
from flows.cli.history import compare, history
from flows.cli.quantize import quantize
from flows.cli.reviewing import approve, reject, rollback
from flows.cli.verify import verify
from flows.cli.watch import watch
from flows.reviewing import open_registry

if TYPE_CHECKING:
    from sentinel.promotion.registry import Registry

app = new_group(
    "See which versions are registered, what serves and why, and whether they hold; decide what serves.",
    "sentinel models show champion",
)


@app.command("list", epilog="Example: sentinel models list --config configs/handbook.toml")
def list_all(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """List every version, newest first, with its aliases and its decision."""
    session = open_session(config, as_json)
    documents = _registry(session).list_versions()
    if as_json:
        session.answer(documents)
    elif documents:
        _list(documents)
    else:
        answers.print(f"No version of {session.config.name} is registered yet: `sentinel run` makes the first.")


@app.command(epilog="Example: sentinel models show champion --json")
def show(
    wanted: Annotated[
        str | None, typer.Argument(metavar="[VERSION|ALIAS]", help="Without it the champion, else the newest version.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show one version: its gates, its decision, where it comes from and which files it has."""
    session = open_session(config, as_json)
    registry = _registry(session)
    document = registry.show(wanted or _default(registry))
    if as_json:
        session.answer(document)
    else:
        _show(session, document)
        answers.print(f"[dim]{registry.lock.covers}[/]", soft_wrap=True)


app.command(epilog="Example: sentinel models compare champion challenger")(compare)
app.command(epilog='Example: sentinel models history --at "2026-03-03 14:05"')(history)
app.command(epilog="Example: sentinel models verify champion")(verify)
app.command(epilog='Example: sentinel models approve 4 --reason "Finds more fraud in every country"')(approve)
app.command(epilog='Example: sentinel models reject 4 --reason "The shift of the amounts is not explained"')(reject)
app.command(epilog='Example: sentinel models rollback --reason "False alarms since 14:00"')(rollback)
app.command(epilog="Example: MLFLOW_TRACKING_URI=http://127.0.0.1:5000 sentinel models watch")(watch)
app.command(epilog="Example: sentinel models quantize --grid full")(quantize)


def _registry(session: Session) -> Registry:
    return open_registry(session.config, session.paths)


def _default(registry: Registry) -> str:
    catalogue = registry.catalogue()
    if "champion" in catalogue.aliases or not catalogue.versions:
        return "champion"
    return catalogue.versions[0].version


def _show(session: Session, document: dict[str, Any]) -> None:
    aliases = ", ".join(document["aliases"]) or "no alias"
    answers.print(f"[bold]{session.config.name} version {document['version']}[/] ({aliases}): {document['decision']}")
    answers.print(gate_table(document["gates"]))
    _show_quality(document["quality"])
    for name in (
        "run_id",
        "reproducibility",
        "data_digest",
        "feature_set_hash",
        "lock_sha256",
        "git_commit",
        "release_path",
    ):
        answers.print(f"[dim]{name:<18}[/]{document[name]}", soft_wrap=True)


def _show_quality(quality: dict[str, Any]) -> None:
    from sentinel.promotion.quality import estimate, in_words

    for sentence in in_words(quality):
        answers.print(escape(sentence))
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("by", "slice"):
        table.add_column(heading, overflow="fold")
    for heading in ("rows", "frauds", "alerts a day", "recall", "false-positive rate", "pr_auc"):
        table.add_column(heading, justify="right")
    for found in quality["slices"] or []:
        counts = (f"{found['rows']:,}", f"{found['frauds']:,}", figure(found["alerts_a_day"]))
        figures = (estimate(found[name]) for name in ("recall", "false_positive_rate", "pr_auc"))
        table.add_row(escape(found["by"]), escape(found["name"]), *counts, *figures)
    if quality["slices"]:
        answers.print(table)


def _list(documents: list[dict[str, Any]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("version", "aliases", "decision", "failed gates", "pr_auc", "data", "code"):
        table.add_column(heading)
    for document in documents:
        failed = [gate["name"] for gate in document["gates"] if gate["outcome"] == "failed"]
        table.add_row(
            document["version"],
            ", ".join(document["aliases"]),
            document["decision"].replace("_", " "),
            ", ".join(failed),
            figure(document["metrics"].get("pr_auc")),
            document["data_digest"][:12],
            document["git_commit"][:12],
        )
    answers.print(table)
