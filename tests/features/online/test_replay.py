"""The replay proof holds on both stores, and finds each way in which a store can be wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from sentinel.features.online.replay import ReplayReport, replay, replay_table
from sentinel.features.online.rows import Key, OnlineRow
from sentinel.features.online.sqlite_rows import SqliteRows
from sentinel.features.online.stream.base import base_of
from sentinel.features.online.stream.online_sets import table_fields
from sentinel.features.spec import FeatureSet
from tests.features.online.built import NAME, build, opened
from tests.features.project import Project
from tests.tables import canonical_table

LENGTH = timedelta(days=3)
DAYS = 40


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def built(project: Project, **options: Any) -> Path:
    table = canonical_table(1500, seed=4, days=DAYS, customers=12, merchants=8, with_declared=False, **options)
    return build(project, table).locate(project.paths.home)


@pytest.mark.parametrize("options", [{"with_recorded_at": True}, {"string_ids": True, "with_label_time": False}])
def test_each_vector_is_online_what_it_is_offline(
    project: Project, store_url: str | None, options: dict[str, Any]
) -> None:
    folder = built(project, **options)
    if "with_recorded_at" in options:  # the data themselves are asked for, where a transaction has versions
        data = project.paths.data(NAME)
        data.mkdir(parents=True)
        (project.paths.home / "transactions.parquet").rename(data / "transactions.parquet")
    with opened(project, store_url) as rows:
        before = [list(rows.held(view)) for view in ("customer_spending", "merchant_labels")]
    report = replay_table(project.paths, NAME, folder, store_url, length=LENGTH)
    wanted = FeatureSet.from_dict(json.loads((folder / "feature_set.json").read_text()))
    assert report.is_equal and report.examples == []
    assert report.vectors > 80 and report.values == report.vectors * len(wanted.columns)
    with opened(project, store_url) as rows:
        assert [list(rows.held(view)) for view in ("customer_spending", "merchant_labels")] == before


class Broken(SqliteRows):
    """A store that keeps its promises while it is filled, and breaks one from then on."""

    written = 0
    is_filled = False

    def note(self, subject: str, text: str) -> None:
        super().note(subject, text)
        self.is_filled = self.is_filled or (subject.startswith("materialized") and text != "")


class Dropping(Broken):
    def write(self, view: str, rows: Sequence[OnlineRow]) -> None:
        super().write(view, rows if not self.is_filled else rows[::2])


class OlderWins(Broken):
    """What a store does that only ever takes the first row of a key."""

    def write(self, view: str, rows: Sequence[OnlineRow]) -> None:
        if self.is_filled:
            held = super().read([(view, row.key) for row in rows])
            rows = [row for row, old in zip(rows, held, strict=True) if old is None]
        super().write(view, rows)


class CutToSeconds(Broken):
    def write(self, view: str, rows: Sequence[OnlineRow]) -> None:
        super().write(view, [row._replace(known_at_us=row.known_at_us // 1_000_000 * 1_000_000) for row in rows])


class OtherValues(Broken):
    def read(self, asked: Sequence[tuple[str, Key]]) -> list[OnlineRow | None]:
        found = super().read(asked)
        return [row and row._replace(values=(*row.values[:-1], (row.values[-1] or 0) + 1)) for row in found]


class Floats(Broken):
    def read(self, asked: Sequence[tuple[str, Key]]) -> list[OnlineRow | None]:
        found = super().read(asked)
        return [row and row._replace(values=tuple(v if v is None else float(v) for v in row.values)) for row in found]  # type: ignore[misc]


class Forgetful(Broken):
    def read(self, asked: Sequence[tuple[str, Key]]) -> list[OnlineRow | None]:
        return [None if "labels" in view else row for (view, _), row in zip(asked, super().read(asked), strict=True)]


class FromTheFuture(Broken):
    def write(self, view: str, rows: Sequence[OnlineRow]) -> None:
        later = 3_600_000_000 if self.is_filled else 0
        super().write(view, [row._replace(known_at_us=row.known_at_us + later) for row in rows])


@pytest.mark.parametrize(
    ("store", "cause"),
    [
        (Dropping, "stale"), (OlderWins, "stale"), (CutToSeconds, "type"), (OtherValues, "type"), (Floats, "code"),
        (Forgetful, "code"), (FromTheFuture, "late"),
    ],
)  # fmt: skip
def test_a_store_that_breaks_its_promise_is_found_with_the_cause(
    shared: tuple[Project, Path], tmp_path: Path, store: type[Broken], cause: str
) -> None:
    report = replayed(shared, store(tmp_path / "online.db"), tmp_path)
    assert not report.is_equal
    assert max(report.mismatches, key=lambda name: report.mismatches[name]) == cause
    assert report.examples[0]["offline"] != report.examples[0]["online"] or store is Floats


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Project, Path]:
    """A table whose moments have parts of a second."""
    project = Project(tmp_path_factory.mktemp("shared"))
    table = canonical_table(1500, seed=4, days=DAYS, customers=12, merchants=8, with_declared=False)
    moments = table.column("event_timestamp").cast("int64").to_pylist()
    shifted = [moment + n % 999_983 for n, moment in enumerate(moments)]
    kind = table.schema.field("event_timestamp").type
    table = table.set_column(1, "event_timestamp", pa.array(shifted, kind))
    return project, build(project, table).locate(project.paths.home)


def replayed(shared: tuple[Project, Path], store: SqliteRows, folder: Path) -> ReplayReport:
    project, table = shared
    wanted = FeatureSet.from_dict(json.loads((table / "feature_set.json").read_text()))
    with closing(store) as rows:
        base, fields = base_of(project.paths, NAME, table, wanted), table_fields(table, wanted)
        return replay(table, base, fields, rows, folder, length=LENGTH)


def test_an_expired_row_that_is_read_all_the_same_is_a_fault_of_the_ttl(
    shared: tuple[Project, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rare = canonical_table(300, seed=4, days=90, customers=60, merchants=40, with_declared=False)
    project = Project(tmp_path)
    table = build(project, rare).locate(project.paths.home)
    from sentinel.features.online import reader

    monkeypatch.setattr(reader, "microseconds", lambda _: 2**62)  # as stores do that know no ttl
    report = replayed((project, table), SqliteRows(tmp_path / "online.db"), tmp_path)
    assert report.mismatches["ttl"] == sum(report.mismatches.values()) > 0
