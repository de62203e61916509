"""A stage runs again exactly when something that it depends on changed, or its stored output did."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prefect import flow
from prefect.client.orchestration import get_client

import tasks
from sentinel.artifacts import RawData, ValidatedData
from sentinel.config import load_config
from sentinel.errors import DataContractError, ServiceUnavailable
from sentinel.paths import Paths
from sentinel.storage import complete_folder, sha256_path
from tasks.events import Event, StageAdvanced, StageEnded, listener
from tasks.run import Code, Run
from tasks.stage import Stage, Work, stage
from tests.conftest import ROOT
from tests.main_job.project import SPEC

pytestmark = pytest.mark.usefixtures("prefect_server")

RAW = RawData(path="data", sha256="a" * 64, version="v1", rows=10, frauds=1, transactions_sha256="b" * 64)


def make_run(tmp_path: Path, lock: str = "lock") -> Run:
    (tmp_path / "sentinel").mkdir(exist_ok=True)
    (tmp_path / "sentinel" / "part.py").write_text("x = 1\n")
    config = load_config(ROOT / "configs" / "handbook.toml")
    paths = Paths(tmp_path, tmp_path / "home")
    return Run("run", config, paths, "sqlite://", Path("cpu.lock"), lock, Code("none", False))


def make_stage(
    calls: list[str], settings: list[str] | None = None, name: str = "validate"
) -> Stage[[RawData], ValidatedData]:
    values = settings if settings is not None else ["1d"]

    def body(work: Work, raw: RawData) -> ValidatedData:
        calls.append(raw.version)
        work.progress(1, 2, "halfway")
        with complete_folder(work.out) as folder:
            (folder / "verdict.json").write_text("{}")
        return ValidatedData(
            path=work.run.paths.relative(work.out), sha256=sha256_path(work.out), transactions="data/t.parquet",
            transactions_sha256=raw.transactions_sha256, expectations=1, rows=raw.rows,
        )  # fmt: skip

    body.__name__ = name
    return stage(code=("sentinel/part.py",), settings=lambda run: [values], timeout=timedelta(minutes=1))(body)


def in_a_flow(run: Run, one: Stage[[RawData], ValidatedData], raw: RawData = RAW) -> ValidatedData:
    @flow
    def around() -> ValidatedData:
        return one(run, raw)

    return around()


def test_unchanged_stage_is_not_run_again(tmp_path: Path) -> None:
    calls: list[str] = []
    run, one = make_run(tmp_path), make_stage(calls)
    first, second = in_a_flow(run, one), in_a_flow(run, one)
    assert calls == ["v1"]
    assert first == second
    assert [record.cached for record in run.stages] == [False, True]


@pytest.mark.parametrize("changed", ["input", "setting", "code", "lock"])
def test_change_of_anything_it_depends_on_runs_it_again(tmp_path: Path, changed: str) -> None:
    calls: list[str] = []
    settings = ["1d"]
    run, one = make_run(tmp_path), make_stage(calls, settings)
    in_a_flow(run, one)
    raw = RAW
    if changed == "input":
        raw = replace(RAW, transactions_sha256="c" * 64)
    elif changed == "setting":
        settings.append("7d")
    elif changed == "code":
        # in a run of its own: a process reads its own code once
        other = tmp_path / "other"
        (other / "sentinel").mkdir(parents=True)
        (other / "sentinel" / "part.py").write_text("x = 2\n")
        run = replace(run, paths=Paths(other, run.paths.home))
    else:
        run = replace(run, lock_sha256="another")
    in_a_flow(run, one, raw)
    assert len(calls) == 2


def test_another_window_asks_for_features_anew_and_leaves_the_validation_as_it_is(tmp_path: Path) -> None:
    default, spec = (ROOT / "configs" / "default.toml").read_text(), SPEC.read_text()
    (tmp_path / "own.toml").write_text(f'{default}\n[features]\nspec = "features.toml"\n')
    validated = ValidatedData(
        path="v", sha256="d" * 64, transactions="data/t.parquet", transactions_sha256="b" * 64, expectations=1, rows=10
    )  # fmt: skip
    keys: list[tuple[str, str]] = []
    for text in (spec, spec, spec.replace('"30d"', '"28d"')):
        (tmp_path / "features.toml").write_text(text)
        paths = Paths(ROOT, tmp_path / "home")
        run = replace(make_run(tmp_path), config=load_config(tmp_path / "own.toml"), paths=paths)
        keys.append((tasks.validate.key(run, RAW), tasks.features.key(run, validated)))
    first, same, other = keys
    assert same == first
    assert other[0] == first[0] and other[1] != first[1]


@pytest.mark.parametrize("damage", ["flipped", "deleted", "added"])
def test_stored_output_counts_only_while_its_digest_holds(tmp_path: Path, damage: str) -> None:
    calls: list[str] = []
    run, one = make_run(tmp_path), make_stage(calls)
    stored = in_a_flow(run, one).locate(run.paths.home)
    if damage == "flipped":
        (stored / "verdict.json").write_text("[]")
    elif damage == "deleted":
        (stored / "verdict.json").unlink()
    else:
        (stored / "more.json").write_text("{}")
    again = in_a_flow(run, one)
    assert len(calls) == 2
    assert again.holds(run.paths.home)
    in_a_flow(run, one)
    assert len(calls) == 2


def test_listener_hears_progress_and_outcome(tmp_path: Path) -> None:
    heard: list[Event] = []
    token = listener.set(heard.append)
    try:
        run, one = make_run(tmp_path), make_stage([])
        in_a_flow(run, one)
        in_a_flow(run, one)
    finally:
        listener.reset(token)
    assert StageAdvanced("validate", 1, 2, "halfway") in heard
    assert [event.outcome for event in heard if isinstance(event, StageEnded)] == ["done", "cached"]


def test_slow_stage_shows_its_progress_in_the_ui(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tasks.stage._PROGRESS_PAUSE_S", 0.0)
    in_a_flow(make_run(tmp_path), make_stage([], name="champion_features"))
    with get_client(sync_client=True) as client:
        keys = [artifact.key for artifact in client.read_artifacts()]
    assert "champion-features-progress" in keys


@pytest.mark.parametrize(("error", "attempts"), [(ServiceUnavailable("gone"), 2), (DataContractError("bad"), 1)])
def test_only_a_service_that_does_not_answer_is_asked_again(tmp_path: Path, error: Exception, attempts: int) -> None:
    calls: list[str] = []

    def body(work: Work, raw: RawData) -> ValidatedData:
        calls.append(raw.version)
        raise error

    body.__name__ = "validate"
    one = stage(code=(), settings=lambda run: [], timeout=timedelta(minutes=1), retries=1)(body)
    with pytest.raises(type(error), match=str(error)):
        in_a_flow(make_run(tmp_path), one)
    assert len(calls) == attempts
