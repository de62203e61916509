"""Rows of a CSV file with the line each begins on, and the rows that are none.

A block of lines in strict form is handed to Arrow's fast parser; any other block is read record by record, so that
quoted line ends, broken quotes and wrong numbers of fields are seen and the lines after them are still right.
"""

# pyarrow carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false, reportAttributeAccessIssue=false

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

BLOCK_BYTES = 16 << 20
LONGEST_RECORD = 500  # lines that a quoted field may span before its quote counts as broken
WIDEST_PATTERN = 200  # fields up to which the strict form is checked by one regular expression
SEPARATORS = (",", ";", "\t", "|")
NO_UTF8 = "bytes that are no UTF-8"


@dataclass(frozen=True)
class Header:
    separator: str
    names: tuple[str, ...]


def read_header(line: str) -> Header:
    """The separator is the one of , ; tab | that cuts the first line into most names."""
    cut = {mark: next(csv.reader([line], delimiter=mark), []) for mark in SEPARATORS}
    separator = max(SEPARATORS, key=lambda mark: len(cut[mark]))
    return Header(separator, tuple(name.strip() for name in cut[separator]))


def read_rows(file: BinaryIO, header: Header) -> Iterator[pa.Table]:
    """Tables of text columns c0, c1, … with `line`, and for a broken row `malformed` (why) and `text`.

    `file` stands behind the header line. Blank lines are no rows.
    """
    line = 2
    while lines := file.readlines(BLOCK_BYTES):
        table = _fast(lines, header, line)
        if table is None:
            table = _exact(lines, file, header, line)  # may take further lines from `file`
        line += len(lines)
        yield table


def _fast(lines: list[bytes], header: Header, first: int) -> pa.Table | None:
    """The block's rows, or None when it is not in the strict form: one row a line, as many fields as the header."""
    block = b"".join(lines)
    quoted = b'"' in block
    if (quoted and not _is_strict(lines, header)) or _has_blank_line(block):
        return None
    names = [f"c{index}" for index in range(len(header.names))]
    try:
        table = arrow_csv.read_csv(
            io.BytesIO(block),
            arrow_csv.ReadOptions(column_names=names, block_size=4 << 20),
            arrow_csv.ParseOptions(
                delimiter=header.separator, quote_char='"' if quoted else False, ignore_empty_lines=False
            ),
            arrow_csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False),
        )
    except pa.ArrowInvalid:
        return None
    if table.num_rows != len(lines):
        return None
    nulls = pa.nulls(len(lines), pa.string())
    numbers = pa.array(np.arange(first, first + len(lines), dtype=np.int64))
    return table.append_column("line", numbers).append_column("malformed", nulls).append_column("text", nulls)


def _is_strict(lines: list[bytes], header: Header) -> bool:
    if len(header.names) > WIDEST_PATTERN:
        return False
    mark = "\\" + header.separator if header.separator != "\t" else "\\t"
    field = f'(?:"(?:[^"\\r\\n]|"")*"|[^"{mark}\\r\\n]*)'
    pattern = f"^{field}(?:{mark}{field}){{{len(header.names) - 1}}}\\r?\\n?$"
    try:
        return bool(pc.all(pc.match_substring_regex(pa.array(lines, pa.string()), pattern)).as_py())
    except pa.ArrowInvalid:  # bytes that are no UTF-8
        return False


def _has_blank_line(block: bytes) -> bool:
    """Arrow would make a row of it."""
    return block.startswith((b"\n", b"\r\n")) or b"\n\n" in block or b"\n\r\n" in block


def _exact(lines: list[bytes], file: BinaryIO, header: Header, first: int) -> pa.Table:
    """Read record by record. Lines that a record needs beyond the block are appended to `lines`."""
    records: list[list[str | None]] = []
    numbers: list[int] = []
    malformed: list[str | None] = []
    texts: list[str | None] = []
    width = len(header.names)
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        fields, used, why = _record(lines, at, file, header)
        numbers.append(first + at)
        records.append([None] * width if why else list(fields))
        malformed.append(why)
        texts.append(lines[at].decode("utf-8", "replace").rstrip("\r\n") if why else None)
        at += used
    columns = zip(*records, strict=True) if records else [()] * width
    arrays = [pa.array(column, pa.string()) for column in columns]
    extra = [pa.array(numbers, pa.int64()), pa.array(malformed, pa.string()), pa.array(texts, pa.string())]
    return pa.table([*arrays, *extra], [*(f"c{index}" for index in range(width)), "line", "malformed", "text"])


def _record(lines: list[bytes], at: int, file: BinaryIO, header: Header) -> tuple[list[str], int, str | None]:
    """The record that begins at lines[at]: fields, lines used, and why it is broken (then it is one line long)."""
    reader = csv.reader(_decoded(lines, at, file), delimiter=header.separator, strict=True)
    try:
        fields = next(reader)
    except UnicodeDecodeError:
        return [], 1, NO_UTF8
    except csv.Error as error:
        return [], 1, _why(lines[at], error)
    except StopIteration:
        return [], 1, "broken quotes"
    if len(fields) != len(header.names):
        return [], 1, f"{len(fields)} fields instead of {len(header.names)}"
    return fields, reader.line_num, None


def _why(line: bytes, error: csv.Error) -> str:
    if b"\r" in line.rstrip(b"\r\n"):
        return "a bare CR within the row"
    return f"broken quotes ({error})" if b'"' in line else str(error)


def _decoded(lines: list[bytes], at: int, file: BinaryIO) -> Iterator[str]:
    for index in range(at, at + LONGEST_RECORD):
        if index == len(lines):
            further = file.readline()
            if not further:
                return
            lines.append(further)
        yield lines[index].decode("utf-8")
