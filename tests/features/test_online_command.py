"""`sentinel features materialize`, run as a command in a project of its own."""

from __future__ import annotations

import json
import os
import shutil
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from flows.cli.features import app
from sentinel.config import load_config
from sentinel.errors import ConfigInvalid, ServiceUnavailable
from sentinel.features.online.store import online_file
from tests.features.project import HERE, Project
from tests.features.test_command import NEEDED
from tests.redis_server import redis_server
from tests.tables import canonical_table

runner = CliRunner()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path)
    (made.paths.root / "configs").mkdir(parents=True)
    (made.paths.root / "configs" / "default.toml").write_text(NEEDED)
    shutil.copy(HERE / "pyproject.toml", made.paths.root)
    for name, value in os.environ.items():
        monkeypatch.setenv(name, value)  # so that what the command sets is taken back
    monkeypatch.delenv("REDIS_URL", raising=False)
    monkeypatch.setenv("SENTINEL_HOME", str(made.paths.home))
    monkeypatch.chdir(made.paths.root)
    return made


def build(project: Project) -> None:
    config = load_config(project.paths.configs / "default.toml")
    project.rules = config.features
    project.build(canonical_table(200), config.columns, out="stages/tiny/features/0123456789abcdef")


def register(file: Path, aliases: dict[str, str]) -> None:
    """One version for each alias and its feature set."""
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{file}", f"sqlite:///{file}")
    client.create_registered_model("tiny")
    for alias, feature_set in aliases.items():
        made = client.create_model_version("tiny", str(file.parent), tags={"feature_set_hash": feature_set})
        client.set_registered_model_alias("tiny", alias, made.version)


def answer() -> dict[str, Any]:
    done = runner.invoke(app, ["materialize", "--json"], catch_exceptions=False)
    return json.loads(done.stdout)


def test_store_is_filled_once_and_says_so_the_second_time(project: Project) -> None:
    build(project)
    shown = runner.invoke(app, ["materialize"], catch_exceptions=False, env={"COLUMNS": "100"}).stdout
    assert "written now" in shown and "customer_merchant_spending" in shown and "on sqlite" in shown
    assert online_file(project.paths, "tiny").is_file()
    (again,) = answer()["feature_sets"]
    assert again["written"] == 0 and again["rows"] > 100 and again["mismatches"] == 0
    assert again["used_by"] == ["configuration"]
    assert "nothing to do" in runner.invoke(app, ["materialize"], catch_exceptions=False).stdout


def test_features_of_champion_and_challenger_are_brought_online_too(project: Project, empty_database: Path) -> None:
    build(project)
    other = project.rules
    project.rules = other.model_copy(update={"ingestion_lag": timedelta(hours=2)})
    config = load_config(project.paths.configs / "default.toml")
    champions = project.build(
        canonical_table(200), config.columns, out="stages/tiny/champion_features/0123456789abcdef"
    )
    project.paths.mlflow_database.parent.mkdir(parents=True)
    register(
        shutil.copy(empty_database, project.paths.mlflow_database),
        {"champion": champions.feature_set_hash, "challenger": answer()["feature_sets"][0]["feature_set_hash"],
         "previous": "f" * 64},
    )  # fmt: skip
    done = runner.invoke(app, ["materialize", "--json"], catch_exceptions=False)
    used = {each["feature_set_hash"]: each["used_by"] for each in json.loads(done.stdout)["feature_sets"]}
    assert used.pop(champions.feature_set_hash) == ["champion"]
    assert list(used.values()) == [["configuration", "challenger"]]
    assert "ffffffffffff of the previous have no built table" in " ".join(done.stderr.split())


def test_one_line_of_the_configuration_chooses_redis(project: Project, tmp_path: Path) -> None:
    build(project)
    file = project.paths.configs / "default.toml"
    with redis_server(tmp_path) as url:
        file.write_text(f'{NEEDED}[services]\nredis_url = "{url}"\n')
        done = answer()
        assert done["store"] == "redis" and done["feature_sets"][0]["written"] > 100
        assert answer()["feature_sets"][0]["written"] == 0
    assert not online_file(project.paths, "tiny").exists()
    line = file.read_text().splitlines().index(f'redis_url = "{url}"') + 1
    refused = runner.invoke(app, ["materialize"])
    assert isinstance(refused.exception, ServiceUnavailable)
    assert url in str(refused.exception) and f"default.toml:{line}" in str(refused.exception)


def test_features_that_were_never_built_cannot_be_brought_online(project: Project) -> None:
    refused = runner.invoke(app, ["materialize"])
    assert isinstance(refused.exception, ConfigInvalid) and "sentinel run" in str(refused.exception)
