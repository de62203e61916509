"""`sentinel data`: make source data, bring one's own into the contract, pull what is pinned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from flows.cli.console import ConfigOption, JsonOption, Session, answers, new_group, open_session, remarks
from flows.cli.inspection import Inspection
from flows.cli.live import one_bar
from flows.exclusive import one_run_at_a_time
from sentinel.config import Simulation
from sentinel.errors import ConfigInvalid
from sentinel.storage import sha256_file

if TYPE_CHECKING:
    from sentinel.artifacts import RawData
    from sentinel.data.ingestion import Ingested

app = new_group(
    "Make source data, and bring your own into the contract.",
    "sentinel data ingest exports/ --config configs/bank.toml",
)


@app.command(epilog="Example: sentinel data simulate --transactions 100000 --seed 7 --out /tmp/source.parquet")
def simulate(
    out: Annotated[Path, typer.Option(help="The Parquet file to write; one of that name is replaced.")],
    transactions: Annotated[
        int | None, typer.Option(min=1_000, help="How many rows, exactly; without it those of the configuration.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="The same seed gives the same bytes; without it the configuration's.")
    ] = None,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> None:
    """Simulate card transactions of 183 days, with three kinds of fraud and labels that arrive late."""
    from sentinel.data import simulator

    session = open_session(config, as_json)
    simulation = _simulation(session, transactions, seed)
    with one_bar("simulate") as progress:
        simulator.simulate(out, simulation.transactions, simulation.seed, progress)
    size = out.stat().st_size
    if as_json:
        session.answer({"file": str(out), **simulation.model_dump(), "bytes": size, "sha256": sha256_file(out)})
    else:
        answers.print(
            f"{simulation.transactions:,} transactions, {size / 1e6:,.1f} MB: [bold]{escape(str(out))}[/]",
            soft_wrap=True,
        )


def _simulation(session: Session, transactions: int | None, seed: int | None) -> Simulation:
    """What the command line says, and for the rest the configuration."""
    written = session.config.data.simulation
    given = {"transactions": transactions, "seed": seed}
    values = (written.model_dump() if written else {}) | {
        key: value for key, value in given.items() if value is not None
    }
    if len(values) < len(given):
        raise ConfigInvalid(
            f"{session.config.file} has no section [data.simulation]. Give --transactions and --seed, or add it."
        )
    return Simulation(**values)


@app.command(epilog="Example: sentinel data ingest exports/ --config configs/bank.toml")
def ingest(
    sources: Annotated[list[Path], typer.Argument(help="CSV (also gzip) or Parquet files, or folders of them.")],
    config: ConfigOption = None,
    out: Annotated[
        Path | None, typer.Option(help="Write to this folder; without it the data become what runs train on.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring a source into the column contract; without --out, store it as a version and point to it.

    Rows that break the contract go to quarantine.parquet, with reason and source line. The source is only read.
    Where a champion serves, the columns are compared with what it was trained on: a fault stops, a shift warns.
    """
    session = open_session(config, as_json)
    inspection = Inspection(session)
    document = _ingest_to(inspection, sources, out) if out else _ingest_and_pin(inspection, sources)
    if as_json:
        session.answer(document | inspection.document())
    else:
        inspection.show()
        _show(document, os.path.relpath(session.config.file.resolve()))


def _ingest_to(inspection: Inspection, sources: Sequence[Path], out: Path) -> dict[str, Any]:
    return _document(_ingest(inspection, sources, out, None), out)


def _ingest_and_pin(inspection: Inspection, sources: Sequence[Path]) -> dict[str, Any]:
    """No run of this name reads the data while they are replaced."""
    from sentinel.data.versioning import pin

    session = inspection.session
    name, paths = session.config.name, session.paths
    with one_run_at_a_time(paths.lock(name), "-", "sentinel data ingest", remarks.print):
        paths.home.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=paths.home, prefix="ingesting-") as scratch:
            folder = Path(scratch) / name
            ingested = _ingest(inspection, sources, folder, paths.home / "rejected" / f"{name}.parquet")
            with one_bar("store") as progress:
                version = pin(folder, paths.pointer(name), session.config.data, paths=paths, progress=progress)
    pointer = os.path.relpath(paths.pointer(name), paths.root)
    return _document(ingested, paths.data(name)) | {"version": version, "pointer": pointer}


def _ingest(inspection: Inspection, sources: Sequence[Path], out: Path, rejected: Path | None) -> Ingested:
    from sentinel.data import ingestion

    config = inspection.session.config
    with one_bar("ingest") as progress:
        return ingestion.ingest(
            sources, config.columns, config.source, out,
            where=config.where, rejected=rejected, inspect=inspection, progress=progress,
        )  # fmt: skip


def _document(ingested: Ingested, folder: Path) -> dict[str, Any]:
    return {
        "folder": str(folder),
        "source_rows": ingested.source_rows,
        "rows": ingested.rows,
        "frauds": ingested.frauds,
        "quarantined": ingested.quarantined,
        "version": None,
        "pointer": None,
    }


def _show(document: dict[str, Any], config: str) -> None:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    table.add_row("rows", f"{document['rows']:,}")
    table.add_row("frauds", f"{document['frauds']:,} ({document['frauds'] / document['rows']:.3%})")
    reasons = ", ".join(f"{count:,} {reason}" for reason, count in document["quarantined"].items())
    table.add_row("quarantine", escape(reasons) or "empty")
    table.add_row("folder", escape(document["folder"]))
    if document["version"]:
        table.add_row("version", f"{document['version']}, pinned by {escape(document['pointer'])}")
    answers.print(table)
    if document["version"]:
        answers.print(
            f"Commit {escape(document['pointer'])} to keep this version, then train on it:\n"
            f"  sentinel run --config {escape(config)}",
            soft_wrap=True,
        )


@app.command(epilog="Example: sentinel data pull --data-version v1.2")
def pull(
    config: ConfigOption = None,
    data_version: Annotated[
        str | None, typer.Option("--data-version", help="A git revision, whose pointer is taken; the work tree stays.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Bring the pinned version of the data, and check every byte in remote, cache and work tree."""
    session = open_session(config, as_json)
    raw = _pull(session, data_version)
    folder = raw.locate(session.paths.home).resolve()
    if as_json:
        facts = {"version": raw.version, "rows": raw.rows, "frauds": raw.frauds}
        session.answer({"folder": str(folder), **facts, "transactions_sha256": raw.transactions_sha256})
    else:
        found = f"version {raw.version}: {raw.rows:,} rows, {raw.frauds:,} frauds, every copy whole"
        answers.print(f"{found}\n[bold]{escape(str(folder))}[/]", soft_wrap=True)


def _pull(session: Session, revision: str | None) -> RawData:
    from sentinel.data.embedded import embedded_data
    from sentinel.data.versioning import pull as pull_version

    config, paths = session.config, session.paths
    simulation = config.data.simulation
    with (
        one_run_at_a_time(paths.lock(config.name), "-", "sentinel data pull", remarks.print),
        one_bar("pull") as progress,
    ):
        fill = simulation and embedded_data(simulation, config.columns, config.source, config.where, progress)
        return pull_version(config.name, config.data, paths=paths, revision=revision, fill=fill, progress=progress)
