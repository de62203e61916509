"""The stage runs again when the online store has lost what its stored output speaks of."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import redis
from prefect import flow

import tasks
from sentinel.artifacts import FeatureTable, OnlineFeatures
from sentinel.config import Features, load_config
from sentinel.errors import ServiceUnavailable
from sentinel.features.online.store import online_file
from tasks.materialize import online_state
from tasks.run import Code, Run
from tests.conftest import ROOT
from tests.features.project import Project, columns_of
from tests.redis_server import redis_server
from tests.tables import canonical_table

pytestmark = pytest.mark.usefixtures("prefect_server")


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path, Features())
    for folder in ("tasks", "sentinel/features"):
        (made.paths.root / folder).mkdir(parents=True)
    return made


@pytest.fixture
def table(project: Project) -> FeatureTable:
    rows = canonical_table(60)
    return project.build(rows, columns_of(dict.fromkeys(rows.column_names)), name="default")


def run_of(project: Project, redis_url: str | None = None) -> Run:
    config = load_config(ROOT / "configs" / "default.toml")
    return Run("r", config, project.paths, "sqlite://", Path("cpu.lock"), "lock", Code("c", True), redis_url)


def materialize(run: Run, table: FeatureTable) -> OnlineFeatures:
    @flow
    def around() -> OnlineFeatures:
        return tasks.materialize(run, table)

    return around()


def test_deleted_file_and_emptied_redis_are_filled_again(project: Project, table: FeatureTable, tmp_path: Path) -> None:
    run = run_of(project)
    first = materialize(run, table)
    assert materialize(run, table) == first
    for file in online_file(project.paths, "default").parent.glob("online.db*"):
        file.unlink()
    assert materialize(run, table) == first
    with redis_server(tmp_path) as url, redis.Redis.from_url(url) as client:
        on_redis = replace(run, redis_url=url)
        assert materialize(on_redis, table).store == "redis"
        materialize(on_redis, table)
        client.flushall()
        assert not online_state(on_redis, first).is_online
        assert materialize(on_redis, table).rows == first.rows
        assert online_state(on_redis, first).is_online
    assert [stage.cached for stage in run.stages] == [False, True, False, False, True, False]


def test_redis_that_does_not_answer_is_told_with_the_line_that_names_it(project: Project, table: FeatureTable) -> None:
    with pytest.raises(ServiceUnavailable, match=r"redis://127.0.0.1:1/0 .*default.toml"):
        materialize(run_of(project, "redis://127.0.0.1:1/0"), table)
