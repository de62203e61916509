from __future__ import annotations

import csv
import gzip
import random
import shutil
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.parquet as pq
import pytest

from sentinel.config import Columns, Source, load_config
from sentinel.data.ingestion import Ingested, ingest
from sentinel.data.simulator import simulate
from sentinel.errors import ConfigInvalid, DataContractError, DiskFull
from sentinel.paths import find_paths
from sentinel.storage import listing, sha256_file

HEADER = "id,time,customer,merchant,amount,fraud"
COLUMNS: dict[str, Any] = {
    "transaction_id": "id",
    "event_timestamp": "time",
    "customer_id": "customer",
    "merchant_id": "merchant",
    "amount": "amount",
    "is_fraud": "fraud",
}
LENIENT = Source(max_quarantined_fraction=0.99)


def where(key: str) -> str:
    return f"bank.toml:{key}"


def row(number: int, **changed: object) -> str:
    values = {"id": number, "time": f"2025-06-01 12:{number // 60:02}:{number % 60:02}", "customer": 7, "merchant": 3,
              "amount": "12.34", "fraud": 0}  # fmt: skip
    return ",".join(str(value) for value in {**values, **changed}.values())


def written(path: Path, lines: Sequence[str], header: str = HEADER) -> Path:
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def run(
    tmp_path: Path, *sources: Path, source: Source = LENIENT, columns: dict[str, Any] | None = None
) -> tuple[Ingested, list[dict[str, Any]], list[dict[str, Any]]]:
    """What came out, the kept rows and the quarantined ones."""
    out = tmp_path / "out"
    ingested = ingest(sources, Columns(**(columns or COLUMNS)), source, out, where=where)
    kept, quarantined = (pq.read_table(out / f"{name}.parquet").to_pylist() for name in ("transactions", "quarantine"))
    assert (len(kept), len(quarantined)) == (ingested.rows, sum(ingested.quarantined.values()))
    assert ingested.source_rows == len(kept) + len(quarantined)
    assert sorted(path.name for path in out.iterdir()) == ["quarantine.parquet", "transactions.parquet"]
    return ingested, kept, quarantined


# What comes out


def test_row_becomes_the_contract(tmp_path: Path) -> None:
    _, kept, _ = run(tmp_path, written(tmp_path / "a.csv", [row(1, amount="0.29", fraud=1)]))
    assert kept == [{
        "transaction_id": 1,
        "event_timestamp": datetime(2025, 6, 1, 12, 0, 1, tzinfo=UTC),
        "customer_id": 7,
        "merchant_id": 3,
        "amount_minor": 29,
        "is_fraud": True,
    }]  # fmt: skip


def test_schema_is_the_contract(tmp_path: Path) -> None:
    columns = {**COLUMNS, "recorded_at": "time", "label_available_at": "time",
               "numeric": {"size": "amount"}, "categorical": {"shop": "merchant"}}  # fmt: skip
    run(tmp_path, written(tmp_path / "a.csv", [row(1)]), columns=columns)
    instant = pa.timestamp("us", "UTC")
    assert pq.read_schema(tmp_path / "out" / "transactions.parquet").equals(pa.schema([
        ("transaction_id", pa.int64()), ("event_timestamp", instant), ("recorded_at", instant),
        ("customer_id", pa.int64()), ("merchant_id", pa.int64()), ("amount_minor", pa.int64()),
        ("is_fraud", pa.bool_()), ("label_available_at", instant), ("size", pa.float64()), ("shop", pa.string()),
    ]))  # fmt: skip


def test_rows_are_sorted_by_time_then_id(tmp_path: Path) -> None:
    rows = [row(3, time="2025-06-02"), row(10, time="2025-06-01"), row(9, time="2025-06-01")]
    _, kept, _ = run(tmp_path, written(tmp_path / "a.csv", rows))
    assert [one["transaction_id"] for one in kept] == [9, 10, 3]


def test_order_and_spread_of_the_source_do_not_change_a_byte(tmp_path: Path) -> None:
    rows = [row(number, amount=f"{number}.10", fraud=number % 3 == 0) for number in range(1, 2000)]
    run(tmp_path, written(tmp_path / "a.csv", rows))
    expected = sha256_file(tmp_path / "out" / "transactions.parquet")
    random.Random(1).shuffle(rows)
    parts = tmp_path / "parts"
    parts.mkdir()
    written(parts / "b.csv", rows[:700])
    (parts / "c.csv.gz").write_bytes(gzip.compress("\n".join([HEADER, *rows[700:1500]]).encode()))
    turned = [",".join(reversed(one.split(","))) for one in rows[1500:]]
    table = arrow_csv.read_csv(written(tmp_path / "d.csv", turned, ",".join(reversed(HEADER.split(",")))))
    pq.write_table(table, parts / "d.parquet")
    run(tmp_path, parts)
    assert sha256_file(tmp_path / "out" / "transactions.parquet") == expected


def test_empty_quarantine_has_the_source_columns(tmp_path: Path) -> None:
    run(tmp_path, written(tmp_path / "a.csv", [row(1)]))
    names = pq.read_schema(tmp_path / "out" / "quarantine.parquet").names
    assert names == ["reason", "detail", "source_file", "source_line", "source_text", *HEADER.split(",")]


def test_unknown_label_stays_unknown_and_has_no_time(tmp_path: Path) -> None:
    columns = {**COLUMNS, "label_available_at": "seen"}
    rows = [row(1, fraud="", seen="2025-06-03"), row(2, fraud=1, seen="2025-06-03"), row(3, fraud=0, seen="")]
    _, kept, _ = run(tmp_path, written(tmp_path / "a.csv", rows, HEADER + ",seen"), columns=columns)
    seen = datetime(2025, 6, 3, tzinfo=UTC)
    assert [(one["is_fraud"], one["label_available_at"]) for one in kept] == [(None, None), (True, seen), (False, None)]


@pytest.mark.parametrize(
    ("ids", "expected"),
    [
        (["1", "2"], [1, 2]),
        (["1", "007"], ["1", "007"]),
        (["1", "A2"], ["1", "A2"]),
        (["1", "9223372036854775808"], ["1", "9223372036854775808"]),
        (["-1", str(2**63 - 1)], [-1, 2**63 - 1]),
        (["1", "2.0"], ["1", "2.0"]),
    ],
)
def test_ids_are_numbers_only_when_all_are(tmp_path: Path, ids: list[str], expected: list[object]) -> None:
    rows = [row(number, customer=one) for number, one in enumerate(ids)]
    _, kept, _ = run(tmp_path, written(tmp_path / "a.csv", rows))
    assert [one["customer_id"] for one in kept] == expected


def test_stray_id_of_a_quarantined_row_does_not_make_the_others_text(tmp_path: Path) -> None:
    """Joined exports repeat their header in the middle."""
    _, kept, quarantined = run(tmp_path, written(tmp_path / "a.csv", [row(1), HEADER, row(2)]))
    assert [one["transaction_id"] for one in kept] == [1, 2]
    assert [one["source_line"] for one in quarantined] == [3]


def test_declared_column_may_have_any_name(tmp_path: Path) -> None:
    names = ("select", "order", "line", "file", "fault")
    columns = {
        **COLUMNS,
        "numeric": dict.fromkeys(names[2:], "amount"),
        "categorical": dict.fromkeys(names[:2], "customer"),
    }
    _, kept, _ = run(tmp_path, written(tmp_path / "a.csv", [row(1), row(2, fraud="?")]), columns=columns)
    assert [kept[0][name] for name in names] == ["7", "7", 12.34, 12.34, 12.34]


# What is quarantined


@pytest.mark.parametrize(
    ("changed", "reason", "detail"),
    [
        ({"id": ""}, "null_key", "transaction_id"),
        ({"customer": " "}, "null_key", "customer_id"),
        ({"merchant": ""}, "null_key", "merchant_id"),
        ({"time": ""}, "null_key", "event_timestamp"),
        ({"time": "yesterday"}, "unparsable_time", "event_timestamp"),
        ({"time": "2025-02-30"}, "impossible_time", "event_timestamp"),
        ({"amount": "free"}, "amount_not_a_number", "amount_minor"),
        ({"amount": "1e30"}, "amount_out_of_range", "amount_minor"),
        ({"fraud": "maybe"}, "unknown_label", "is_fraud"),
        ({"id": "1"}, "duplicate_id", "transaction_id"),
    ],
)
def test_broken_row_is_kept_apart_as_it_was(tmp_path: Path, changed: dict[str, str], reason: str, detail: str) -> None:
    broken = row(2, **changed)
    ingested, kept, quarantined = run(tmp_path, written(tmp_path / "a.csv", [row(1), broken, row(3)]))
    assert ingested.quarantined == {reason: 1} and [one["transaction_id"] for one in kept] == [1, 3]
    own = {"reason": reason, "detail": detail, "source_file": "a.csv", "source_line": 3, "source_text": None}
    assert quarantined == [own | dict(zip(HEADER.split(","), broken.split(","), strict=True))]


def test_label_before_its_event_is_impossible(tmp_path: Path) -> None:
    rows = [row(1, seen="2025-06-01 11:59:59"), row(2, seen="2025-06-01 12:00:02")]
    columns = {**COLUMNS, "label_available_at": "seen"}
    _, kept, quarantined = run(tmp_path, written(tmp_path / "a.csv", rows, HEADER + ",seen"), columns=columns)
    assert len(kept) == 1 and quarantined[0]["detail"] == "label_available_at"


def test_of_equal_ids_the_earliest_stays_wherever_it_stands(tmp_path: Path) -> None:
    rows = [row(1, time="2025-06-03"), row(1, time="2025-06-01", amount=5), row(1, time="2025-06-01", amount=4), row(2)]
    for order in (rows, rows[::-1]):
        _, kept, quarantined = run(tmp_path, written(tmp_path / "a.csv", order))
        assert [(one["transaction_id"], one["amount_minor"]) for one in kept] == [(1, 400), (2, 1234)]
        assert {one["amount"] for one in quarantined} == {"5", "12.34"}


def test_broken_row_does_not_take_the_id_of_a_good_one(tmp_path: Path) -> None:
    _, kept, quarantined = run(tmp_path, written(tmp_path / "a.csv", [row(1, time="2025-05-01", fraud="?"), row(1)]))
    assert len(kept) == 1 and [one["reason"] for one in quarantined] == ["unknown_label"]


def test_same_row_in_two_files_is_a_duplicate_of_the_second(tmp_path: Path) -> None:
    files = [written(tmp_path / f"{name}.csv", [row(1)]) for name in "ab"]
    _, _, quarantined = run(tmp_path, *files)
    assert [one["source_file"] for one in quarantined] == ["b.csv"]


def test_file_named_twice_is_read_once(tmp_path: Path) -> None:
    folder = tmp_path / "bank"
    folder.mkdir()
    file = written(folder / "a.csv", [row(1)])
    ingested, _, _ = run(tmp_path, file, folder)
    assert ingested.source_rows == 1


def test_corrections_share_an_id_when_they_were_recorded_apart(tmp_path: Path) -> None:
    rows = [
        row(1, recorded="2025-06-02"),
        row(1, recorded="2025-06-03"),
        row(1, recorded="2025-06-03"),
        row(2, recorded=""),
    ]
    columns = {**COLUMNS, "recorded_at": "recorded"}
    ingested, kept, _ = run(tmp_path, written(tmp_path / "a.csv", rows, HEADER + ",recorded"), columns=columns)
    assert [one["recorded_at"].day for one in kept] == [2, 3]
    assert ingested.quarantined == {"duplicate_id": 1, "null_key": 1}


def test_source_column_named_like_one_of_the_quarantine(tmp_path: Path) -> None:
    rows = [row(1, reason="why"), row(2, fraud="?", reason="because")]
    _, _, quarantined = run(tmp_path, written(tmp_path / "a.csv", rows, HEADER + ",reason"))
    assert (quarantined[0]["reason"], quarantined[0]["source_reason"]) == ("unknown_label", "because")


def test_parquet_rows_are_counted_from_one(tmp_path: Path) -> None:
    table = pa.table({
        "id": [1, None, 3],
        "time": [datetime(2025, 6, 1)] * 3,
        "customer": ["a"] * 3,
        "merchant": [1] * 3,
        "amount": [1.5, 2.5, 3.5],
        "fraud": [True, False, None],
        "tags": [["x"], [], None],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    _, kept, quarantined = run(tmp_path, tmp_path / "a.parquet")
    assert [one["transaction_id"] for one in kept] == [1, 3]
    assert quarantined[0]["source_line"] == 2 and quarantined[0]["amount"] == "2.5" and quarantined[0]["tags"] == "[]"


def test_integers_that_met_a_null_are_still_integers(tmp_path: Path) -> None:
    """pandas makes such a column float."""
    customers = pa.array(["a"] * 3).dictionary_encode()
    table = pa.table({
        "id": [1.0, None, 3.0],
        "time": ["2025-06-01"] * 3,
        "customer": customers,
        "merchant": [1] * 3,
        "amount": [1] * 3,
        "fraud": pa.nulls(3),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    _, kept, _ = run(tmp_path, tmp_path / "a.parquet")
    assert [one["transaction_id"] for one in kept] == [1, 3]


# CSV as it is found


def test_rows_that_csv_cannot_read_are_quarantined_with_their_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    lines = [HEADER, row(1), "2,short", row(3) + ",extra", '4,"broken"quote,1,1,1,1', '5,"never closed,1,1,1,1', row(6)]
    path.write_bytes("\n".join(lines).encode() + b"\n7,2025-06-01,\xff,1,1,1\n" + row(8).encode())
    _, kept, quarantined = run(tmp_path, path)
    assert [one["transaction_id"] for one in kept] == [1, 6, 8]
    assert [(one["source_line"], one["reason"]) for one in quarantined] == [
        (line, "malformed_row") for line in (3, 4, 5, 6, 8)
    ]
    assert quarantined[0]["source_text"] == "2,short" and quarantined[0]["detail"] == "2 fields instead of 6"
    assert quarantined[0]["id"] is None


def test_quoted_line_ends_do_not_shift_the_lines(tmp_path: Path) -> None:
    rows = [row(1, customer='"two\nlines"'), "", row(2, customer='"a, ""b"""'), row(3, fraud="?")]
    _, kept, quarantined = run(tmp_path, written(tmp_path / "a.csv", rows))
    assert [one["customer_id"] for one in kept] == ["two\nlines", 'a, "b"']
    assert [one["source_line"] for one in quarantined] == [6]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("begin", ["", "\ufeff"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
def test_dialects_give_the_same_rows(tmp_path: Path, separator: str, end: str, begin: str, quoting: Any) -> None:
    with (tmp_path / "a.csv").open("w", newline="", encoding="utf-8") as file:
        file.write(begin)
        writer = csv.writer(file, delimiter=separator, lineterminator=end, quoting=quoting)
        writer.writerows(line.split(",") for line in [HEADER, row(1), row(2, customer="x é"), row(3, fraud="?")])
    _, kept, quarantined = run(tmp_path, tmp_path / "a.csv")
    assert [(one["transaction_id"], one["customer_id"]) for one in kept] == [(1, "7"), (2, "x é")]
    assert [one["source_line"] for one in quarantined] == [4]


def test_both_ways_to_read_csv_agree(tmp_path: Path) -> None:
    """A quoted line end far down makes its block be read record by record; the others go the fast way."""
    rows = [row(number, customer=f'"{number}"' if number % 7 else number) for number in range(1, 1200)]
    run(tmp_path, written(tmp_path / "a.csv", rows))
    fast = sha256_file(tmp_path / "out" / "transactions.parquet")
    run(tmp_path, written(tmp_path / "a.csv", [*rows, ""]))
    assert sha256_file(tmp_path / "out" / "transactions.parquet") == fast


def test_last_line_without_an_end_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("\n".join([HEADER, row(1), row(2)]))
    assert run(tmp_path, path)[0].rows == 2


# Time zones and clock changes


def test_local_times_around_the_clock_changes(tmp_path: Path) -> None:
    times = ["2025-03-30 01:59:59", "2025-03-30 02:30:00", "2025-03-30 03:00:00", "2025-10-26 02:30:00",
             "2025-10-26 02:30:00+02:00"]  # fmt: skip
    rows = [row(number, time=time) for number, time in enumerate(times)]
    source = Source(time_zone="Europe/Berlin", max_quarantined_fraction=0.5)
    _, kept, quarantined = run(tmp_path, written(tmp_path / "a.csv", rows), source=source)
    by_id = {one["transaction_id"]: one["event_timestamp"] for one in kept}
    assert by_id[2] - by_id[0] == datetime(2025, 1, 1, 0, 0, 1) - datetime(2025, 1, 1)
    assert (by_id[3] - by_id[4]).total_seconds() == 3600
    assert [(one["id"], one["reason"]) for one in quarantined] == [("1", "impossible_time")]


def test_unknown_zone_names_the_line(tmp_path: Path) -> None:
    with pytest.raises(ConfigInvalid, match=r"bank.toml:source.time_zone.*Europe/Berlin_"):
        run(tmp_path, written(tmp_path / "a.csv", [row(1)]), source=Source(time_zone="Europe/Berlin_"))


# What fails, and what stays


@pytest.fixture
def before(tmp_path: Path) -> dict[str, str]:
    """An earlier ingestion's folder, by digest."""
    run(tmp_path, written(tmp_path / "before.csv", [row(1)]))
    return listing(tmp_path / "out")


def refused(tmp_path: Path, before: dict[str, str], *sources: Path, **more: Any) -> str:
    with pytest.raises(DataContractError) as caught:
        run(tmp_path, *sources, **more)
    assert listing(tmp_path / "out") == before
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".partial")]
    return str(caught.value)


def test_too_many_broken_rows_fail_and_are_shown(tmp_path: Path, before: dict[str, str]) -> None:
    rows = [*(row(number) for number in range(97)), row(97, fraud="?"), row(98, time="1/2/2025"), row(99, fraud="??")]
    message = refused(tmp_path, before, written(tmp_path / "a.csv", rows), source=Source(max_quarantined_fraction=0.02))
    assert "3 of 100 rows (3.00%)" in message and "bank.toml:source.max_quarantined_fraction" in message
    assert "2 unknown_label is_fraud (first: '?' in a.csv, line 99)" in message
    assert "1 unparsable_time event_timestamp (first: '1/2/2025' in a.csv, line 100)" in message
    rejected = tmp_path / "out.rejected.parquet"
    assert str(rejected) in message and pq.read_table(rejected)["source_line"].to_pylist() == [99, 100, 101]
    run(tmp_path, written(tmp_path / "a.csv", rows), source=Source(max_quarantined_fraction=0.03))
    assert not rejected.exists()


def test_exactly_the_allowed_fraction_passes(tmp_path: Path) -> None:
    rows = [row(number, fraud="?" if number < 29 else 0) for number in range(100)]
    assert run(tmp_path, written(tmp_path / "a.csv", rows), source=Source(max_quarantined_fraction=0.29))[0].rows == 71


def test_misspelt_column_names_the_nearest_and_the_line(tmp_path: Path, before: dict[str, str]) -> None:
    message = refused(tmp_path, before, written(tmp_path / "a.csv", [row(1)]), columns={**COLUMNS, "amount": "Amonut"})
    assert message.startswith("bank.toml:columns.amount: columns.amount names the column 'Amonut'")
    assert "a.csv" in message and "nearest name there is 'amount'" in message


def test_column_missing_in_one_file_names_the_file(tmp_path: Path, before: dict[str, str]) -> None:
    files = [written(tmp_path / "a.csv", [row(1)]), written(tmp_path / "b.csv", ["2"], header="id")]
    message = refused(tmp_path, before, *files)
    assert "b.csv" in message and "'time'" in message


def test_optional_column_may_be_absent(tmp_path: Path) -> None:
    optional = {"source": "key", "optional": True}
    columns = {**COLUMNS, "categorical": {"answer": optional}}
    plain, full = written(tmp_path / "a.csv", [row(1)]), written(tmp_path / "b.csv", [row(2, key="x")], HEADER + ",key")
    assert "answer" not in run(tmp_path, plain, columns=columns)[1][0]
    assert [one["answer"] for one in run(tmp_path, plain, full, columns=columns)[1]] == [None, "x"]


@pytest.mark.parametrize("content", ["", HEADER, HEADER + "\n\n"])
def test_empty_source(tmp_path: Path, before: dict[str, str], content: str) -> None:
    path = tmp_path / "a.csv"
    path.write_text(content)
    assert "is empty" in (message := refused(tmp_path, before, path)) or "no rows" in message


def test_folder_without_tables(tmp_path: Path, before: dict[str, str]) -> None:
    (tmp_path / "bank").mkdir()
    (tmp_path / "bank" / "notes.txt").write_text("x")
    assert "holds no CSV or Parquet file" in refused(tmp_path, before, tmp_path / "bank")


def test_source_that_is_not_there(tmp_path: Path, before: dict[str, str]) -> None:
    assert "There is no file or folder" in refused(tmp_path, before, tmp_path / "nowhere.csv")


@pytest.mark.parametrize("cut", [0.3, 0.7, 0.999])
def test_truncated_gzip(tmp_path: Path, before: dict[str, str], cut: float) -> None:
    packed = gzip.compress("\n".join([HEADER, *(row(number) for number in range(3000))]).encode())
    (tmp_path / "a.csv.gz").write_bytes(packed[: int(len(packed) * cut)])
    assert "cut off" in refused(tmp_path, before, tmp_path / "a.csv.gz")


@pytest.mark.parametrize("damage", ["truncated", "page"])
def test_damaged_parquet(tmp_path: Path, before: dict[str, str], damage: str) -> None:
    simulate(tmp_path / "a.parquet", 5000, seed=1)
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    if damage == "truncated":
        content = content[: len(content) // 2]
    else:
        content[100:2000] = bytes(1900)
    (tmp_path / "b.parquet").write_bytes(content)
    names = {"id": "transaction_id", "time": "event_time", "customer": "customer_id", "merchant": "merchant_id",
             "amount": "amount", "fraud": "label"}  # fmt: skip
    columns = {name: names[source] for name, source in COLUMNS.items()}
    assert "b.parquet cannot be read" in refused(tmp_path, before, tmp_path / "b.parquet", columns=columns)


def test_text_of_parquet_that_is_no_utf8(tmp_path: Path) -> None:
    text = pa.array([b"M\xfcller", b"M\xc3\xbcller", "\ufffd".encode()])
    foreign = pa.Array.from_buffers(pa.string(), 3, text.buffers())  # as a writer that does not check
    lines = arrow_csv.read_csv(written(tmp_path / "a.csv", [row(1), row(2), row(3)]))
    pq.write_table(lines.set_column(2, "customer", foreign).append_column("remark", foreign), tmp_path / "a.parquet")
    _, kept, quarantined = run(tmp_path, tmp_path / "a.parquet")
    assert [one["customer_id"] for one in kept] == ["Müller", "\ufffd"]
    fields = ("reason", "detail", "source_line", "customer", "remark")
    assert [[one[field] for field in fields] for one in quarantined] == [
        ["malformed_row", "bytes that are no UTF-8", 1, "M\ufffdller", "M\ufffdller"]
    ]


def test_excel_file_and_other_text_are_told_apart(tmp_path: Path, before: dict[str, str]) -> None:
    (tmp_path / "a.csv").write_bytes(b"PK\x03\x04rest")
    assert "ZIP or Excel" in refused(tmp_path, before, tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text(HEADER + "\n" + row(1), encoding="utf-16")
    assert "UTF-8" in refused(tmp_path, before, tmp_path / "b.csv")


def test_column_named_twice(tmp_path: Path, before: dict[str, str]) -> None:
    message = refused(tmp_path, before, written(tmp_path / "a.csv", [row(1, again=1)], HEADER + ",id"))
    assert "more than one column 'id'" in message


def test_every_row_broken_leaves_nothing_to_write(tmp_path: Path, before: dict[str, str]) -> None:
    path = written(tmp_path / "a.csv", [row(1, fraud="?")])
    assert "nothing is left" in refused(tmp_path, before, path, source=Source(max_quarantined_fraction=1.0))


def test_label_word_with_two_meanings_is_refused(tmp_path: Path) -> None:
    source = Source.model_validate({"labels": {"fraud": ["yes"], "genuine": ["no", "YES"]}})
    with pytest.raises(ConfigInvalid, match=r"bank.toml:source.labels.genuine.*'YES'"):
        run(tmp_path, written(tmp_path / "a.csv", [row(1)]), source=source)


def test_folder_with_the_source_or_other_files_is_never_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    path = written(out / "a.csv", [row(1)])
    with pytest.raises(ConfigInvalid, match="lies in"):
        run(tmp_path, path)
    with pytest.raises(ConfigInvalid, match=r"holds 'a.csv'"):
        run(tmp_path, written(tmp_path / "b.csv", [row(1)]))
    assert path.exists()


def test_source_is_not_touched(tmp_path: Path) -> None:
    path = written(tmp_path / "a.csv", [row(1), row(2, fraud="?")])
    path.chmod(0o444)
    digest, changed = sha256_file(path), path.stat().st_mtime_ns
    run(tmp_path, path)
    assert (sha256_file(path), path.stat().st_mtime_ns) == (digest, changed)


def test_no_room_is_said_before_anything_is_written(
    tmp_path: Path, before: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(DiskFull):
        run(tmp_path, written(tmp_path / "a.csv", [row(1)]))
    assert listing(tmp_path / "out") == before


# The two together


def test_simulated_data_come_in_whole_with_the_default_config(tmp_path: Path) -> None:
    config = load_config(find_paths(Path(__file__), {}).configs / "default.toml")
    simulate(tmp_path / "source.parquet", 20_000, seed=7)
    seen: list[float] = []
    ingested = ingest(
        [tmp_path / "source.parquet"], config.columns, config.source, tmp_path / "out", where=config.where,
        progress=lambda done, total, doing="": seen.append(done / total),
    )  # fmt: skip
    source, kept = pq.read_table(tmp_path / "source.parquet"), pq.read_table(tmp_path / "out" / "transactions.parquet")
    assert ingested.quarantined == {} and ingested.rows == 20_000
    assert ingested.frauds == source["label"].to_pylist().count("fraud") > 50
    assert kept["transaction_id"].equals(source["transaction_id"])
    assert kept["event_timestamp"].equals(source["event_time"])
    assert kept["label_available_at"].equals(source["label_available_at"])
    assert kept["amount_minor"].to_pylist() == [int(amount * 100) for amount in source["amount"].to_pylist()]
    assert seen == sorted(seen) and seen[-1] == 1.0
