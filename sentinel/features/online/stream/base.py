"""What a stream starts from: of the built table's data, all that a window or a label can still reach.

A late event may be a longest window old, and its own window reaches back once more: so two longest windows are kept,
and every transaction that still waits for its label.
"""

# duckdb and pyarrow carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from pyarrow import parquet

from sentinel.errors import DataDamaged
from sentinel.features.online.stream.journal import Journal, Version
from sentinel.features.spec import FeatureSet, microseconds
from sentinel.features.sql_text import literal, quoted
from sentinel.paths import Paths
from sentinel.progress import Progress, silent
from sentinel.storage import sha256_file

_ROWS = 50_000
_BASE = "base"  # the journal's state: of which data, and when they end
_TABLE = "features.parquet"
_DATA = "transactions.parquet"


@dataclass(frozen=True)
class Base:
    """`file`: the versions of the transactions; `digest`: of the data that the table was built on."""

    file: Path
    digest: str


def base_of(paths: Paths, name: str, table: Path, wanted: FeatureSet) -> Base:
    """The data of the built table in the folder `table`. Raises DataDamaged when they are gone.

    The table itself has every transaction once, which is all there is where nothing is ever corrected.
    """
    digest: str = json.loads((table / "features.json").read_text())["transactions_sha256"]
    if not wanted.has_recorded_at:
        return Base(table / _TABLE, digest)
    for file in (paths.data(name) / _DATA, *sorted(paths.pulled(name, "any").parent.glob(f"*/{_DATA}"))):
        if file.is_file() and sha256_file(file) == digest:
            return Base(file, digest)
    raise DataDamaged(
        f"The transactions that {paths.relative(table)} was built on ({digest[:12]}) are not here any more. "
        "Run `sentinel run` again, which builds the table of the data that are here."
    )


def load_base(
    journal: Journal,
    base: Base,
    sets: Sequence[FeatureSet],
    *,
    until_us: int | None = None,
    progress: Progress = silent,
) -> int:
    """Bring the data into the journal, unless it has them. Returns the moment (known_us) of their last version.

    `until_us`: leave out what was recorded later, and labels that were not there by then.
    """
    held = journal.state(_BASE)
    if held is not None and held["digest"] == base.digest:
        return held["end_us"]
    longest = max(microseconds(view.ttl) for wanted in sets for view in wanted.views)
    delay = max(microseconds(wanted.label_delay) for wanted in sets)
    with duckdb.connect(config={"threads": 2, "memory_limit": "1500MB"}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        versions = _versions(base.file, sets[0], journal.keys, until_us)
        end = connection.execute(f"SELECT coalesce(max(known_us), 0) FROM ({versions})").fetchall()[0][0]
        reach = end - 2 * longest
        labelled = "available_us" if sets[0].has_label_available_at else f"known_us + {delay}"
        asked = (
            f"FROM ({versions}) WHERE known_us > {reach} OR is_fraud IS NULL OR {labelled} IS NULL "
            f"OR {labelled} > {reach}"
        )
        total = connection.execute(f"SELECT count(*) {asked}").fetchall()[0][0]
        found = connection.execute(f"SELECT * {asked}")
        done = 0
        with journal.transaction():
            while rows := found.fetchmany(_ROWS):
                journal.insert((Version(*row[:7], keys=row[7:]) for row in rows), batch=0)
                done += len(rows)
                progress(done, total, "windows are loaded")
            journal.forget_until(reach, None if sets[0].has_label_available_at else delay)
            journal.index()
            journal.remember({_BASE: {"digest": base.digest, "end_us": end}})
    return end


def base_facts(journal: Journal) -> tuple[str, int] | None:
    """Digest and end of the data that the journal has."""
    held = journal.state(_BASE)
    return None if held is None else (held["digest"], held["end_us"])


def _versions(file: Path, wanted: FeatureSet, keys: Sequence[str], until_us: int | None) -> str:
    """SQL of the columns of `Version`; a column that these data lack is null."""
    present = parquet.read_schema(file).names
    happened = "epoch_us(event_timestamp)"
    recorded = "epoch_us(recorded_at)" if wanted.has_recorded_at else "0"
    known = f"greatest({recorded}, {happened})" if wanted.has_recorded_at else happened
    available = "epoch_us(label_available_at)" if wanted.has_label_available_at else "NULL::BIGINT"
    fraud = "is_fraud::INTEGER"
    if until_us is not None:
        arrived = available if wanted.has_label_available_at else f"{happened} + {microseconds(wanted.label_delay)}"
        fraud = f"CASE WHEN {arrived} <= {until_us} THEN {fraud} END"
    columns = ", ".join(quoted(key) if key in present else f"NULL AS {quoted(key)}" for key in keys)
    where = "" if until_us is None else f" WHERE {known} <= {until_us}"
    return (
        f"SELECT transaction_id, {recorded} AS recorded_us, {known} AS known_us, {happened} AS happened_us, "
        f"amount_minor AS amount, {fraud} AS is_fraud, {available} AS available_us, {columns} "
        f"FROM read_parquet({literal(str(file))}){where}"
    )
