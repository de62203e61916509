"""The online store after a materialization, and after what can go wrong with one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest
import redis
from pyarrow import compute as pc

from sentinel.features.online.materialize import bring_online, materialize
from sentinel.features.online.proof import is_online
from sentinel.features.online.rows import OnlineRow, OnlineRows
from sentinel.features.online.store import online_file
from sentinel.features.spec import microseconds, view_name
from tests.conftest import ROOT
from tests.features.online.built import NAME, bring, build, feature_set_of, held, latest_rows, opened
from tests.features.project import Project, row, table_of
from tests.tables import canonical_table

DAY = timedelta(days=1)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """`table`: 90 days; `earlier`: its first 80 days, with the labels known by then."""
    made = Project(tmp_path_factory.mktemp("project"))
    whole = canonical_table(3000)
    build(made, whole, "table")
    cut = pa.scalar(datetime(2026, 1, 1, tzinfo=UTC) + 80 * DAY, pa.timestamp("us", "UTC"))
    known = pc.less_equal(whole["label_available_at"], cut)
    until = whole.set_column(
        whole.column_names.index("is_fraud"), "is_fraud", pc.if_else(known, whole["is_fraud"], None)
    ).set_column(
        whole.column_names.index("label_available_at"),
        "label_available_at",
        pc.if_else(known, whole["label_available_at"], None),
    )
    build(made, until.filter(pc.less_equal(whole["event_timestamp"], cut)), "earlier")
    return made


def test_online_stand_the_latest_rows_that_can_still_be_read(project: Project, rows: OnlineRows) -> None:
    done = bring(project, rows)
    expected = latest_rows(project.paths.home / "table", done.end_us)
    assert held(rows, project.paths.home / "table") == expected
    assert done.rows == done.written == len(expected)
    assert done.mismatches == () and done.sample.size > 300


def test_expired_rows_are_left_out(tmp_path: Path, store_url: str | None) -> None:
    project = Project(tmp_path)
    build(project, table_of([row(1, -31 * DAY, customer_id=5), row(2, -29 * DAY, customer_id=6), row(3, 0 * DAY)]))
    with opened(project, store_url) as rows:
        done = bring(project, rows)
        assert {key for _, (key,) in held(rows, project.paths.home / "table")} == {6, 1}
    assert done.rows == 2


def test_second_call_finds_nothing_to_do(project: Project, rows: OnlineRows) -> None:
    first = bring(project, rows)
    again = bring(project, rows)
    assert again.written == 0
    assert (again.rows, again.sample) == (first.rows, first.sample)


def test_newer_data_add_only_what_became_knowable_since(project: Project, rows: OnlineRows) -> None:
    earlier = bring(project, rows, "earlier")
    assert earlier.mismatches == ()
    later = bring(project, rows, "table")
    assert 0 < later.written < later.rows
    expected = latest_rows(project.paths.home / "table", later.end_us)
    found = held(rows, project.paths.home / "table")
    assert {asked: found[asked] for asked in expected} == expected
    assert later.mismatches == ()
    assert bring(project, rows, "table").written == 0


def test_table_of_older_data_takes_nothing_back(project: Project, rows: OnlineRows) -> None:
    bring(project, rows, "table")
    before = held(rows, project.paths.home / "table")
    assert bring(project, rows, "earlier").mismatches == ()
    after = held(rows, project.paths.home / "table")
    assert {asked: after[asked] for asked in before} == before


def test_store_that_was_emptied_is_filled_again(project: Project, redis_url: str) -> None:
    with opened(project, redis_url) as rows, redis.Redis.from_url(redis_url) as client:
        first = bring(project, rows)
        client.flushall()
        assert bring(project, rows).written == first.rows


def test_rows_that_a_stream_has_advanced_stay(project: Project, rows: OnlineRows) -> None:
    wanted = feature_set_of(project.paths.home / "table")
    view = wanted.views[0]
    name, end_us = view_name(view, wanted), bring(project, rows).end_us
    values = tuple(range(len(view.aggregates)))
    streamed = [OnlineRow((1,), end_us + 5, values), OnlineRow((10**9,), end_us + 5, values)]
    rows.write(name, streamed)
    again = bring(project, rows)
    rows.note(f"materialized:{wanted.hash}", "")
    everything = bring(project, rows)
    assert rows.read([(name, (1,)), (name, (10**9,))]) == streamed
    assert again.mismatches == everything.mismatches == ()


def test_rewritten_past_replaces_what_it_no_longer_has(tmp_path: Path, store_url: str | None) -> None:
    project = Project(tmp_path)
    kept = [row(number, number * DAY, customer_id=number) for number in range(1, 9)]
    taken_back = [row(20, 10 * DAY, customer_id=1), row(21, 9 * DAY, customer_id=77)]
    build(project, table_of([*kept, *taken_back]), "before")
    build(project, table_of([*kept, row(22, 11 * DAY, customer_id=5)]), "after")
    with opened(project, store_url) as rows:
        wrong = bring(project, rows, "before")
        wanted = feature_set_of(project.paths.home / "after")
        view = wanted.views[0]
        name, streamed = view_name(view, wanted), OnlineRow((3,), wrong.end_us + 1, (0,) * len(view.aggregates))
        rows.write(name, [streamed])
        done = bring(project, rows, "after")
        expected = latest_rows(project.paths.home / "after", done.end_us)
        assert held(rows, project.paths.home / "after") == {**expected, (name, (3,)): streamed}
        assert bring(project, rows, "after").written == 0


def test_keys_that_became_words_replace_those_that_were_numbers(tmp_path: Path, store_url: str | None) -> None:
    project = Project(tmp_path)
    numbers = [row(number, number * DAY, customer_id=number) for number in range(1, 5)]
    words = [{**each, "customer_id": str(each["customer_id"])} for each in numbers]
    build(project, table_of(numbers), "before")
    build(project, table_of([*words, row(9, 9 * DAY, customer_id="1")]), "after")
    folder = project.paths.home / "after"
    with opened(project, store_url) as rows:
        bring(project, rows, "before")
        done = bring(project, rows, "after")
        assert held(rows, folder) == latest_rows(folder, done.end_us)


KILLED = """
import os, signal, sys
from pathlib import Path
from sentinel.features.online.materialize import bring_online
from sentinel.features.online.store import open_online
from sentinel.paths import Paths

def die(done, total, doing=""):
    if done > float(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

home = Path(sys.argv[1])
rows = open_online(Paths(home, home), "tiny", sys.argv[4] if len(sys.argv) > 4 else None)
bring_online(home / sys.argv[2], rows, spill=home / "spill", progress=die)
"""


def test_killed_run_is_completed_by_the_next(
    project: Project, rows: OnlineRows, store_url: str | None, tmp_path: Path
) -> None:
    arguments = [str(tmp_path / "home"), str(project.paths.home / "table"), "2.9"]
    command = [sys.executable, "-c", KILLED, *arguments, *([store_url] if store_url else [])]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    partly = held(rows, project.paths.home / "table")
    done = bring(project, rows)
    expected = latest_rows(project.paths.home / "table", done.end_us)
    assert 0 < len(partly) < done.written == len(expected)
    assert held(rows, project.paths.home / "table") == expected
    assert bring(project, rows).written == 0


def test_killed_replacement_of_a_rewritten_past_is_completed_by_the_next(tmp_path: Path) -> None:
    project = Project(tmp_path / "one")
    kept = [row(number, number * DAY, customer_id=number) for number in range(1, 9)]
    build(project, table_of([*kept, row(20, 10 * DAY, customer_id=1)]), "before")
    build(project, table_of([*kept, row(21, 11 * DAY, customer_id=5)]), "after")
    home = project.paths.home
    with opened(project, None) as rows:
        bring(project, rows, "before")
    command = [sys.executable, "-c", KILLED, str(home), "after", "0.5"]
    assert subprocess.run(command, cwd=ROOT, check=False).returncode == -signal.SIGKILL
    with opened(project, None) as rows:
        done = bring(project, rows, "after")
        assert held(rows, home / "after") == latest_rows(home / "after", done.end_us)


def test_lost_rows_are_found_and_written_again(project: Project, redis_url: str) -> None:
    with opened(project, redis_url) as rows, redis.Redis.from_url(redis_url) as client:
        done = bring(project, rows)
        for view, found in done.sample.rows.items():
            client.delete(f"sentinel:{NAME}:{view}:{json.dumps(list(found[0].key), separators=(',', ':'))}")
        again = bring(project, rows)
        assert again.written == done.rows and again.mismatches == ()
        assert held(rows, project.paths.home / "table") == latest_rows(project.paths.home / "table", done.end_us)


def test_online_until_the_store_loses_or_changes_rows(project: Project, store_url: str | None, tmp_path: Path) -> None:
    mine = Project(tmp_path)
    made = build(mine, canonical_table(300))
    online = materialize(made, name=NAME, paths=mine.paths, redis_url=store_url, out=mine.paths.home / "online")
    folder = online.locate(mine.paths.home)
    assert online.holds(mine.paths.home)
    assert online.store == ("redis" if store_url else "sqlite")
    with opened(mine, store_url) as rows:
        state = is_online(folder, rows)
        assert state.is_online and state.mismatches == 0 and state.sampled > 50
        written = json.loads((folder / "online.json").read_text())
        name = written["views"][0]["view"]
        sampled = json.loads((folder / "sample.json").read_text())["rows"][name][0]
        rows.remove(name, [tuple(sampled[0])], sampled[1])
        state = is_online(folder, rows)
        assert not state.is_online and state.mismatches == 1 and "no row" in state.reason
        rows.write(name, [OnlineRow(tuple(sampled[0]), sampled[1], (0,) * len(sampled[2]))])
        assert not is_online(folder, rows).is_online
        rows.note(f"materialized:{written['feature_set_hash']}", "")
        state = is_online(folder, rows)
        assert not state.is_online and "sentinel features materialize" in state.reason
    assert written["rows"] == written["written"] == online.rows


def test_deleted_file_is_not_online(tmp_path: Path) -> None:
    project = Project(tmp_path)
    made = build(project, canonical_table(300))
    online = materialize(made, name=NAME, paths=project.paths, redis_url=None, out=project.paths.home / "online")
    for file in online_file(project.paths, NAME).parent.glob("online.db*"):
        file.unlink()
    with opened(project, None) as rows:
        assert not is_online(online.locate(project.paths.home), rows).is_online


def test_string_keys_and_corrections_come_online_like_any_other(tmp_path: Path, store_url: str | None) -> None:
    project = Project(tmp_path)
    build(project, canonical_table(400, string_ids=True, with_recorded_at=True))
    with opened(project, store_url) as rows:
        done = bring(project, rows)
        assert done.mismatches == ()
        assert held(rows, project.paths.home / "table") == latest_rows(project.paths.home / "table", done.end_us)


def test_old_data_speak_as_of_their_end_and_hide_nothing_behind_a_later_label(tmp_path: Path) -> None:
    project = Project(tmp_path)
    build(project, table_of([row(1, 0 * DAY, is_fraud=True), row(2, 3 * DAY, is_fraud=False), row(3, 8 * DAY)]))
    with opened(project, None) as rows:
        done = bring(project, rows)
        folder = project.paths.home / "table"
        assert held(rows, folder) == latest_rows(folder, done.end_us)
        wanted = feature_set_of(folder)
        (found,) = rows.read([(view_name(wanted.views[1], wanted), (1,))])
    assert found is not None and found.values[wanted.views[1].columns.index("customer_fraud_count_30d")] == 1
    assert found.known_at_us < done.end_us


def test_recent_data_speak_as_of_now_and_later_labels_follow(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    recent = [
        {**row(1, 0 * DAY, is_fraud=True), "event_timestamp": now - 9 * DAY},
        {**row(2, 0 * DAY, is_fraud=True), "event_timestamp": now - 8 * DAY},
        {**row(3, 0 * DAY, is_fraud=True), "event_timestamp": now - 3 * DAY},
    ]
    project = Project(tmp_path)
    build(project, table_of(recent))
    folder = project.paths.home / "table"
    with opened(project, None) as rows:
        done = bring(project, rows)
        now_us = int(now.timestamp() * 1e6)
        assert held(rows, folder) == latest_rows(folder, done.end_us, now_us)
        wanted = feature_set_of(folder)
        (found,) = rows.read([(view_name(wanted.views[1], wanted), (1,))])
        assert found is not None and found.known_at_us == now_us - microseconds(DAY)
        assert bring(project, rows).written == 0


def test_store_can_be_filled_as_of_any_moment(project: Project, rows: OnlineRows) -> None:
    moment = microseconds(datetime(2026, 2, 15, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC))
    done = bring(project, rows, until_us=moment)
    assert done.end_us == moment
    assert held(rows, project.paths.home / "table") == latest_rows(project.paths.home / "table", moment)


def test_progress_goes_forward_to_the_end(project: Project, rows: OnlineRows) -> None:
    told: list[tuple[float, float]] = []
    bring_online(
        project.paths.home / "table", rows, spill=project.folder / "spill",
        progress=lambda done, total, doing="": told.append((done, total)),
    )  # fmt: skip
    parts = [done for done, _ in told]
    assert parts == sorted(parts) and told[-1][0] == told[-1][1] == 5
