"""The stream's memory: every version that a window or a label can still reach, and how far the source was read.

One SQLite file. A micro-batch is one transaction of it: its events, their ids, the position behind them and the
length of the dead-letter file. What is committed is never read from the source again, what is not will be.
Moments are int64 microseconds. `known_us` is when a version was recorded (not before it happened), 0 stands for a
`recorded_at` that is not mapped, and `batch` is the batch that last changed the row (0: the built table's data).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sentinel.errors import RecordInvalid
from sentinel.features.online.rows import Key
from sentinel.features.sql_text import quoted
from sentinel.storage import disk_full_in_a_sentence

Id = int | str

_WAIT_S = 60.0
_STATE = "CREATE TABLE IF NOT EXISTS state (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID"
_LABELS = (
    "CREATE TABLE IF NOT EXISTS labels (transaction_id PRIMARY KEY, is_fraud NOT NULL, available_us) WITHOUT ROWID"
)
_REJECTED = (
    "CREATE TABLE IF NOT EXISTS rejected (position TEXT, digest TEXT, PRIMARY KEY (position, digest)) WITHOUT ROWID"
)


@dataclass(slots=True)
class Version:
    """One version of a transaction. `is_fraud` null, or `available_us` null where it is mapped: no label yet."""

    transaction_id: Id
    recorded_us: int
    known_us: int
    happened_us: int
    amount: int
    is_fraud: int | None
    available_us: int | None
    keys: tuple[Id | None, ...]


# A version as the windows of one of its keys need it: known_us, happened_us, amount, is_fraud, available_us, the
# merchant, and known_us of the first later version. A plain tuple: a cold start makes a million of them.
Spoken = tuple[int, int, int, int | None, int | None, Id | None, int | None]


class Journal:
    """`keys`: the entity columns, in the order of `Version.keys`. One process at a time writes it."""

    def __init__(self, file: Path, keys: Sequence[str], *, has_recorded_at: bool) -> None:
        self.keys = tuple(keys)
        self._file = file
        self._has_recorded_at = has_recorded_at
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._readable():
            self._database = sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.execute("PRAGMA cache_size = -65536")
            self._create()
        self._columns = ", ".join(
            ("transaction_id", "recorded_us", "known_us", "happened_us", "amount", "is_fraud", "available_us",
             *map(quoted, self.keys))
        )  # fmt: skip

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def transaction(self) -> Generator[None]:
        """All that is written in the block is there after it, or nothing is."""
        with self._readable():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    def state(self, name: str) -> Any:
        """A remembered fact; None when there is none."""
        found = self._database.execute("SELECT value FROM state WHERE name = ?", (name,)).fetchone()
        return None if found is None else json.loads(found[0])

    def remember(self, facts: Mapping[str, Any]) -> None:
        self._database.executemany(
            "INSERT OR REPLACE INTO state VALUES (?, ?)", [(name, json.dumps(value)) for name, value in facts.items()]
        )

    def insert(self, versions: Iterable[Version], batch: int) -> None:
        """New versions; of one that is held already only the label stays, where the new one has none."""
        places = ", ".join("?" * (8 + len(self.keys)))
        new = ", ".join(
            f"{name} = excluded.{name}" for name in ("known_us", "happened_us", "amount", *map(quoted, self.keys))
        )
        label = ", ".join(f"{name} = coalesce(excluded.{name}, {name})" for name in ("is_fraud", "available_us"))
        self._database.executemany(
            f"INSERT INTO versions ({self._columns}, batch) VALUES ({places}) "
            f"ON CONFLICT (transaction_id, recorded_us) DO UPDATE SET {new}, {label}",
            (
                (version.transaction_id, version.recorded_us, version.known_us, version.happened_us, version.amount,
                 version.is_fraud, version.available_us, *version.keys, batch)
                for version in versions
            ),
        )  # fmt: skip

    def set_labels(self, versions: Iterable[Version], batch: int) -> None:
        """Store the labels that these versions have by now."""
        self._database.executemany(
            "UPDATE versions SET is_fraud = ?, available_us = ?, batch = ? "
            "WHERE transaction_id = ? AND recorded_us = ?",
            [
                (version.is_fraud, version.available_us, batch, version.transaction_id, version.recorded_us)
                for version in versions
            ],
        )

    def insert_labels(self, labels: Iterable[tuple[Id, bool, int | None]]) -> None:
        """Labels of transactions, for the versions that are still to come."""
        self._database.executemany("INSERT OR REPLACE INTO labels VALUES (?, ?, ?)", labels)

    def insert_rejected(self, rejected: Iterable[tuple[str, str]]) -> None:
        self._database.executemany("INSERT OR IGNORE INTO rejected VALUES (?, ?)", rejected)

    def is_rejected(self, position: str, digest: str) -> bool:
        sql = "SELECT 1 FROM rejected WHERE position = ? AND digest = ?"
        return self._database.execute(sql, (position, digest)).fetchone() is not None

    def versions_of(self, ids: Iterable[Id]) -> dict[Id, list[Version]]:
        """The versions of each transaction, as they were recorded."""
        self._ask([(transaction_id,) for transaction_id in ids], ["transaction_id"])
        found: dict[Id, list[Version]] = {}
        columns = ", ".join(f"versions.{column}" for column in self._columns.split(", "))
        sql = (
            f"SELECT {columns} FROM asked CROSS JOIN versions ON versions.transaction_id = asked.k0 "
            "ORDER BY asked.n, versions.recorded_us"
        )
        for row in self._database.execute(sql):
            found.setdefault(row[0], []).append(Version(*row[:7], keys=row[7:]))
        return found

    def labels_of(self, ids: Iterable[Id]) -> dict[Id, tuple[int, int | None]]:
        self._ask([(transaction_id,) for transaction_id in ids], ["transaction_id"])
        sql = "SELECT labels.* FROM asked CROSS JOIN labels ON labels.transaction_id = asked.k0"
        return {row[0]: (row[1], row[2]) for row in self._database.execute(sql)}

    def spoken(self, columns: Sequence[str], keys: Sequence[Key]) -> list[list[Spoken]]:
        """For each key of the entity with these `columns`, in order, every version that is held of it."""
        self._ask(keys, columns)
        on = " AND ".join(f"versions.{quoted(column)} = asked.k{n}" for n, column in enumerate(columns))
        merchant = "versions.merchant_id" if "merchant_id" in self.keys else "NULL"
        replaced = (
            "(SELECT min(later.known_us) FROM versions later WHERE later.transaction_id = versions.transaction_id "
            "AND later.recorded_us > versions.recorded_us)"
            if self._has_recorded_at
            else "NULL"
        )
        rows: Iterable[Any] = self._database.execute(
            f"SELECT asked.n, known_us, happened_us, amount, is_fraud, available_us, {merchant}, {replaced} "
            f"FROM asked CROSS JOIN versions ON {on} ORDER BY asked.n"
        )
        found: list[list[Spoken]] = [[] for _ in keys]
        for row in rows:
            number: int = row[0]
            found[number].append(row[1:])
        return found

    def changed_since(self, batch: int, moment_us: int, lag_us: int, label_delay_us: int | None) -> list[Version]:
        """Versions of later batches, and those that themselves or whose label became knowable after `moment_us`.

        `label_delay_us`: None where the moment of a label is mapped.
        """
        arrived = "available_us" if label_delay_us is None else f"happened_us + {label_delay_us}"
        sql = (
            f"SELECT {self._columns} FROM versions WHERE batch > ? OR known_us + ? > ? "
            f"OR (is_fraud IS NOT NULL AND {arrived} > ?)"
        )
        rows = self._database.execute(sql, (batch, lag_us, moment_us, moment_us))
        return [Version(*row[:7], keys=row[7:]) for row in rows]

    def latest_known_us(self) -> int | None:
        return self._database.execute("SELECT max(known_us) FROM versions").fetchone()[0]

    def forget_until(self, moment_us: int, label_delay_us: int | None) -> None:
        """Drop what no window and no label can reach any more: versions that were knowable, and labelled, by then."""
        arrived = "available_us" if label_delay_us is None else f"happened_us + {label_delay_us}"
        self._database.execute(
            f"DELETE FROM versions WHERE known_us <= ? AND is_fraud IS NOT NULL AND {arrived} <= ?",
            (moment_us, moment_us),
        )

    def index(self) -> None:
        """One index an entity; that of the customer serves the pair as well."""
        for key in self.keys:
            columns = (key, "merchant_id") if key == "customer_id" and "merchant_id" in self.keys else (key,)
            self._database.execute(
                f"CREATE INDEX IF NOT EXISTS {quoted(f'by_{key}')} ON versions ({', '.join(map(quoted, columns))})"
            )

    def _create(self) -> None:
        keys = ", ".join(map(quoted, self.keys))
        with self.transaction():
            self._database.execute(_STATE)
            self._database.execute(_LABELS)
            self._database.execute(_REJECTED)
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS versions (transaction_id, recorded_us INTEGER, known_us INTEGER, "
                "happened_us INTEGER, amount INTEGER, is_fraud INTEGER, available_us INTEGER, "
                f"{keys}, batch INTEGER, UNIQUE (transaction_id, recorded_us))"
            )
            present = {row[1] for row in self._database.execute("PRAGMA table_info(versions)")}
            for key in self.keys:
                if key not in present:  # an entity that was declared later
                    self._database.execute(f"ALTER TABLE versions ADD COLUMN {quoted(key)}")
        self._database.execute("CREATE TEMP TABLE asked (n INTEGER PRIMARY KEY, k0, k1)")

    def _ask(self, keys: Sequence[tuple[Id, ...]], columns: Sequence[str]) -> None:
        """Put keys into the table that a query joins: one query, however many keys."""
        self._database.execute("DELETE FROM asked")
        names = ", ".join(f"k{n}" for n in range(len(columns)))
        places = ", ".join("?" * (1 + len(columns)))
        self._database.executemany(
            f"INSERT INTO asked (n, {names}) VALUES ({places})", ((n, *key) for n, key in enumerate(keys))
        )

    @contextmanager
    def _readable(self) -> Generator[None]:
        with disk_full_in_a_sentence(self._file):
            try:
                yield
            except sqlite3.DatabaseError as error:
                if "disk is full" in str(error):
                    raise
                raise RecordInvalid(
                    f"The stream's journal {self._file} cannot be used: {error}. When another process holds it, let "
                    "it end; when the file is damaged, remove it and materialize the features again."
                ) from error
