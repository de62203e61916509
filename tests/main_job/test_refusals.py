"""What a run refuses, it refuses with a sentence and an exit code, before a weight is touched."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.main_job.project import SENTINEL, Project, make_project

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("project"), transactions=3_000)


def test_data_that_break_an_expectation_end_the_run_before_training(project: Project) -> None:
    with project.config.open("a") as config:
        config.write("\n[validation]\nmin_rows = 1_000_000\n")
    done = project.sentinel("run", "--config", "configs/small.toml")
    assert done.returncode == 5
    assert "3,000" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (project.home / "stages" / "small" / "train").exists()
    assert not (project.home / "mlflow").exists()


def test_prefect_server_that_does_not_answer_is_named(project: Project) -> None:
    done = project.sentinel("run", "--config", "configs/small.toml", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert done.returncode == 10
    assert "http://127.0.0.1:9/api" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["run", "--config", "configs/none.toml"], 2, "configs/none.toml"),
        (["run", "--nonsense"], 2, "--nonsense"),
        (["models", "show", "--config", "configs/small.toml"], 8, "small"),
        (["data", "ingest", "nowhere.csv"], 3, "nowhere.csv"),
    ],
)
def test_mistake_ends_in_a_sentence(project: Project, words: list[str], code: int, told: str) -> None:
    done = project.sentinel(*words)
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_outside_a_project_it_says_where_to_go(tmp_path: Path) -> None:
    done = subprocess.run([str(SENTINEL), "run"], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert "configs/default.toml" in done.stderr
