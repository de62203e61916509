"""The embedded online store: one SQLite file, a table a view, for several processes at once."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path
from typing import Any

from sentinel.errors import ServiceUnavailable
from sentinel.features.online.rows import (
    MOMENT_BYTES,
    Key,
    OnlineRow,
    pack_key,
    pack_moment,
    pack_row,
    unpack_key,
    unpack_moment,
    unpack_row,
)
from sentinel.storage import disk_full_in_a_sentence

_BATCH = 20_000
_WAIT_S = 60.0  # for another process's transaction
_NOTES = "CREATE TABLE IF NOT EXISTS notes (subject TEXT PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID"


class SqliteRows:
    """One connection; a thread at a time."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.parent.mkdir(parents=True, exist_ok=True)
        with self._answered():
            self._database = sqlite3.connect(file, timeout=_WAIT_S, isolation_level=None, check_same_thread=False)
            self._database.execute("PRAGMA journal_mode = WAL")
            self._database.execute("PRAGMA synchronous = NORMAL")
            self._database.execute(_NOTES)

    def write(self, view: str, rows: Sequence[OnlineRow]) -> None:
        packed = [(pack_key(row.key), pack_row(row)) for row in rows]
        packed.sort(key=itemgetter(0))  # as the table's tree is; rows of one key keep their order
        moment = f"substr(excluded.row, 1, {MOMENT_BYTES}) >= substr(row, 1, {MOMENT_BYTES})"
        with self._transaction():
            self._database.execute(
                f'CREATE TABLE IF NOT EXISTS "{view}" (key TEXT PRIMARY KEY, row BLOB NOT NULL) WITHOUT ROWID'
            )
            self._database.executemany(
                f'INSERT INTO "{view}" VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET row = excluded.row WHERE {moment}',
                packed,
            )

    def read(self, asked: Sequence[tuple[str, Key]]) -> list[OnlineRow | None]:
        with self._answered():
            return [self._read_one(view, key) for view, key in asked]

    def held(self, view: str) -> Iterator[list[tuple[Key, int]]]:
        last = ""
        while found := self._after(view, last):
            last = found[-1][0]
            yield [(unpack_key(key), unpack_moment(moment)) for key, moment in found]

    def remove(self, view: str, keys: Sequence[Key], until_us: int) -> None:
        if keys:
            with self._transaction():
                self._database.executemany(
                    f'DELETE FROM "{view}" WHERE key = ? AND substr(row, 1, {MOMENT_BYTES}) <= ?',
                    [(pack_key(key), pack_moment(until_us)) for key in keys],
                )

    def note(self, subject: str, text: str) -> None:
        with self._transaction():
            self._database.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (subject, text))

    def noted(self, subject: str) -> str | None:
        with self._answered():
            found = self._database.execute("SELECT text FROM notes WHERE subject = ?", (subject,)).fetchone()
        return found[0] if found else None

    def close(self) -> None:
        self._database.close()

    def _after(self, view: str, key: str) -> list[tuple[str, bytes]]:
        with self._answered():
            return self._rows_of(
                f'SELECT key, substr(row, 1, {MOMENT_BYTES}) FROM "{view}" WHERE key > ? ORDER BY key LIMIT {_BATCH}',
                key,
            )

    def _read_one(self, view: str, key: Key) -> OnlineRow | None:
        found = self._rows_of(f'SELECT row FROM "{view}" WHERE key = ?', pack_key(key))
        return unpack_row(key, found[0][0]) if found else None

    def _rows_of(self, query: str, key: str) -> list[Any]:
        try:
            return self._database.execute(query, (key,)).fetchall()
        except sqlite3.OperationalError as error:
            if "no such table" in str(error):  # nothing was ever written to this view
                return []
            raise

    @contextmanager
    def _transaction(self) -> Generator[None]:
        with self._answered():
            self._database.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._database.execute("COMMIT")
            except BaseException:
                if self._database.in_transaction:
                    self._database.execute("ROLLBACK")
                raise

    @contextmanager
    def _answered(self) -> Generator[None]:
        with disk_full_in_a_sentence(self._file):
            try:
                yield
            except (sqlite3.OperationalError, sqlite3.DatabaseError) as error:
                if "disk is full" in str(error):
                    raise
                raise ServiceUnavailable(
                    f"The online store {self._file} cannot be used: {error}. When another process holds it, let it "
                    "end; when the file is damaged, delete it and run `sentinel features materialize`."
                ) from error
