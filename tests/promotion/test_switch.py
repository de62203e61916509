"""The one switch: two promoters at once, kills at every step, locks. Real processes on real registries."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.artifacts import RegisteredVersion, Release
from sentinel.errors import ChampionMoved, RecordInvalid, ServiceUnavailable
from sentinel.paths import Paths
from sentinel.promotion.decisions import sentences_against_chain
from sentinel.promotion.keys import public_keys
from sentinel.promotion.registry import Registry
from sentinel.promotion.store.contract import Change, Swap
from tests.promotion.killed import killed_at_every_step
from tests.promotion.releases import PROMOTED, RIVAL, decide, laid_out

Made = list[tuple[Release, Path]]
OLD = {"challenger": "3", "champion": "1", "previous": "3"}
NEW = {"challenger": "3", "champion": "2", "previous": "1"}
_MOVED = 13  # the exit code of ChampionMoved


@pytest.fixture
def versions(any_registry: Registry, releases: Made) -> list[RegisteredVersion]:
    """Version 1 serves; 2 and 3 were both judged against it."""
    chosen = (releases[0], releases[1], releases[RIVAL - 1])
    registered = [any_registry.register(laid_out(any_registry, made)) for made in chosen]
    decide(any_registry, registered[0])
    return registered


def holds(registry: Registry) -> bool:
    return sentences_against_chain(registry.paths.decisions(registry.name), public_keys(registry.paths.keys)) == []


def test_kill_at_every_step_of_a_promotion_leaves_the_old_or_the_new_and_a_repeat_finishes_it(
    any_registry: Registry, versions: list[RegisteredVersion]
) -> None:
    registry, kept = any_registry, any_registry.paths.home / "kept"
    shutil.copytree(registry.paths.home / "decisions", kept)
    found: list[str] = []

    def prepare() -> None:
        shutil.rmtree(registry.paths.home / "decisions")
        shutil.copytree(kept, registry.paths.home / "decisions")
        before = Swap(registry.catalogue().champion, "1")
        swap = None if before.before == "1" else before
        tags = {"2": {"decision": "undecided", "champion_warrant": ""}}
        registry.store().apply(Change(swap, {"previous": "3"}, tags))

    def check(number: int) -> None:
        at_once = registry.catalogue().champion
        registry.switch().look()  # whoever takes the lock next makes it whole
        catalogue, chain = registry.catalogue(), registry.chain()
        assert at_once == catalogue.champion
        decided = catalogue.find("2").tags["decision"]
        whole = (catalogue.aliases, len(chain), decided)
        assert whole in ((OLD, 1, "undecided"), (NEW, 2, "promoted")), number
        found.append(catalogue.aliases["champion"])
        decide(registry, versions[1])
        assert registry.catalogue().aliases == NEW
        assert [entry["champion_after"] for entry in registry.chain()] == ["1", "2"]
        assert holds(registry)

    steps = killed_at_every_step(prepare, lambda: _decide(registry, versions[1]), check)
    assert steps >= 6
    assert set(found) == {"1", "2"} and found == sorted(found)  # one moment decides


def test_of_two_promoters_at_once_exactly_one_wins_and_the_other_is_told(
    any_registry: Registry, versions: list[RegisteredVersion], releases: Made, tmp_path: Path
) -> None:
    other = any_registry
    if any_registry.tracking_uri.startswith("postgresql"):  # a machine of its own shares the database's lock alone
        other = replace(any_registry, paths=Paths(tmp_path, tmp_path / "elsewhere"))
        laid_out(other, releases[RIVAL - 1])
    codes = _at_once(lambda: _decide(any_registry, versions[1]), lambda: _decide(other, versions[2]))
    assert sorted(codes) == [0, _MOVED]
    winner = "2" if codes[0] == 0 else "3"
    assert any_registry.catalogue().aliases == {"challenger": "3", "champion": winner, "previous": "1"}
    moves = [(one["champion_before"], one["champion_after"]) for one in any_registry.chain()]
    assert moves in ([(None, "1"), ("1", winner)], [(None, "1")])
    assert len(other.chain()) + len(any_registry.chain()) in (2, 4)


def test_lock_in_the_database_is_told_where_it_covers_and_where_not(tmp_path: Path) -> None:
    def covers(uri: str, database: str | None = None) -> str:
        return Registry(uri, "x", Paths(tmp_path, tmp_path), database).lock.covers

    assert "db.example:5432/mlflow, on all machines" in covers("postgresql://me:secret@db.example:5432/mlflow")
    assert "on all machines" in covers("http://mlflow.example", "postgresql://db.example/mlflow")
    assert "other machines are not covered" in covers("http://mlflow.example")
    assert "one machine" in covers("sqlite:///x.db")


def test_writer_that_never_ends_is_named_instead_of_waited_for(postgres: str, tmp_path: Path) -> None:
    by_file = Registry("sqlite:///none.db", "busy", Paths(tmp_path, tmp_path / "one")).lock
    homes = [Paths(tmp_path, tmp_path / home) for home in ("two", "three")]
    for held, wanted, named in (
        (by_file, by_file, f'"pid": {os.getpid()}'),
        (Registry(postgres, "busy", homes[0]).lock, Registry("http://x", "busy", homes[1], postgres).lock, "pg_locks"),
    ):
        with held.held(), pytest.raises(ServiceUnavailable, match=named), wanted.held(patience_s=1):
            pass
        with wanted.held(patience_s=1), wanted.held("registration", patience_s=1):
            pass


def test_lock_of_a_killed_writer_is_free(postgres: str, tmp_path: Path) -> None:
    lock = Registry(postgres, "killed", Paths(tmp_path, tmp_path)).lock
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        with lock.held():
            os.write(told, b"x")
            time.sleep(60)
        os._exit(0)
    os.read(ready, 1)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    with lock.held(patience_s=20):
        pass


def test_journal_that_is_damaged_is_a_sentence(embedded: Registry) -> None:
    file = embedded.switch().journal.file
    file.parent.mkdir(parents=True)
    file.write_text('{"entry": {}}')
    with pytest.raises(RecordInvalid, match=r"journal, a decision that was being carried out, cannot be read"):
        embedded.switch().look()


def _decide(registry: Registry, version: RegisteredVersion) -> None:
    from tests.promotion.releases import NOW

    registry.decide(version, PROMOTED, decided_by="run 1", decided_at=NOW)


def _at_once(*acts: Callable[[], None]) -> list[int]:
    """Each in a process of its own; their exit codes."""
    waiting, start = os.pipe()
    children: list[int] = []
    for act in acts:
        child = os.fork()
        if child == 0:
            try:
                os.read(waiting, 1)
                act()
                os._exit(0)
            except ChampionMoved as error:
                told = str(error)
                os._exit(_MOVED if "Nothing was moved" in told or "somebody else moved" in told else 4)
            except BaseException:
                os._exit(5)
        children.append(child)
    os.write(start, b"x" * len(acts))
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
