"""The DuckDB database in which a source is brought into the contract: out of core, in a folder of its own.

Table `staged` holds a row a source row: _file, _line, _fault (NULL, or "reason|detail") and the contract's columns,
ids as text and times as microseconds. Declared columns may have any name, so every name is quoted.
"""

# pyarrow carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import cast

import duckdb
import pyarrow as pa

from sentinel.config import Source
from sentinel.data.contract import ContractColumn, Kind, canonical_schema
from sentinel.data.readings import Reading, quoted, read_column
from sentinel.data.source_files import SourceFile
from sentinel.data.table_files import ROWS_PER_GROUP

MEMORY_LIMIT = "1500MB"
SQL_TYPES: dict[Kind, str] = {
    "id": "VARCHAR",
    "time": "BIGINT",
    "amount": "BIGINT",
    "label": "BOOLEAN",
    "number": "DOUBLE",
    "category": "VARCHAR",
}
LAYERS = ("text", "parts", "draft", "value")


class Staging:
    """One ingestion's rows. `folder` takes the database and what does not fit in memory."""

    def __init__(self, folder: Path, columns: Sequence[ContractColumn], source: Source) -> None:
        self._columns = columns
        self._names = {column.name for column in columns}
        self._source = source
        self.connection = duckdb.connect(
            str(folder / "staging.duckdb"),
            config={
                "memory_limit": MEMORY_LIMIT,
                "temp_directory": str(folder / "spilled"),
                "preserve_insertion_order": "false",
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            },
        )
        self.connection.execute("SET TimeZone = 'UTC'")
        listed = ", ".join(f'"{column.name}" {SQL_TYPES[column.kind]}' for column in columns)
        self.connection.execute(f"CREATE TABLE staged (_file INTEGER, _line BIGINT, _fault VARCHAR, {listed})")

    def __enter__(self) -> Staging:
        return self

    def __exit__(self, *_: object) -> None:
        self.connection.close()

    def knows_zone(self, zone: str) -> bool:
        return self._count("SELECT count(*) FROM pg_timezone_names() WHERE name = ?", zone) > 0

    def knows_time_format(self, form: str) -> bool:
        """Whether it is a format of a whole day at least, without a zone."""
        try:
            shown = self.connection.execute("SELECT strptime(strftime(TIMESTAMP '2021-12-31', ?), ?)", [form, form])
            return shown.fetchall() == [(datetime(2021, 12, 31),)]
        except duckdb.Error:
            return False

    def add(self, number: int, file: SourceFile, table: pa.Table) -> None:
        """Read a table of `file` (the source's file `number`) into `staged`."""
        self.connection.register("incoming", table)
        try:
            self.connection.execute(f"INSERT INTO staged {self._statement(number, file)}")
        finally:
            self.connection.unregister("incoming")

    def _statement(self, number: int, file: SourceFile) -> str:
        readings = {column.name: self._read(column, file) for column in self._columns}
        cells = ", ".join(
            f"c{file.columns.index(column.source)} AS cell_{column.name}"
            for column in self._columns
            if column.source in file.columns
        )
        query = f"SELECT line, malformed, {cells} FROM incoming"
        for layer in LAYERS:
            made = ", ".join(f"{getattr(reading, layer)} AS {layer}_{name}" for name, reading in readings.items())
            query = f"SELECT *, {made} FROM ({query})"
        # an unknown label is known at no time
        known = "CASE WHEN value_is_fraud IS NOT NULL THEN value_label_available_at END"
        values = ", ".join(known if name == "label_available_at" else f"value_{name}" for name in readings)
        return f"SELECT {number}, line, {self._fault(readings)}, {values} FROM ({query})"

    def _read(self, column: ContractColumn, file: SourceFile) -> Reading:
        if column.source not in file.columns:  # optional
            return Reading("NULL", f"CAST(NULL AS {SQL_TYPES[column.kind]})")
        return read_column(column, file.types[file.columns.index(column.source)], self._source)

    def _fault(self, readings: dict[str, Reading]) -> str:
        faults = [("malformed IS NOT NULL", "'malformed_row|' || malformed")]
        for name, reading in readings.items():
            faults += [(condition, quoted(f"{reason}|{name}")) for condition, reason in reading.faults]
        if "label_available_at" in self._names:
            before = "value_label_available_at < value_event_timestamp"
            faults.append((before, quoted("impossible_time|label_available_at")))
        return "CASE " + " ".join(f"WHEN {condition} THEN {fault}" for condition, fault in faults) + " END"

    def mark_duplicates(self) -> None:
        """Of good rows with one key the earliest stays (then the least by the contract's columns, file and line)."""
        key = "transaction_id, recorded_at" if "recorded_at" in self._names else "transaction_id"
        order = ", ".join(["event_timestamp", *(f'"{column.name}"' for column in self._columns), "_file", "_line"])
        self.connection.execute(
            f"""CREATE TEMP TABLE repeated AS
                SELECT {key} FROM staged WHERE _fault IS NULL GROUP BY ALL HAVING count(*) > 1"""
        )
        self.connection.execute(
            f"""UPDATE staged SET _fault = 'duplicate_id|transaction_id' FROM (
                  SELECT _file, _line, row_number() OVER (PARTITION BY {key} ORDER BY {order}) AS _place
                  FROM staged SEMI JOIN repeated USING ({key}) WHERE _fault IS NULL
                ) AS ranked
                WHERE _place > 1 AND staged._file = ranked._file AND staged._line = ranked._line"""
        )

    def rows(self) -> int:
        return self._count("SELECT count(*) FROM staged")

    def kept(self) -> int:
        return self._count("SELECT count(*) FROM staged WHERE _fault IS NULL")

    def frauds(self) -> int:
        return self._count("SELECT count(*) FROM staged WHERE _fault IS NULL AND is_fraud")

    def faults(self) -> dict[str, int]:
        """Quarantined rows by "reason|detail", the most frequent first (details of malformed rows together)."""
        found = self.connection.execute(
            """SELECT if(starts_with(_fault, 'malformed_row|'), 'malformed_row|', _fault) AS fault, count(*) AS rows
               FROM staged WHERE _fault IS NOT NULL GROUP BY 1 ORDER BY rows DESC, 1"""
        ).fetchall()
        return {cast(str, fault): cast(int, rows) for fault, rows in found}

    def faulty_lines(self, number: int) -> pa.Table:
        """line and fault of the quarantined rows of file `number`, by line."""
        return self.connection.execute(
            "SELECT _line AS line, _fault AS fault FROM staged WHERE _file = ? AND _fault IS NOT NULL ORDER BY 1",
            [number],
        ).to_arrow_table()

    def integer_ids(self) -> frozenset[str]:
        """The id columns whose every kept value is a whole number of 64 bits in its plain form (007 and +7 are not)."""
        ids = [column.name for column in self._columns if column.kind == "id"]
        plain = ", ".join(
            f"bool_and(CAST(TRY_CAST({name} AS BIGINT) AS VARCHAR) IS NOT DISTINCT FROM {name})" for name in ids
        )
        answers = self.connection.execute(f"SELECT {plain} FROM staged WHERE _fault IS NULL").fetchone()
        return frozenset(name for name, is_plain in zip(ids, answers or (), strict=True) if is_plain)

    def contract_tables(self, integer_ids: frozenset[str]) -> Iterator[pa.Table]:
        """The kept rows in the contract's types, sorted by event_timestamp, transaction_id (and recorded_at)."""
        schema = canonical_schema(self._columns, integer_ids)
        chosen = ", ".join(
            f'CAST("{name}" AS BIGINT) AS "{name}"' if name in integer_ids else f'"{name}"' for name in schema.names
        )
        key = ["event_timestamp", "transaction_id", *(["recorded_at"] if "recorded_at" in self._names else [])]
        reader = self.connection.execute(
            f"SELECT {chosen} FROM staged WHERE _fault IS NULL ORDER BY {', '.join(key)}"
        ).to_arrow_reader(ROWS_PER_GROUP)
        for batch in reader:
            yield pa.Table.from_batches([batch]).cast(schema)

    def _count(self, query: str, *values: object) -> int:
        found = self.connection.execute(query, list(values)).fetchone()
        assert found is not None
        return int(found[0])
