"""The files of a source, CSV (also gzip) or Parquet, read alike: tables of columns c0, c1, … and the row's line."""

# pyarrow carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from sentinel.data.csv_rows import NO_UTF8, Header, read_header, read_rows
from sentinel.errors import DataContractError

ENDINGS = (".csv", ".csv.gz", ".tsv", ".tsv.gz", ".parquet", ".pq")
ROWS_PER_BATCH = 1 << 18
Advance = Callable[[float], None]  # told the share of the file that is read


@dataclass(frozen=True)
class SourceFile:
    """One file. `name` is what messages and the quarantine call it; `types` are those of its columns."""

    path: Path
    name: str
    columns: tuple[str, ...]
    types: tuple[pa.DataType, ...]
    header: Header | None  # of a CSV file; None for Parquet

    def tables(self, wanted: Sequence[int], advance: Advance) -> Iterator[pa.Table]:
        """Columns c<i> (i in `wanted`, at least), `line`, `malformed` and `text` (see read_rows)."""
        with unreadable_in_a_sentence(self.path):
            yield from self._csv(advance) if self.header else self._parquet(wanted, advance)

    def _csv(self, advance: Advance) -> Iterator[pa.Table]:
        assert self.header is not None
        size = max(1, self.path.stat().st_size)
        with self.path.open("rb") as raw, _unpacked(raw) as file:
            file.readline()
            for table in read_rows(file, self.header):
                yield table
                advance(min(1.0, raw.tell() / size))

    def _parquet(self, wanted: Sequence[int], advance: Advance) -> Iterator[pa.Table]:
        with pq.ParquetFile(self.path, page_checksum_verification=True) as file:
            done, rows = 0, max(1, file.metadata.num_rows)
            names = [self.columns[index] for index in wanted]
            for batch in file.iter_batches(batch_size=ROWS_PER_BATCH, columns=names):
                cells, broken = _utf8([_plain(batch.column(name)) for name in names])
                table = pa.table(cells, names=[f"c{index}" for index in wanted])
                lines = pa.array(np.arange(done + 1, done + 1 + table.num_rows, dtype=np.int64))
                nulls = pa.nulls(table.num_rows, pa.string())
                done += table.num_rows
                why = pa.array([NO_UTF8 if row in broken else None for row in range(table.num_rows)], pa.string())
                yield (table.append_column("line", lines).append_column("malformed", why).append_column("text", nulls))
                advance(done / rows)


def find_source_files(sources: Sequence[Path]) -> list[SourceFile]:
    """Open every file of `sources`; a folder stands for the CSV and Parquet files below it, sorted by path.

    Raises DataContractError for what is missing, unreadable, empty or of another kind.
    """
    found: dict[Path, str] = {}
    for source in sources:
        for path in _files_of(source):
            found.setdefault(path.resolve(), path.relative_to(source).as_posix() if source.is_dir() else path.name)
    return [_open(path, name) for path, name in found.items()]


@contextmanager
def unreadable_in_a_sentence(path: Path) -> Generator[None]:
    """Turn what the decoders say about damaged bytes into DataContractError."""
    try:
        yield
    except PermissionError as error:
        raise DataContractError(f"{path} may not be read: permission denied. Change its permissions.") from error
    except (EOFError, OSError, zlib.error, pa.ArrowException) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise DataContractError(
            f"{path} cannot be read to its end: {cause.rstrip('.')}. "
            "It is damaged or was cut off; export or copy it again."
        ) from error


def _files_of(source: Path) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataContractError(f"There is no file or folder {source}. Mend the path of the source.")
    files = sorted(
        path
        for path in source.rglob("*")
        if path.is_file()
        and path.name.lower().endswith(ENDINGS)
        and not any(part.startswith((".", "_")) for part in path.relative_to(source).parts)
    )
    if not files:
        raise DataContractError(
            f"The folder {source} holds no CSV or Parquet file (a name that ends in {', '.join(ENDINGS)}). "
            "Name the folder that does, or the file itself."
        )
    return files


def _open(path: Path, name: str) -> SourceFile:
    with unreadable_in_a_sentence(path):
        with path.open("rb") as raw:
            start = raw.read(4)
        if not start:
            raise DataContractError(f"{path} is empty: not even a header. Export it again, or leave it out.")
        if start == b"PAR1":
            opened = _open_parquet(path, name)
        elif start[:2] == b"PK":
            raise DataContractError(f"{path} is a ZIP or Excel file. Save it as CSV or Parquet and ingest that.")
        else:
            opened = _open_csv(path, name)
    _refuse_twice(path, opened.columns)
    return opened


def _open_parquet(path: Path, name: str) -> SourceFile:
    with pq.ParquetFile(path) as file:
        schema = file.schema_arrow
    types = tuple(_plain(pa.array([], field.type)).type for field in schema)
    return SourceFile(path, name, tuple(schema.names), types, None)


def _open_csv(path: Path, name: str) -> SourceFile:
    with path.open("rb") as raw, _unpacked(raw) as file:
        line = file.readline()
    if line.rstrip(b"\r\n").count(b"\r"):
        raise DataContractError(f"{path} ends its lines with a bare CR. Convert it to LF or CRLF and ingest that.")
    try:
        header = read_header(line.decode("utf-8-sig").rstrip("\r\n"))
    except UnicodeDecodeError as error:
        raise DataContractError(
            f"The first line of {path} is no UTF-8 text. Save the file as CSV in UTF-8, or as Parquet."
        ) from error
    if b"\x00" in line or not any(header.names):
        raise DataContractError(f"The first line of {path} names no columns. A CSV file begins with a header line.")
    return SourceFile(path, name, header.names, (pa.string(),) * len(header.names), header)


def _refuse_twice(path: Path, names: Sequence[str]) -> None:
    twice = sorted({name for name in names if name and names.count(name) > 1})
    if twice:
        raise DataContractError(f"{path} has more than one column {twice[0]!r}. Rename all but one of them.")


@contextmanager
def _unpacked(raw: BinaryIO) -> Generator[BinaryIO]:
    start = raw.read(2)
    raw.seek(0)
    if start == b"\x1f\x8b":
        with gzip.GzipFile(fileobj=raw) as file:
            yield cast(BinaryIO, file)
    else:
        yield raw


def is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def _utf8(columns: Sequence[pa.Array]) -> tuple[list[pa.Array], set[int]]:
    """Columns with readable text, and the rows that had other bytes: DuckDB does not check, and reads beyond them."""
    cells, broken = list(columns), set[int]()
    for number, column in enumerate(columns):
        if not is_text(column.type):
            continue
        try:
            column.validate(full=True)
        except pa.ArrowInvalid:
            values = column.cast(pa.large_binary()).to_pylist()
            text = ["" if value is None else value.decode("utf-8", "replace") for value in values]
            cells[number] = pa.array(text, pa.large_string(), mask=column.is_null().to_numpy(zero_copy_only=False))
            broken |= {row for row, value in enumerate(values) if text[row].encode() != (value or b"")}
    return cells, broken


def _plain(column: pa.Array) -> pa.Array:
    """Types that DuckDB reads: no dictionaries, no nulls without a type, decimals of 38 digits at most."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _plain(column.dictionary_decode())
    if pa.types.is_null(kind) or pa.types.is_decimal256(kind):
        return column.cast(pa.string())
    if pa.types.is_float16(kind):
        return column.cast(pa.float32())
    if pa.types.is_timestamp(kind) and kind.unit != "us":
        return column.cast(pa.timestamp("us", kind.tz), safe=False)
    return column
