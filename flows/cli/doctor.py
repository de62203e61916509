"""`sentinel doctor`: what is wrong with this machine, its libraries and the services, and how to mend it."""

from __future__ import annotations

import os
from dataclasses import asdict

import typer
from rich.table import Table
from rich.text import Text

from flows.cli.console import ConfigOption, JsonOption, Session, answers, open_session
from flows.in_use import models_in_use
from sentinel.doctor.diagnosis import diagnose, exit_code
from sentinel.doctor.finding import Finding
from sentinel.errors import ServiceUnavailable
from sentinel.features.in_use import lost_features

_COLOURS = {"ok": "green", "warning": "yellow", "problem": "bold red", "unreachable": "bold red"}


def doctor(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Check the machine, the installed libraries and each configured service; say how to mend what is wrong.

    Exit code 0: no problem; 10: a configured service does not answer; 1: another problem.
    """
    session = open_session(config, as_json)
    findings = [*diagnose(session.config, session.paths, os.environ), *_features_in_use(session)]
    if as_json:
        session.answer({"findings": [asdict(finding) for finding in findings], "exit_code": exit_code(findings)})
    else:
        _show(findings)
    if code := exit_code(findings):
        raise typer.Exit(code)


def _features_in_use(session: Session) -> list[Finding]:
    """Whether the features of each serving model are still there, where MLflow says which serve."""
    try:
        in_use = models_in_use(session.config, session.paths)
    except ServiceUnavailable:
        return []  # told among the services
    lost = lost_features(session.paths, session.config.name, in_use)
    return [Finding("features in use", "warning", sentence, "") for sentence in lost]


def _show(findings: list[Finding]) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        words = Text(finding.found)
        if finding.mend:
            words.append(f"\n→ {finding.mend}", style="yellow")
        table.add_row(finding.check, Text(finding.status, style=_COLOURS[finding.status]), words)
    answers.print(table)
