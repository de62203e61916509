"""Looking at a file before there is a configuration: what each of its columns holds, out of core.

Of a large file every k-th row is kept in a DuckDB table on disk; rows and different values are counted over all.
"""

# pyarrow carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from sentinel.config import Source
from sentinel.data.contract import ContractColumn
from sentinel.data.readings import as_text, read_column
from sentinel.data.source_files import SourceFile, is_text
from sentinel.data.staging import LAYERS
from sentinel.errors import DataContractError
from sentinel.progress import Progress, silent

KEPT_CELLS = 20_000_000  # of the file, at most
SHOWN_ROWS = 3000  # whose texts are looked at one by one
LISTED_VALUES = 500  # up to which the values of a column are counted each
COLUMNS_AT_ONCE = 24
FEW = 0.1  # different values a kept row
FOLLOWED = 16  # of a large file one value in so many times `every` is followed over all rows
LARGEST = 1e100  # number that a correlation is counted of
FOLLOWS = 0.999  # correlation with the time of the event
MEMORY_LIMIT = "1500MB"

Written = Literal["text", "number", "time", "bool"]


@dataclass(frozen=True)
class ColumnFacts:
    """What a column holds. Counts are of all rows; where not all were kept, estimates."""

    name: str
    position: int
    written: Written
    rows: int
    present: int
    distinct: int
    is_unique: bool  # another value in every row
    shown: tuple[str, ...]  # texts of evenly spaced rows, without the missing ones
    values: Mapping[str, int] | None  # rows of each, the most frequent first; None when there are too many

    @property
    def missing(self) -> float:
        return 1 - self.present / self.rows

    @property
    def is_complete(self) -> bool:
        return self.present == self.rows


class LookedAt:
    """Every k-th row of a file, k = `every`, in the table `looked`. `folder` takes the database."""

    def __init__(self, file: SourceFile, folder: Path, progress: Progress = silent) -> None:
        self.file = file
        self.connection = duckdb.connect(
            str(folder / "looked.duckdb"),
            config={
                "memory_limit": MEMORY_LIMIT,
                "temp_directory": str(folder / "spilled"),
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )
        self.connection.execute("SET TimeZone = 'UTC'")
        self.every = _every(file)
        self.rows: int = 0
        self.broken: int = 0  # lines that are no rows
        self._kept: list[pa.Table] = []
        self._chosen = self._read(progress)
        self.kept = self._count("SELECT count(*) FROM looked")
        if not self.kept:
            raise DataContractError(f"{file.path} has columns, but no rows that can be read. Name another file.")

    def __enter__(self) -> LookedAt:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def _read(self, progress: Progress) -> list[tuple[int, int]]:
        """Keep the rows. Of each column of a large file: rows and different values among a share of its values.

        Values are chosen by their hash over the whole file, so that a repetition is seen however far apart it is.
        """
        width = len(self.file.columns)
        self.connection.execute(f"CREATE TABLE looked ({', '.join(self._column(place) for place in range(width))})")
        tables = self._tables(progress)
        first = next(tables, None)
        if first is None:
            return []
        if self.every == 1:
            for _ in tables:
                pass
            return []
        reader = pa.RecordBatchReader.from_batches(first.schema, _batches(first, tables))
        self.connection.register("streamed", reader)
        share = FOLLOWED * self.every
        counted = ", ".join(
            f"count({text}) FILTER (hash({text}) % {share} = 0), "
            f"count(DISTINCT {text}) FILTER (hash({text}) % {share} = 0)"
            for text in map(self._text, range(width))
        )
        found = self.connection.execute(f"SELECT {counted} FROM streamed").fetchone() or ()
        self.connection.unregister("streamed")
        self._keep(last=True)
        return list(zip(found[::2], found[1::2], strict=True))

    def _column(self, place: int) -> str:
        return f"c{place} {_sql_type(self.file.types[place])}"

    def _text(self, place: int) -> str:
        return as_text(f"c{place}", self.file.types[place])

    def _tables(self, progress: Progress) -> Iterator[pa.Table]:
        """The cells of the whole file, table by table; every k-th row is kept on the way."""
        names = [f"c{place}" for place in range(len(self.file.columns))]
        for table in self.file.tables(range(len(names)), lambda share: progress(share, 1.0, "reading the file")):
            whole = table.filter(table["malformed"].is_null())
            self.broken += table.num_rows - whole.num_rows
            cells = whole.select(names)
            places = np.arange(-self.rows % self.every, cells.num_rows, self.every)
            self._kept.append(cells.take(pa.array(places)) if self.every > 1 else cells)
            self.rows += cells.num_rows
            if self.every == 1:
                self._keep()
            yield cells
        if self.every == 1:
            self._keep(last=True)

    def _keep(self, *, last: bool = False) -> None:
        if self._kept and (last or len(self._kept) > 2):
            self.connection.register("kept", pa.concat_tables(self._kept, promote_options="permissive"))
            self.connection.execute("INSERT INTO looked SELECT * FROM kept")
            self.connection.unregister("kept")
            self._kept = []

    def facts(self, progress: Progress = silent) -> list[ColumnFacts]:
        found: list[ColumnFacts] = []
        width = len(self.file.columns)
        for start in range(0, width, COLUMNS_AT_ONCE):
            progress(start, width, "looking at the columns")
            found += self._facts(range(start, min(start + COLUMNS_AT_ONCE, width)))
        return found

    def _facts(self, places: range) -> list[ColumnFacts]:
        counted = ", ".join(f"count({self._text(place)}), count(DISTINCT {self._text(place)})" for place in places)
        counts = self.connection.execute(f"SELECT {counted} FROM looked").fetchone() or ()
        step = max(1, self.kept // SHOWN_ROWS)
        texts = ", ".join(f"{self._text(place)} AS t{place}" for place in places)
        shown = self.connection.execute(
            f"SELECT {texts} FROM looked WHERE rowid % {step} = 0 ORDER BY rowid"
        ).to_arrow_table()
        return [
            self._fact(place, counts[2 * at], counts[2 * at + 1], shown.column(at).to_pylist())
            for at, place in enumerate(places)
        ]

    def _fact(self, place: int, present: int, distinct: int, shown: Sequence[str | None]) -> ColumnFacts:
        chosen, different = self._chosen[place] if self._chosen else (0, 0)
        everywhere = distinct
        if distinct >= FEW * self.kept and chosen:  # else the kept values come again, and are as good as all
            everywhere = max(distinct, round(self.rows * different / chosen))
        return ColumnFacts(
            name=self.file.columns[place],
            position=place,
            written=_written(self.file.types[place]),
            rows=self.rows,
            present=round(present * self.rows / self.kept),
            distinct=everywhere,
            is_unique=distinct == self.kept and different == chosen,
            shown=tuple(text for text in shown if text is not None),
            values=self._values(place) if distinct <= LISTED_VALUES else None,
        )

    def _values(self, place: int) -> dict[str, int]:
        text = self._text(place)
        rows = self.connection.execute(
            f"SELECT {text} AS value, count(*) AS rows FROM looked WHERE {text} IS NOT NULL "
            "GROUP BY 1 ORDER BY rows DESC, value"
        ).fetchall()
        return {str(value): int(count) * self.every for value, count in rows}

    def read(self, columns: Sequence[ContractColumn], source: Source) -> Mapping[str, NDArray[Any]]:
        """The kept rows as ingestion would read them, and `fault`: the first one of a row, or None."""
        query = self._reading(columns, source)
        chosen = ", ".join(f"value_{column.name} AS {column.name}" for column in columns)
        found = self.connection.execute(f"SELECT {chosen}, fault FROM ({query})").fetchnumpy()
        return cast("Mapping[str, NDArray[Any]]", found)

    def faults(self, columns: Sequence[ContractColumn], source: Source) -> dict[str, int]:
        """Kept rows that ingestion would set aside, by "reason column"."""
        rows = self.connection.execute(
            f"SELECT fault, count(*) AS rows FROM ({self._reading(columns, source)}) WHERE fault IS NOT NULL "
            "GROUP BY 1 ORDER BY rows DESC, 1"
        ).fetchall()
        return {str(fault): int(count) for fault, count in rows}

    def span(self, column: ColumnFacts) -> tuple[float, float]:
        """The least and the largest number."""
        number = f"TRY_CAST({self._text(column.position)} AS DOUBLE)"
        found = self.connection.execute(f"SELECT min({number}), max({number}) FROM looked").fetchone()
        return (float(found[0]), float(found[1])) if found and found[0] is not None else (0.0, 0.0)

    def follow(self, columns: Sequence[ColumnFacts], event: ContractColumn, source: Source) -> set[str]:
        """Those whose numbers go with the time of the event, as a counter of seconds or days does."""
        if not columns:
            return set()
        moment = f"value_{event.name}"
        numbers = [f"TRY_CAST({self._text(column.position)} AS DOUBLE)" for column in columns]
        asked = ", ".join(f"corr({number}, {moment}) FILTER (abs({number}) < {LARGEST})" for number in numbers)
        found = self.connection.execute(f"SELECT {asked} FROM ({self._reading([event], source)})").fetchone() or ()
        return {
            column.name
            for column, value in zip(columns, found, strict=True)
            if value is not None and abs(value) >= FOLLOWS
        }

    def rates(self, column: str, label: ContractColumn, source: Source) -> dict[str, tuple[int, int]]:
        """Frauds and labelled rows by the value of a column that has few."""
        place = self.file.columns.index(column)
        rows = self.connection.execute(
            f"SELECT coalesce({self._text(place)}, ''), count(*) FILTER (value_{label.name}), count(value_{label.name})"
            f" FROM ({self._reading([label], source)}) GROUP BY 1"
        ).fetchall()
        return {str(value): (int(frauds), int(known)) for value, frauds, known in rows}

    def _reading(self, columns: Sequence[ContractColumn], source: Source) -> str:
        place_of = {column.name: self.file.columns.index(column.source) for column in columns}
        readings = {
            column.name: read_column(column, self.file.types[place_of[column.name]], source) for column in columns
        }
        cells = ", ".join(f"c{place} AS cell_{name}" for name, place in place_of.items())
        query = f"SELECT *, {cells} FROM looked"
        for layer in LAYERS:
            made = ", ".join(f"{getattr(reading, layer)} AS {layer}_{name}" for name, reading in readings.items())
            query = f"SELECT *, {made} FROM ({query})"
        faults = " ".join(
            f"WHEN {condition} THEN '{reason} {name}'"
            for name, reading in readings.items()
            for condition, reason in reading.faults
        )
        return f"SELECT *, {f'CASE {faults} END' if faults else 'NULL'} AS fault FROM ({query})"

    def _count(self, query: str) -> int:
        found = self.connection.execute(query).fetchone()
        return int(found[0]) if found else 0


def _every(file: SourceFile) -> int:
    """So that the kept cells stay within bounds; a CSV file's rows are estimated from its size."""
    if file.header is None:
        with pq.ParquetFile(file.path) as opened:
            rows = opened.metadata.num_rows
    else:
        packed = 6 if file.path.name.endswith(".gz") else 1
        rows = packed * file.path.stat().st_size // (8 * len(file.columns))
    return max(1, rows * len(file.columns) // KEPT_CELLS)


def _batches(first: pa.Table, rest: Iterator[pa.Table]) -> Iterator[pa.RecordBatch]:
    yield from first.to_batches()
    for table in rest:
        yield from table.cast(first.schema).to_batches()


def _written(kind: pa.DataType) -> Written:
    if pa.types.is_boolean(kind):
        return "bool"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return "number"
    return "time" if pa.types.is_timestamp(kind) or pa.types.is_date(kind) else "text"


def _sql_type(kind: pa.DataType) -> str:
    """The type with which DuckDB reads the Arrow column."""
    if is_text(kind):
        return "VARCHAR"
    with duckdb.connect() as connection:
        connection.register("empty", pa.table({"c": pa.array([], kind)}))
        described = connection.execute("DESCRIBE SELECT c FROM empty").fetchone()
    return str(described[1]) if described else "VARCHAR"
