"""The replay proof: the last days once more through the online path, each vector held against its offline value.

A scratch store is brought online as of the start, then the transactions and labels since stream through schema,
journal and windows. Just before each transaction, with everything applied that was knowable by then and nothing else,
its vector is read as scoring reads it, and compared with its row of features.parquet: bit for bit, ages included.

Rows are written when a transaction asks for one that has changed, and vectors are read before the next write: in
groups, and still each as of its own moment.
"""

# duckdb carries few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from sentinel.errors import ConfigInvalid
from sentinel.features.online.latest import TABLE
from sentinel.features.online.materialize import bring_online
from sentinel.features.online.mismatches import CAUSES, Cause, Comparison, Mismatch
from sentinel.features.online.reader import Asked, read_vectors
from sentinel.features.online.replay_events import Feed, asked_moment
from sentinel.features.online.rows import Key, OnlineRows
from sentinel.features.online.store import SOME_CONFIGURATION, open_rows
from sentinel.features.online.stream.base import Base, base_of, load_base
from sentinel.features.online.stream.engine import Engine
from sentinel.features.online.stream.ingest import only_one
from sentinel.features.online.stream.journal import Journal
from sentinel.features.online.stream.online_sets import table_fields
from sentinel.features.online.stream.schema import Fields
from sentinel.features.spec import FeatureSet, microseconds, view_name
from sentinel.features.sql_text import literal, quoted
from sentinel.paths import Paths
from sentinel.progress import Progress, silent

EXAMPLES = 10
SCRATCH = "replay"

_GROUP = 500  # vectors a read
_FETCHED = 5_000
_TOLD = 1_000


@dataclass
class ReplayReport:
    """`mismatches`: lookups (a view of a transaction) by cause; `values`: how many were compared."""

    days: float
    vectors: int = 0
    values: int = 0
    mismatches: dict[Cause, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    examples: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])

    @property
    def is_equal(self) -> bool:
        return self.vectors > 0 and not any(self.mismatches.values())

    def add(self, found: Mismatch) -> None:
        self.mismatches[found.cause] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(found.to_dict())

    def to_dict(self) -> dict[str, Any]:
        return {
            "days": self.days,
            "vectors": self.vectors,
            "values": self.values,
            "mismatches": dict(self.mismatches),
            "examples": self.examples,
        }


class Question(NamedTuple):
    """A transaction as it is asked about, and the values of FeatureSet.columns that the table has for it."""

    transaction_id: int | str
    at_us: int
    keys: dict[str, int | str | None]
    expected: tuple[int | None, ...]


def replay_table(
    paths: Paths, name: str, table: Path, redis_url: str | None, *, length: timedelta,
    where: str = SOME_CONFIGURATION, progress: Progress = silent,
) -> ReplayReport:  # fmt: skip
    """Replay on a scratch store of the kind that `name` has, beside its rows and never among them."""
    wanted = FeatureSet.from_dict(json.loads((table / "feature_set.json").read_text()))
    scratch = paths.feast(name) / SCRATCH
    scratch.mkdir(parents=True, exist_ok=True)
    with only_one(scratch / "lock", "replays"):
        for left in (*scratch.glob("*.db*"),):
            left.unlink()
        with closing(open_rows(f"{name}-{SCRATCH}", scratch / "online.db", redis_url, where=where)) as rows:
            try:
                base, fields = base_of(paths, name, table, wanted), table_fields(table, wanted)
                return replay(table, base, fields, rows, scratch, length=length, progress=progress)
            finally:
                clear(rows, wanted)
                shutil.rmtree(scratch, ignore_errors=True)


def replay(
    table: Path, base: Base, fields: Fields, rows: OnlineRows, scratch: Path, *, length: timedelta,
    progress: Progress = silent,
) -> ReplayReport:  # fmt: skip
    """Replay the last `length` of the built table in the folder `table` on the store `rows`, which is emptied first.

    `scratch`: a folder for the journal. Raises ConfigInvalid when the table has no transaction in that time.
    """
    wanted = FeatureSet.from_dict(json.loads((table / "feature_set.json").read_text()))
    report = ReplayReport(length / timedelta(days=1))
    with duckdb.connect(config={"threads": 2, "memory_limit": "1500MB"}) as database:
        database.execute("SET TimeZone = 'UTC'")
        start_us, total = _start(database, base, wanted, length)
        clear(rows, wanted)
        bring_online(table, rows, spill=scratch / "spill", until_us=start_us)
        journal = Journal(scratch / "replay.db", tuple(fields.keys), has_recorded_at=wanted.has_recorded_at)
        with closing(journal):
            load_base(journal, base, [wanted], until_us=start_us)
            proof = _Proof(journal, wanted, rows, Feed(database, base, wanted, fields, start_us), report)
            proof.expect_since(start_us)
            asked = 0
            for question in _questions(database, table, base, wanted, start_us):
                proof.ask(question)
                if (asked := asked + 1) % _TOLD == 0:
                    progress(asked, total, "vectors compared")
            proof.compare()
    return report


def clear(rows: OnlineRows, wanted: FeatureSet) -> None:
    """Take everything out of a scratch store."""
    for view in wanted.views:
        name = view_name(view, wanted)
        for batch in rows.held(name):
            rows.remove(name, [key for key, _ in batch], 2**63 - 1)
    for subject in ("materialized", "outdated", "streamed"):
        rows.note(f"{subject}:{wanted.hash}", "")


class _Proof:
    """Time goes from question to question. What has changed and is not written yet stands in `_unwritten`."""

    def __init__(
        self, journal: Journal, wanted: FeatureSet, rows: OnlineRows, feed: Feed, report: ReplayReport
    ) -> None:
        self._journal = journal
        self._wanted = wanted
        self._rows = rows
        self._feed = feed
        self._report = report
        self._comparison = Comparison(rows, wanted)
        self._engine = Engine(journal, [wanted])
        self._unwritten: list[set[Key]] = [set() for _ in self._engine.entities]
        self._asked: list[Question] = []
        self._now_us = 0

    def expect_since(self, start_us: int) -> None:
        """What was recorded before the start and becomes knowable after it."""
        delay = None if self._wanted.has_label_available_at else microseconds(self._wanted.label_delay)
        lag = microseconds(self._wanted.ingestion_lag)
        changed = self._journal.changed_since(0, start_us, lag, delay)
        others = self._journal.versions_of({version.transaction_id for version in changed})
        for version in changed:
            versions = others[version.transaction_id]
            self._engine.expect_version(version, [each for each in versions if each.recorded_us != version.recorded_us])

    def ask(self, question: Question) -> None:
        self._feed.take_until(question.at_us, self._journal, self._engine)
        for unwritten, touched in zip(self._unwritten, self._engine.advance(question.at_us), strict=True):
            unwritten |= touched
        self._now_us = question.at_us
        if len(self._asked) >= _GROUP or self._is_unwritten(question):
            self.compare()
        self._asked.append(question)

    def compare(self) -> None:
        """Read and compare the vectors asked for since the last write; then write what has changed."""
        asked = [Asked(question.keys, question.at_us) for question in self._asked]
        for question, found in zip(self._asked, read_vectors(self._rows, self._wanted, asked), strict=True):
            self._report.vectors += 1
            self._report.values += len(question.expected)
            for mismatch in self._comparison.of(question, found.values):
                self._report.add(mismatch)
        self._asked.clear()
        for view, rows in self._engine.rows(self._unwritten, self._now_us).items():
            self._rows.write(view, rows)
        for unwritten in self._unwritten:
            unwritten.clear()

    def _is_unwritten(self, question: Question) -> bool:
        return any(
            tuple(question.keys[column] for column in columns) in unwritten
            for columns, unwritten in zip(self._engine.entities, self._unwritten, strict=True)
        )


def _start(database: duckdb.DuckDBPyConnection, base: Base, wanted: FeatureSet, length: timedelta) -> tuple[int, int]:
    """The moment the replay starts at, and how many transactions are asked about after it."""
    moments = asked_moment(base.file, wanted)
    end = database.execute(f"SELECT max(at_us) FROM ({moments})").fetchall()[0][0] or 0
    start = end - microseconds(length)
    total = database.execute(f"SELECT count(*) FROM ({moments}) WHERE at_us > {start}").fetchall()[0][0]
    if total == 0:
        raise ConfigInvalid(f"The built table has no transaction in its last {length}: give more --days.")
    return start, total


def _questions(
    database: duckdb.DuckDBPyConnection, table: Path, base: Base, wanted: FeatureSet, start_us: int
) -> Iterator[Question]:
    """The transactions after the start, as they were asked about."""
    keys = ", ".join(quoted(key) for key in wanted.keys)
    values = ", ".join(quoted(column) for column in wanted.columns)
    asked = database.cursor().execute(
        f"SELECT transaction_id, at_us, {keys}, {values} FROM read_parquet({literal(str(table / TABLE))}) "
        f"JOIN ({asked_moment(base.file, wanted)}) USING (transaction_id) WHERE at_us > {start_us} "
        "ORDER BY at_us, transaction_id"
    )
    width = len(wanted.keys)
    while found := asked.fetchmany(_FETCHED):
        for row in found:
            yield Question(row[0], row[1], dict(zip(wanted.keys, row[2:], strict=False)), row[2 + width :])
