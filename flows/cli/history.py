"""`sentinel models history|compare`: what served when and why, and how two versions differ."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.console import ConfigOption, JsonOption, answers, not_blank, open_session
from flows.reviewing import open_registry

if TYPE_CHECKING:
    from sentinel.promotion.comparison import Line

AtOption = Annotated[
    str | None,
    typer.Option("--at", metavar="MOMENT", callback=not_blank, help="What served then: 2026-03-03 14:05, in UTC."),
]
OneArgument = Annotated[str, typer.Argument(metavar="A", help="A version, or an alias.")]
OtherArgument = Annotated[str, typer.Argument(metavar="B", help="Another one.")]


def history(at: AtOption = None, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every decision, oldest first; with --at, what served at that moment and why."""
    from sentinel.promotion.history import parse_moment, served_at

    session = open_session(config, as_json)
    chain = open_registry(session.config, session.paths).chain()
    if at is not None:
        served = served_at(chain, parse_moment(at), datetime.now(UTC))
        if as_json:
            session.answer(served.as_dict())
        else:
            answers.print(served.sentence, markup=False, soft_wrap=True)
    elif as_json:
        session.answer(chain)
    elif chain:
        answers.print(_decisions(chain))
    else:
        answers.print(f"Nothing was decided about {session.config.name} yet: `sentinel run` makes the first version.")


def compare(one: OneArgument, other: OtherArgument, config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Put two versions side by side, what differs first: figures, gates, thresholds, where they come from."""
    from sentinel.promotion.comparison import compare_releases

    session = open_session(config, as_json)
    registry = open_registry(session.config, session.paths)
    catalogue = registry.catalogue()
    left, right = catalogue.find(one), catalogue.find(other)
    lines = compare_releases(registry.release_folder(left), registry.release_folder(right))
    if as_json:
        told = [{**asdict(line), "differs": line.differs} for line in lines]
        session.answer({"a": left.version, "b": right.version, "lines": told})
        return
    answers.print(_side_by_side(lines, left.version, right.version))
    same = sum(not line.differs for line in lines)
    answers.print(f"[dim]{len(lines) - same} lines differ, {same} are the same.[/]")


def _decisions(chain: list[dict[str, Any]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("decided (UTC)", "version", "decision", "champion", "by", "why"):
        table.add_column(heading)
    for entry in chain:
        when = datetime.fromisoformat(entry["decided_at"]).astimezone(UTC)
        moved = entry["champion_before"] != entry["champion_after"]
        serving = entry["champion_after"] or "none"
        champion = f"{entry['champion_before'] or 'none'} → {serving}" if moved else serving
        told = (entry["version"], entry["outcome"].replace("_", " "), champion, entry["decided_by"], entry["reason"])
        table.add_row(f"{when:%Y-%m-%d %H:%M:%S}", *(escape(text) for text in told))
    return table


def _side_by_side(lines: list[Line], left: str, right: str) -> Table:
    from sentinel.promotion.summary import label, shown

    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("", "", f"version {left}", f"version {right}"):
        table.add_column(heading, overflow="fold")
    for line in lines:
        values = (escape(shown(line.name, value)) for value in (line.left, line.right))
        style = "" if line.differs else "dim"
        table.add_row(f"[dim]{line.group}[/]", escape(label(line.name)), *values, style=style)
    return table
