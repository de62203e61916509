"""The rows of a built table that belong online: of each view, the latest of each key that can still be read."""

# duckdb and pyarrow carry few types:
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

import json
import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa

from sentinel.features.applied import VIEWS
from sentinel.features.online.rows import Key, OnlineRow
from sentinel.features.spec import FeatureSet, FeatureView, microseconds

BATCH_ROWS = 20_000  # a transaction of the store: short, so that a stream beside it waits little

TABLE = "features.parquet"

_MEMORY_LIMIT = "1500MB"
_HELD = "held"  # the temporary table of the view at hand
_SEED = 7

# Asked with the files twice, and a reach. (key, moment) is unique in a view.
_LATEST = (
    "SELECT {columns} FROM read_parquet(?) JOIN (SELECT {keys}, max({moment}) AS {moment} FROM read_parquet(?) "
    "WHERE {moment} > ? AND {moment} <= ? GROUP BY {keys}) USING ({keys}, {moment})"
)


class Reach(NamedTuple):
    """Rows that became knowable after the first and not after the second moment (microseconds since 1970)."""

    after_us: int
    until_us: int


class Content(NamedTuple):
    """How many rows, and a digest that does not depend on their order."""

    rows: int
    digest: str


@dataclass(frozen=True)
class BuiltTable:
    """A table of stage `features`, read with DuckDB."""

    folder: Path
    feature_set: FeatureSet
    database: duckdb.DuckDBPyConnection

    def end_us(self) -> int:
        """When the last transaction, or its last correction, became knowable: the end of the data."""
        lag = microseconds(self.feature_set.ingestion_lag)
        moments = [self._largest(f"epoch_us(event_timestamp) + {lag}", str(self.folder / TABLE))]
        for view in self.feature_set.views:
            if view.kind == "spending":
                moments.append(self._largest(_names(view.known_at), self._files(view)))
        return max((moment for moment in moments if moment is not None), default=0)

    @contextmanager
    def latest(self, view: FeatureView, reach: Reach) -> Generator[LatestRows]:
        """The latest row of each key within `reach`; one view at a time."""
        self.database.execute(
            f"CREATE TEMP TABLE {_HELD} AS {_LATEST.format(**_parts(view))}", self._asked(view, reach)
        )
        try:
            yield LatestRows(view, self.database)
        finally:
            self.database.execute(f"DROP TABLE {_HELD}")

    def content(self, view: FeatureView, reach: Reach) -> Content:
        return _content(self.database, view, f"({_LATEST.format(**_parts(view))})", self._asked(view, reach))

    def _asked(self, view: FeatureView, reach: Reach) -> list[Any]:
        return [self._files(view), self._files(view), *reach]

    def _files(self, view: FeatureView) -> str:
        return str(self.folder / VIEWS / view.name / "*.parquet")

    def _largest(self, moment: str, files: str) -> int | None:
        return self.database.execute(f"SELECT max({moment}) FROM read_parquet(?)", [files]).fetchall()[0][0]


@dataclass(frozen=True)
class LatestRows:
    view: FeatureView
    database: duckdb.DuckDBPyConnection

    def content(self) -> Content:
        return _content(self.database, self.view, _HELD, [])

    def batches(self, after_us: int) -> Iterator[list[OnlineRow]]:
        """Those that became knowable after a moment."""
        query = f"SELECT * FROM {_HELD} WHERE {_names(self.view.known_at)} > ?"
        answer = self.database.execute(query, [after_us])
        while found := answer.fetchmany(BATCH_ROWS):
            yield [self._row(each) for each in found]

    def sample(self, rows: int) -> list[OnlineRow]:
        """The same rows whenever the content is the same."""
        keys = _names(*self.view.keys)
        query = f"SELECT * FROM {_HELD} ORDER BY hash({keys}, {_SEED}), {keys} LIMIT ?"
        return [self._row(each) for each in self.database.execute(query, [rows]).fetchall()]

    def lacking(self, held: Sequence[tuple[Key, int]]) -> list[Key]:
        """Those keys whose latest row is not of this moment; also keys of another type than the table's."""
        kinds = self._key_kinds()
        alike = [(*key, moment) for key, moment in held if tuple(map(type, key)) == kinds]
        strange = [key for key, _ in held if tuple(map(type, key)) != kinds]
        if not alike:
            return strange
        names = (*self.view.keys, self.view.known_at)
        asked = pa.table(dict(zip(names, map(list, zip(*alike, strict=True)), strict=True)))
        query = f"SELECT {_names(*self.view.keys)} FROM asked ANTI JOIN {_HELD} USING ({_names(*names)})"
        self.database.register("asked", asked)
        try:
            return [*strange, *(tuple(key) for key in self.database.execute(query).fetchall())]
        finally:
            self.database.unregister("asked")

    def _key_kinds(self) -> tuple[type, ...]:
        described = self.database.execute(f"DESCRIBE {_HELD}").fetchall()
        return tuple(str if column[1] == "VARCHAR" else int for column in described[: len(self.view.keys)])

    def _row(self, found: tuple[Any, ...]) -> OnlineRow:
        keys = len(self.view.keys)
        return OnlineRow(found[:keys], found[keys], found[keys + 1 :])


@contextmanager
def open_table(folder: Path, spill: Path, threads: int = 2) -> Generator[BuiltTable]:
    """`spill`: a folder for what does not fit into memory; it is removed in the end."""
    feature_set = FeatureSet.from_dict(json.loads((folder / "feature_set.json").read_text()))
    settings: dict[str, Any] = {"threads": threads, "memory_limit": _MEMORY_LIMIT, "temp_directory": str(spill)}
    with duckdb.connect(config=settings) as database:
        try:
            yield BuiltTable(folder, feature_set, database)
        finally:
            shutil.rmtree(spill, ignore_errors=True)


def _content(database: duckdb.DuckDBPyConnection, view: FeatureView, rows: str, asked: list[Any]) -> Content:
    query = f"SELECT count(*), sum(CAST(hash({_parts(view)['columns']}) AS HUGEINT)) FROM {rows}"
    count, digest = database.execute(query, asked).fetchall()[0]
    return Content(count, str(digest))


def _parts(view: FeatureView) -> dict[str, str]:
    keys, moment = _names(*view.keys), _names(view.known_at)
    return {"keys": keys, "moment": moment, "columns": f"{keys}, {moment}, {_names(*view.columns)}"}


def _names(*columns: str) -> str:
    return ", ".join(f'"{column}"' for column in columns)
