"""`sentinel features audit`: whether any feature knows the future, by hand."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.console import ConfigOption, JsonOption, Session, answers, open_session, remarks
from flows.cli.live import one_bar
from sentinel.artifacts import FeatureTable
from sentinel.errors import DataContractError, DataDamaged, LeakageFound
from sentinel.feature_spec import load_spec
from sentinel.storage import sha256_file

if TYPE_CHECKING:
    from sentinel.features.audit.report import LeakReport
    from sentinel.features.spec import FeatureSet
    from sentinel.training.audit.fits_audit import FitsReport

SpecOption = Annotated[
    Path | None, typer.Option("--spec", help="Audit this feature spec on the data, instead of the configuration's.")
]


def audit(config: ConfigOption = None, spec: SpecOption = None, as_json: JsonOption = False) -> None:
    """Change what was not knowable at several moments, and see whether a feature asked for before it moves.

    Exit code 6 when one does, or when the audit does not see the leaks that it planted itself.
    """
    session = open_session(config, as_json)
    subject = _subject(session, spec)
    from sentinel.features.audit.audit import audit_features
    from sentinel.features.audit.record import seed_of

    with one_bar("audit") as progress:
        report = audit_features(
            subject.transactions, subject.wanted, subject.boundaries, session.config.features,
            seed=seed_of(subject.wanted),
            name=session.config.name, paths=session.paths, table=subject.table, progress=progress,
        )  # fmt: skip
        fits = _audit_fits(session, subject, report.seed)
    sentences = [*report.sentences(), *(fits.sentences() if fits else ())]
    if as_json:
        session.answer({**report.to_dict(), "fits": fits.to_dict() if fits else None, "faults": sentences})
    else:
        _show(report, fits, subject)
        for sentence in sentences:
            remarks.print(sentence, style="bold red", markup=False, soft_wrap=True)
    if sentences:
        raise typer.Exit(LeakageFound.exit_code)


@dataclass(frozen=True)
class _Subject:
    """`table`: the folder of a table that was built with this feature set from these very data; None: there is none."""

    transactions: Path
    wanted: FeatureSet
    boundaries: Sequence[datetime]
    table: Path | None


def _subject(session: Session, spec: Path | None) -> _Subject:
    from pyarrow import parquet

    from sentinel.features.catalogue import newest_table
    from sentinel.features.spec import feature_set, present_columns
    from sentinel.training.data.splits import part_ends

    config, paths = session.config, session.paths
    transactions = paths.data(config.name) / "transactions.parquet"
    if not transactions.is_file():
        file = os.path.relpath(config.file.resolve())
        raise DataDamaged(
            f"The audit needs the data of {config.name}, and {transactions} is missing. Run "
            f"`sentinel data pull --config {file}` first."
        )
    features = config.features if spec is None else config.features.model_copy(update={"spec": load_spec(spec)})
    wanted = feature_set(present_columns(config.columns, parquet.read_schema(transactions).names), features)
    newest = newest_table(paths, config.name, config.columns, features)
    table = newest[0] if newest and _was_built_from(newest[0], transactions) else None
    return _Subject(transactions, wanted, part_ends(transactions, config.splits), table)


def _was_built_from(table: Path, transactions: Path) -> bool:
    return json.loads((table / "features.json").read_text())["transactions_sha256"] == sha256_file(transactions)


def _audit_fits(session: Session, subject: _Subject, seed: int) -> FitsReport | None:
    """What training would fit on the built table; None where there is no table, or it cannot be split."""
    if subject.table is None:
        return None
    from sentinel.training.audit.fits_audit import audit_fits
    from sentinel.training.data.splits import split

    config, home = session.config, session.paths.home
    table = FeatureTable(
        path=session.paths.relative(subject.table), sha256="", rows=0, feature_set_hash=subject.wanted.hash
    )
    with TemporaryDirectory(dir=home, prefix="audit-") as scratch:
        try:
            splits = split(table, config.splits, home=home, out=Path(scratch) / "splits")
        except DataContractError:
            return None
        return audit_fits(table, splits, config.training, home=home, seed=seed)


def _show(report: LeakReport, fits: FitsReport | None, subject: _Subject) -> None:
    answers.print(f"{report.rows_checked:,} rows compared in two worlds at {len(report.cuts)} cuts:")
    answers.print(_table(("cut", "made by", "transactions around it"), [
        (cut.moment[:19], cut.kind, f"{cut.source_rows:,}") for cut in report.cuts
    ]))  # fmt: skip
    if limited := sum(cut.limited_keys for cut in report.cuts):
        answers.print(f"[dim]Of {limited} keys with a long history only what is near the cut was taken.[/]")
    if report.leaks:
        answers.print()
        columns = ("leaking feature", "window", "transaction", "asked as of", "cut", "value", "in the other world")
        answers.print(_table(columns, [
            (leak.feature, leak.window or "", str(leak.transaction_id), leak.asked_at[:19], leak.cut[:19],
             _value(leak.value), _value(leak.changed_value))
            for leak in report.leaks
        ]))  # fmt: skip
    answers.print()
    planted = [*report.planted, *(fits.planted if fits else ())]
    answers.print(_table(("planted leak", "caught"), [(leak.name, "yes" if leak.caught else "NO") for leak in planted]))
    answers.print()
    oracle = report.oracle
    found = f"{len(oracle.mismatches)} of {oracle.values_checked:,} values in {oracle.rows_checked:,} rows differ"
    answers.print(f"[bold]oracle[/]    {found}")
    if fits is None:
        why = (
            "no table of these features was built from these data yet"
            if subject.table is None
            else "it cannot be split"
        )
        answers.print(f"[bold]fits[/]      not audited: {why}")
    else:
        answers.print(f"[bold]fits[/]      {len(fits.moved)} of {len(fits.checked)} fitted things moved")
    leaks = f"[bold red]{', '.join(leak.feature for leak in report.leaks)}[/]" if report.leaks else "[green]none[/]"
    answers.print(f"[bold]leaks[/]     {leaks}")


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def _value(value: int | None) -> str:
    return "missing" if value is None else str(value)
