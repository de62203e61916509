"""quarantine.parquet: the rows that broke the contract, as the source wrote them, with reason and line."""

# pyarrow carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportAttributeAccessIssue=false

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from sentinel.data.source_files import SourceFile
from sentinel.data.staging import Staging
from sentinel.data.table_files import write_table_file

# reason: what is wrong; detail: the contract's column, or how a CSV row is broken; source_line: counted from 1 with
# the header (Parquet: the number of the row); source_text: a broken CSV row, which has no fields
OWN_COLUMNS = ("reason", "detail", "source_file", "source_line", "source_text")


def write_quarantine(path: Path, files: Sequence[SourceFile], staging: Staging) -> int:
    """Read the quarantined rows from the source again, as text. Returns how many there are."""
    names = list(dict.fromkeys(name for file in files for name in file.columns))
    schema = pa.schema([
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("source_file", pa.string()),
        ("source_line", pa.int64()),
        ("source_text", pa.string()),
        *((_free_name(name, names), pa.string()) for name in names),
    ])  # fmt: skip
    return write_table_file(path, schema, _tables(names, schema, files, staging))


def _free_name(name: str, names: Sequence[str]) -> str:
    """A source column keeps its name, unless the quarantine has one of that name itself."""
    while name in OWN_COLUMNS or not name:
        name = f"source_{name or 'unnamed'}"
        if name in names:
            name += "_"
    return name


def _tables(
    names: Sequence[str], schema: pa.Schema, files: Sequence[SourceFile], staging: Staging
) -> Iterator[pa.Table]:
    for number, file in enumerate(files):
        faulty = staging.faulty_lines(number)
        if not faulty.num_rows:
            continue
        for table in file.tables(range(len(file.columns)), lambda share: None):
            chosen = table.filter(pc.is_in(table["line"], faulty["line"]))
            if chosen.num_rows:
                yield _as_text(chosen, faulty, names, file, staging.connection).cast(schema)


def _as_text(
    rows: pa.Table, faulty: pa.Table, names: Sequence[str], file: SourceFile, connection: duckdb.DuckDBPyConnection
) -> pa.Table:
    cells = [f"CAST(c{file.columns.index(name)} AS VARCHAR)" if name in file.columns else "NULL" for name in names]
    listed = ", ".join(f"{cell} AS s{index}" for index, cell in enumerate(cells))
    connection.register("chosen", rows)
    connection.register("faulty", faulty)
    try:
        found = connection.execute(
            f"""SELECT split_part(fault, '|', 1), substr(fault, strpos(fault, '|') + 1), ?, line, text, {listed}
                FROM chosen JOIN faulty USING (line) ORDER BY line""",
            [file.name],
        ).to_arrow_table()
    finally:
        connection.unregister("chosen")
        connection.unregister("faulty")
    return found.rename_columns([*OWN_COLUMNS, *(_free_name(name, names) for name in names)])
