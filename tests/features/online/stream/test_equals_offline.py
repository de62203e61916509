"""Whatever is streamed, in whatever portions, ends in the rows that an offline build of the same data has."""

from __future__ import annotations

import shutil
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sentinel.features.online.sqlite_rows import SqliteRows
from sentinel.features.online.stream.base import Base, load_base
from sentinel.features.online.stream.clock import Clock
from sentinel.features.online.stream.dead_letters import DeadLetters
from sentinel.features.online.stream.ingest import Stream
from sentinel.features.online.stream.journal import Journal
from sentinel.features.online.stream.schema import EventSchema
from sentinel.features.online.stream.sources import Batch, StandardInput
from tests.features.online.stream.data import (
    EPOCH,
    fields_of,
    known,
    label_arrival,
    label_line,
    offline_rows,
    tables,
    transaction_line,
    us,
    wanted_of,
    write,
)  # fmt: skip
from tests.features.project import LAG, START

LONGEST_US = 30 * 86_400_000_000
MUCH_LATER = START + timedelta(days=3650)


@pytest.fixture(scope="module")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stream")


class Ingestion:
    """A journal and a store in a folder, opened again whenever the process is thought to have been started anew."""

    def __init__(self, folder: Path, rows: list[dict[str, Any]], until_us: int) -> None:
        self.wanted = wanted_of(rows)
        self.store = SqliteRows(folder / "online.db")
        self._fields = fields_of(rows)
        self._folder = folder
        self._base = Base(write(rows, folder / "base.parquet"), "digest")
        self._until_us = until_us
        self._letters = DeadLetters(folder / "dead.jsonl", None)
        self._open()

    def take(self, lines: list[bytes]) -> None:
        numbered = [(f"line {n}", line) for n, line in enumerate(lines)]
        self._stream.take(StandardInput(), Batch(numbered, None), EventSchema(self._fields), self._letters)
        assert self._stream.counts.rejected == 0

    def reopen(self) -> None:
        self._journal.close()
        self._open()

    def close(self) -> None:
        self._journal.close()
        self.store.close()

    @property
    def now_us(self) -> int:
        return self._clock.now_us()

    def _open(self) -> None:
        has_recorded_at = self._fields.has_recorded_at
        self._journal = Journal(self._folder / "stream.db", tuple(self._fields.keys), has_recorded_at=has_recorded_at)
        end = load_base(self._journal, self._base, [self.wanted], until_us=self._until_us)
        self._clock = Clock(end + us(EPOCH + LAG), LONGEST_US, wall_us=lambda: us(MUCH_LATER))
        self._stream = Stream(self._journal, self.store, [self.wanted], self._clock)
        self._stream.catch_up({self.wanted.hash: us(START) - LONGEST_US})


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(rows=tables(), data=st.data())
def test_streamed_rows_equal_an_offline_build(
    shared_folder: Path, rows: list[dict[str, Any]], data: st.DataObject
) -> None:
    shutil.rmtree(shared_folder)
    shared_folder.mkdir()
    cut = data.draw(st.sampled_from(sorted({known(row) for row in rows})))
    events = [(known(row), 0, n, transaction_line(row)) for n, row in enumerate(rows) if known(row) > cut]
    for n, row in enumerate(rows):
        arrived = label_arrival(row)
        if arrived is not None and (arrived > cut or known(row) > cut):
            events.append((max(arrived, known(row)), 1, n, label_line(row)))
    events.sort()
    if "recorded_at" not in rows[0] and data.draw(st.booleans()):  # late ones, but no label before its transaction
        transactions = data.draw(st.permutations([event for event in events if event[1] == 0]))
        events = [*transactions, *(event for event in events if event[1] == 1)]
    with closing(Ingestion(shared_folder, rows, us(cut))) as ingestion:
        while events:
            if data.draw(st.integers(0, 3)) == 0:
                ingestion.reopen()
            size = data.draw(st.integers(1, 5))
            ingestion.take([line for *_, line in events[:size]])
            events = events[size:]
        expected = offline_rows(rows, ingestion.wanted, shared_folder / "offline", ingestion.now_us)
        found = ingestion.store.read(list(expected))
    assert dict(zip(expected, found, strict=True)) == expected
