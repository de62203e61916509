"""`sentinel models approve|reject|rollback|watch`: what moves the alias, from the command line."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.markup import escape

from flows.cli.console import ConfigOption, JsonOption, Session, answers, not_blank, open_session
from flows.reviewing import open_review

if TYPE_CHECKING:
    from sentinel.promotion.entries import Entry

VersionArgument = Annotated[str, typer.Argument(metavar="VERSION|ALIAS", help="The version that waits.")]
ReasonOption = Annotated[
    str, typer.Option("--reason", callback=not_blank, help="Why, for whoever asks later. It is kept for ever.")
]
ReviewerOption = Annotated[
    str | None, typer.Option("--reviewer", callback=not_blank, help="Who decides; without it the system's user.")
]
ToOption = Annotated[
    str | None,
    typer.Option("--to", metavar="VERSION|ALIAS", callback=not_blank, help="Without it the one that served before."),
]


def approve(
    version: VersionArgument,
    reason: ReasonOption,
    reviewer: ReviewerOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let a version serve that waits for a reviewer: its release is verified, then the alias moves."""
    _answer(open_session(config, as_json), version, "approved", reason, reviewer)


def reject(
    version: VersionArgument,
    reason: ReasonOption,
    reviewer: ReviewerOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Decide that a version that waits for a reviewer shall not serve."""
    _answer(open_session(config, as_json), version, "rejected", reason, reviewer)


def rollback(
    reason: ReasonOption,
    to: ToOption = None,
    reviewer: ReviewerOption = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let the version before, or another one, serve again at once; its bytes, gates and features are checked."""
    from sentinel.promotion.review.rollback import Rollback, roll_back

    session = open_session(config, as_json)
    asked = Rollback(to, reason, _who(reviewer), datetime.now(UTC))
    _show(session, roll_back(open_review(session.config, session.paths), asked))


def _answer(
    session: Session, version: str, decision: Literal["approved", "rejected"], reason: str, reviewer: str | None
) -> None:
    from sentinel.promotion.review.answer import Answer

    review = open_review(session.config, session.paths)
    said = Answer(decision, _who(reviewer), reason, "the command line")
    _show(session, review.answer(version, said, datetime.now(UTC)))


def _who(reviewer: str | None) -> str:
    from sentinel.promotion.authors import system_user

    return reviewer or system_user()


def _show(session: Session, entry: Entry) -> None:
    if session.as_json:
        session.answer(entry)
        return
    name = session.config.name
    outcome = entry["outcome"].replace("_", " ")
    answers.print(f"[bold]{name} version {entry['version']}[/] {outcome}: {escape(entry['reason'])}", soft_wrap=True)
    answers.print(_serving(entry), soft_wrap=True)


def _serving(entry: dict[str, Any]) -> str:
    before, after = entry["champion_before"], entry["champion_after"]
    if before == after:
        return f"Champion stays {f'version {after}' if after else 'none'}."
    return f"Champion is version {after} now; it was {f'version {before}' if before else 'none'}."
