"""The two databases whose tables are read and written directly, as one small interface: rows for a query.

MLflow's own client takes seconds to import, and a rollback has none to lose. A query writes `?` for a value.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Protocol

from sentinel.errors import ServiceUnavailable

Rows = list[tuple[Any, ...]]
Execute = Callable[..., Rows]  # execute(query, *values)

_WAIT_S = 20  # for another process's transaction, as MLflow waits
_CONNECT_S = 5


class Database(Protocol):
    def reading(self) -> Any:
        """A block that sees one moment; its value executes queries."""
        ...

    def writing(self) -> Any:
        """A block whose changes all happen, or none."""
        ...

    def columns(self, table: str) -> set[str]: ...


class SqliteDatabase:
    def __init__(self, file: Path) -> None:
        self._file = file

    @contextmanager
    def reading(self) -> Generator[Execute]:
        with self._transaction("ro", "BEGIN") as execute:
            yield execute

    @contextmanager
    def writing(self) -> Generator[Execute]:
        with self._transaction("rw", "BEGIN IMMEDIATE") as execute:
            yield execute

    def columns(self, table: str) -> set[str]:
        with self.reading() as execute:
            return {row[0] for row in execute("SELECT name FROM pragma_table_info(?)", table)}

    @contextmanager
    def _transaction(self, mode: str, begin: str) -> Generator[Execute]:
        address = f"{self._file.resolve().as_uri()}?mode={mode}"
        try:
            with closing(sqlite3.connect(address, uri=True, timeout=_WAIT_S, isolation_level=None)) as connection:
                connection.execute("PRAGMA foreign_keys = ON")
                connection.execute(begin)

                def execute(query: str, *values: Any) -> Rows:
                    return connection.execute(query, values).fetchall()

                yield execute
                connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise ServiceUnavailable(
                f"The embedded MLflow database {self._file} did not do what was asked: {error}. Nothing was changed. "
                "See that it can be written and that no other process keeps it locked, then run again."
            ) from error


class PostgresDatabase:
    """`url` as SQLAlchemy writes it; the driver's name is left out."""

    def __init__(self, url: str) -> None:
        self._url = plain_url(url)

    @contextmanager
    def reading(self) -> Generator[Execute]:
        with self._transaction("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY") as execute:
            yield execute

    @contextmanager
    def writing(self) -> Generator[Execute]:
        with self._transaction(f"SET LOCAL lock_timeout = '{_WAIT_S}s'") as execute:
            yield execute

    def columns(self, table: str) -> set[str]:
        query = "SELECT column_name FROM information_schema.columns WHERE table_schema = current_schema() "
        with self.reading() as execute:
            return {row[0] for row in execute(f"{query} AND table_name = ?", table)}

    @contextmanager
    def _transaction(self, first: str) -> Generator[Execute]:
        with connected(self._url) as connection, connection, connection.cursor() as cursor:

            def execute(query: str, *values: Any) -> Rows:
                cursor.execute(query.replace("?", "%s"), values)
                return cursor.fetchall() if cursor.description else []

            execute(first)
            yield execute


@contextmanager
def connected(url: str) -> Generator[Any]:
    """A connection to PostgreSQL, closed after the block; whatever it raises becomes a sentence without password."""
    import psycopg2

    try:
        with closing(psycopg2.connect(plain_url(url), connect_timeout=_CONNECT_S)) as connection:
            yield connection
    except psycopg2.Error as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise ServiceUnavailable(
            f"The PostgreSQL database {place_of(url)} did not do what was asked: {lines[0]}. See that it runs and that "
            "its address is right (MLFLOW_TRACKING_URI, services.registry_database_url), then run again."
        ) from error


def plain_url(url: str) -> str:
    """postgresql+psycopg2:// becomes postgresql://."""
    scheme, _, rest = url.partition("://")
    return f"{scheme.partition('+')[0]}://{rest}"


def place_of(url: str) -> str:
    """The address as it may be shown: without user, password and options."""
    return url.partition("://")[2].rpartition("@")[2].partition("?")[0]
