"""The reader of CSV against what Python's own writer wrote, and against damage."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.data import csv_rows
from sentinel.data.csv_rows import read_header, read_rows

FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\x00\r"), max_size=6) | st.sampled_from(
    ["", '"', '""', ",", "\n", 'a"b', "é", " ", "1.5", "x\ny"]
)
ROWS = st.lists(st.tuples(FIELD, FIELD, FIELD).filter(lambda fields: any(one.strip() for one in fields)), max_size=12)


def read(content: bytes, separator: str = ",") -> list[dict[str, Any]]:
    header = read_header(separator.join("abc"))
    return [row for table in read_rows(io.BytesIO(content), header) for row in table.to_pylist()]


@given(ROWS, st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]), st.sampled_from([",", ";", "\t"]))
@settings(max_examples=200, deadline=None)
def test_what_was_written_is_read_with_its_lines(rows: list[tuple[str, ...]], quoting: Any, separator: str) -> None:
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=separator, quoting=quoting, lineterminator="\n")
    lines: list[int] = []
    for row in rows:
        lines.append(2 + written.getvalue().count("\n"))
        writer.writerow(row)
    found = read(written.getvalue().encode(), separator)
    assert [(row["c0"], row["c1"], row["c2"]) for row in found] == rows
    assert [row["line"] for row in found] == lines
    assert all(row["malformed"] is None for row in found)


@given(st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"").replace(b"\r", b"")), max_size=12))
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_rows_or_reasons_and_never_an_error(lines: list[bytes]) -> None:
    found = read(b"\n".join(lines))
    assert [row["line"] for row in found] == sorted({row["line"] for row in found})
    assert all((row["malformed"] is None) == (row["text"] is None) for row in found)


@given(
    st.lists(
        st.sampled_from([b"1,2,3", b'"1",2,"a""b"', b"1,2", b'1,"2,3', b"", b'"x\ny",2,3', b"1,\xff,3"]), max_size=25
    )
)
@settings(max_examples=100, deadline=None)
def test_size_of_a_block_changes_nothing(lines: list[bytes]) -> None:
    content = b"\n".join([*lines, b""])
    whole = read(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_rows, "BLOCK_BYTES", 12)
        assert read(content) == whole


def test_line_after_a_broken_quote_is_read() -> None:
    found = read(b'1,"2,3\n4,5,6\n7,"8",9\n')
    assert [(row["line"], row["c0"]) for row in found] == [(2, None), (3, "4"), (4, "7")]
    assert found[0]["text"] == '1,"2,3' and "quotes" in found[0]["malformed"]


def test_separator_is_the_one_that_cuts_the_header_most() -> None:
    assert read_header('a;"b,c";d').names == ("a", "b,c", "d")
    assert read_header("only").names == ("only",)
    assert read_header(" a , b ").names == ("a", "b")
