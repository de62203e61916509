"""`sentinel models` on a real embedded registry."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import build_app
from sentinel.artifacts import Release
from sentinel.paths import Paths
from sentinel.promotion.decisions import Verdict
from sentinel.promotion.mlflow_server import connect
from sentinel.promotion.registry import Registry
from tests.promotion.standins import packaged, stages

ROOT = Path(__file__).parents[2]


@pytest.fixture
def released(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Registry, Release]:
    """The project with a state of its own, in which version 1 serves."""
    name = f"m-{tmp_path.name}".lower().replace("_", "-")[:40]
    config = (ROOT / "configs" / "default.toml").read_text().replace('name = "default"', f'name = "{name}"')
    (tmp_path / "own.toml").write_text(config)
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.chdir(ROOT)
    client = connect(database)
    run_id = client.create_run(client.get_experiment_by_name("tests").experiment_id).info.run_id
    release = packaged(stages(tmp_path / "home", run_id=run_id), name=name)[2]
    registry = Registry(database, name, Paths(ROOT, tmp_path / "home"))
    verdict = Verdict("promoted", "Every gate passed.")
    registry.decide(registry.register(release), verdict, decided_by="test", decided_at=datetime.now(UTC))
    return registry, release


def sentinel(tmp_path: Path, *words: str) -> str:
    result = CliRunner().invoke(build_app(), ["models", *words, "--config", str(tmp_path / "own.toml")])
    if result.exception:
        raise result.exception
    return result.stdout


def test_show_and_list_speak_json(released: tuple[Registry, Release], tmp_path: Path) -> None:
    document = json.loads(sentinel(tmp_path, "show", "--json"))

    assert (document["version"], document["decision"]) == ("1", "promoted")
    assert document == released[0].show("champion") == json.loads(sentinel(tmp_path, "show", "challenger", "--json"))
    assert json.loads(sentinel(tmp_path, "list", "--json")) == [document]


def test_show_and_list_speak_to_people(released: tuple[Registry, Release], tmp_path: Path) -> None:
    shown = sentinel(tmp_path, "show")

    assert "version 1 (challenger, champion): promoted" in shown
    assert "better_than_champion  not applicable" in shown
    assert "at most 12 alerts a day" in " ".join(shown.split())
    assert re.search(r"country +<DE> +500 +60 +1\.5 +0\.5", shown)
    assert "promoted" in sentinel(tmp_path, "list")


def test_show_from_the_shell_loads_no_mlflow(released: tuple[Registry, Release], tmp_path: Path) -> None:
    script = (
        "import sys; sys.argv = ['sentinel', 'models', 'list', '--json', '--config', sys.argv[1]]\n"
        "from flows.cli import build_app\n"
        "build_app()(standalone_mode=False)\n"
        "print(sorted({'mlflow', 'torch', 'sklearn', 'prefect', 'onnxruntime'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "own.toml")], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert json.loads(done.stdout)[0]["version"] == "1"
    assert done.stderr.strip() == "[]"


def test_features_that_are_gone_are_told_when_a_version_is_verified_and_by_the_doctor(
    released: tuple[Registry, Release], tmp_path: Path
) -> None:
    verified = json.loads(sentinel(tmp_path, "verify", "champion", "--json"))
    (told,) = verified["lost_features"]
    assert verified["holds"] and "of the champion (version 1 of m-" in told and "not registered here" in told

    doctor = CliRunner().invoke(build_app(), ["doctor", "--json", "--config", str(tmp_path / "own.toml")])
    found = [each for each in json.loads(doctor.stdout)["findings"] if each["check"] == "features in use"]
    assert {each["status"] for each in found} == {"warning"}
    assert told in [each["found"] for each in found]
