"""What is knowable only later waits, and what a restart, a lost store or another feature set needs is written again."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from sentinel.config import Features
from sentinel.features.online.materialize import bring_online
from sentinel.features.online.reader import Asked, read_vectors
from sentinel.features.online.store import open_online
from sentinel.features.online.stream import opening
from sentinel.features.online.stream.clock import Clock
from sentinel.features.online.stream.dead_letters import DeadLetters
from sentinel.features.online.stream.sources import Batch, StandardInput
from tests.features.online.stream.data import label_line, offline_rows, table_of, transaction_line, us, wanted_of
from tests.features.project import START, Project, columns_of, row

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
NAME = "tiny"


class Wall:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.moment = START + DAY

    def __call__(self) -> int:
        return us(self.moment)


@pytest.fixture
def wall() -> Wall:
    return Wall()


def known_row(number: int, after: timedelta, **values: Any) -> dict[str, Any]:
    """With a label that is known a day later, unless said otherwise."""
    return row(number, after, **{"is_fraud": True, "label_available_at": START + after + DAY, **values})


def online(project: Project, past: list[dict[str, Any]], out: str = "table") -> None:
    table = project.build(table_of(past), columns_of(past[0]), name=NAME, out=out)
    with closing(open_online(project.paths, NAME, None)) as rows:
        bring_online(table.locate(project.paths.home), rows, spill=project.folder / "spill")


def take(stream: opening.OpenStream, *lines: bytes) -> None:
    numbered = [(f"line {n}", line) for n, line in enumerate(lines)]
    letters = DeadLetters(stream.letters, None)
    stream.current().take(StandardInput(), Batch(numbered, None), stream.schema, letters)


def vector(project: Project, wall: Wall, rules: Features | None = None) -> dict[str, int | None]:
    """Of customer 1, asked now."""
    wanted = wanted_of([known_row(0, 0 * DAY)], rules or project.rules)
    with closing(open_online(project.paths, NAME, None)) as rows:
        (found,) = read_vectors(rows, wanted, [Asked({"customer_id": 1}, wall())])
    return dict(zip(wanted.columns, found.values, strict=True))


def test_a_label_and_a_transaction_wait_until_they_are_knowable(tmp_path: Path, wall: Wall) -> None:
    project = Project(tmp_path)
    online(project, [known_row(0, 0 * DAY, label_available_at=START + HOUR)])
    new = known_row(1, DAY)
    with opening.open_stream(project.paths, NAME, None, wall_us=wall) as stream:
        take(stream, transaction_line(new), label_line(new))
        assert vector(project, wall)["customer_count_30d"] == 1  # recorded, and the lag has not passed
        wall.moment += timedelta(seconds=1)
        take(stream)
        assert vector(project, wall)["customer_count_30d"] == 2
        wall.moment = START + 2 * DAY - timedelta(microseconds=1)
        take(stream)
        assert vector(project, wall)["customer_label_count_30d"] == 1
    wall.moment += timedelta(microseconds=1)
    with opening.open_stream(project.paths, NAME, None, wall_us=wall):  # what came due meanwhile
        assert vector(project, wall)["customer_label_count_30d"] == 2


def test_every_feature_set_that_is_online_is_kept_up_to_date(
    tmp_path: Path, wall: Wall, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "RENEWED_S", 0)
    project = Project(tmp_path)
    past = [known_row(0, 0 * DAY, label_available_at=START + HOUR)]
    other = Features(ingestion_lag=timedelta(minutes=5))
    online(project, past)
    with opening.open_stream(project.paths, NAME, None, wall_us=wall) as stream:
        take(stream, transaction_line(known_row(1, DAY - HOUR)))
        online(Project(tmp_path, other), past, "another table")  # a new model's, while the stream runs
        take(stream, transaction_line(known_row(2, DAY - HOUR / 2)))
        assert {each.hash for each in stream.sets} == {wanted_of(past, rules).hash for rules in (project.rules, other)}
    for rules in (project.rules, other):
        assert vector(project, wall, rules)["customer_count_30d"] == 3


def test_a_store_that_was_emptied_gets_back_what_was_streamed(tmp_path: Path, wall: Wall) -> None:
    project = Project(tmp_path)
    past = [known_row(0, 0 * DAY, label_available_at=START + HOUR)]
    online(project, past)
    with opening.open_stream(project.paths, NAME, None, wall_us=wall) as stream:
        take(stream, transaction_line(known_row(1, DAY - HOUR)))
    for file in project.paths.feast(NAME).glob("online.db*"):
        file.unlink()
    with closing(open_online(project.paths, NAME, None)) as rows:
        bring_online(project.paths.home / "table", rows, spill=tmp_path / "spill")
    assert vector(project, wall)["customer_count_30d"] == 1
    with opening.open_stream(project.paths, NAME, None, wall_us=wall):
        assert vector(project, wall)["customer_count_30d"] == 2


def test_newer_data_and_streamed_events_meet(tmp_path: Path, wall: Wall) -> None:
    """The nightly table knows a label that the stream was never sent; the stream, a transaction that it lacks."""
    project = Project(tmp_path)
    first = known_row(0, 0 * DAY, is_fraud=None, label_available_at=None)
    streamed = [known_row(1, 12 * HOUR), known_row(2, 20 * HOUR)]
    online(project, [first])
    with opening.open_stream(project.paths, NAME, None, wall_us=wall) as stream:
        take(stream, *map(transaction_line, streamed))
    labelled = {**first, "is_fraud": True, "label_available_at": START + 13 * HOUR}
    online(project, [labelled, {**streamed[0], "is_fraud": None, "label_available_at": None}], "night")
    with opening.open_stream(project.paths, NAME, None, wall_us=wall) as stream:
        take(stream, transaction_line(streamed[0]))
        assert stream.counts.duplicates == 1
    known = [labelled, *({**each, "is_fraud": None, "label_available_at": None} for each in streamed)]
    expected = offline_rows(known, wanted_of(known, project.rules), tmp_path / "offline", wall())
    with closing(open_online(project.paths, NAME, None)) as rows:
        assert rows.read(list(expected)) == list(expected.values())


def test_the_clock_is_the_walls_for_data_of_today_and_the_datas_own_otherwise() -> None:
    month = 30 * 86_400_000_000
    wall = [1000 * month]

    def clock(end_us: int) -> Clock:
        return Clock(end_us, month, lambda: wall[0])

    assert clock(wall[0] - 5).now_us() == wall[0]
    history = clock(10 * month)
    assert history.now_us() == 10 * month
    history.see(11 * month)
    history.see(10 * month)
    assert history.now_us() == 11 * month
    simulated = clock(wall[0] + 5)
    assert simulated.now_us() == wall[0] + 5
    wall[0] -= month  # a wall clock that is set back
    assert simulated.now_us() == 1000 * month + 5


def test_newer_data_let_the_journal_forget_what_nothing_can_reach(tmp_path: Path, wall: Wall) -> None:
    project = Project(tmp_path)
    old = [known_row(0, 0 * DAY), known_row(1, 0 * DAY, is_fraud=None, label_available_at=None)]
    online(project, old)
    with opening.open_stream(project.paths, NAME, None, wall_us=wall) as stream:
        take(stream, transaction_line(known_row(2, DAY - HOUR), with_label=True))
        assert sorted(stream.journal.versions_of(range(9))) == [0, 1, 2]
    wall.moment += 70 * DAY
    online(project, [*old, known_row(3, 70 * DAY, is_fraud=None, label_available_at=None)], "later")
    with opening.open_stream(project.paths, NAME, None, wall_us=wall) as stream:
        assert sorted(stream.journal.versions_of(range(9))) == [1, 3]  # 1 still waits for its label
