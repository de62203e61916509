"""`sentinel models verify` and `sentinel keys` on a real embedded registry, and where there is none."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import build_app
from sentinel.errors import ConfigInvalid, RecordInvalid
from sentinel.paths import Paths
from sentinel.promotion.decisions import Verdict, head_of
from sentinel.promotion.keys import create_keys, fingerprint
from sentinel.promotion.mlflow_server import connect
from sentinel.promotion.registry import Registry
from tests.promotion.standins import packaged, stages

ROOT = Path(__file__).parents[2]
NAME = "verified"


@dataclass(frozen=True)
class Served:
    """A project whose version 1 serves. `release`: its folder."""

    paths: Paths
    config: Path
    release: Path

    @property
    def public(self) -> Path:
        return self.paths.keys / "signing.pub"

    def verify(self, *words: str) -> str:
        return sentinel("models", "verify", *words, "--config", str(self.config))


def sentinel(*words: str) -> str:
    result = CliRunner().invoke(build_app(), list(words))
    if result.exception:
        raise result.exception
    return result.stdout


@pytest.fixture(scope="module")
def home(database: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "home"
    client = connect(database)
    run_id = client.create_run(client.get_experiment_by_name("tests").experiment_id).info.run_id
    paths = Paths(ROOT, folder)
    release = packaged(stages(folder, run_id=run_id), name=NAME, keys=paths.keys)[2]
    registry = Registry(database, NAME, paths)
    verdict = Verdict("promoted", "Every gate passed.")
    registry.decide(registry.register(release), verdict, decided_by="test", decided_at=datetime.now(UTC))
    return folder


@pytest.fixture
def served(home: Path, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Served:
    paths = Paths(ROOT, Path(shutil.copytree(home, tmp_path / "home")))
    text = (ROOT / "configs" / "default.toml").read_text().replace('name = "default"', f'name = "{NAME}"')
    (tmp_path / "own.toml").write_text(text)
    monkeypatch.setenv("SENTINEL_HOME", str(paths.home))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.chdir(ROOT)
    return Served(paths, tmp_path / "own.toml", next(paths.releases(NAME).iterdir()))


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)


def test_version_alias_and_folder_hold(served: Served, tmp_path: Path) -> None:
    for wanted in ("champion", "1", str(served.release), f"{served.release}/"):
        told = json.loads(served.verify(wanted, "--json"))
        assert told["holds"] and told["passed"] and told["wrong"] == []
        assert told["decisions"] == str(served.paths.decisions(NAME))
        assert told["version"] == (None if "/" in wanted else "1")
    assert served.verify("champion").startswith("Holds: every file, the signature, every gate")

    (served.paths.keys / "signing.key").unlink()
    elsewhere = shutil.copytree(served.release, tmp_path / "elsewhere" / "copy")
    assert json.loads(served.verify(str(elsewhere), "--json"))["decisions"] == str(served.paths.decisions(NAME))
    shutil.rmtree(served.paths.home / "decisions")
    shutil.rmtree(served.release)
    assert json.loads(served.verify(str(elsewhere), "--json"))["decisions"] is None


def test_folder_verifies_where_there_is_no_project_and_the_public_key_only(
    served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = tmp_path / "machine"
    shutil.copytree(served.release, machine / served.release.name)
    public = shutil.copy(served.public, machine / "signer.pub")
    monkeypatch.delenv("SENTINEL_HOME")
    monkeypatch.chdir(machine)

    words = ("models", "verify", f"./{served.release.name}", "--public-key", str(public), "--json")
    assert json.loads(sentinel(*words))["holds"]
    assert json.loads(sentinel("models", "verify", served.release.name, *words[3:]))["holds"]
    with pytest.raises(ConfigInvalid, match="No Sentinel project"):
        sentinel(*words[:3])


def test_everything_that_does_not_hold_is_listed_with_its_file_and_exit_code_8(served: Served) -> None:
    chain = served.paths.decisions(NAME)
    damaged = [served.release / "card.md", served.release / "model.sig", chain, head_of(chain)]
    for file in damaged:
        damage(file)

    for wanted in ("champion", "1", str(served.release)):
        result = CliRunner().invoke(build_app(), ["models", "verify", wanted, "--config", str(served.config), "--json"])
        told = json.loads(result.stdout)
        assert (result.exit_code, told["holds"], told["error"]["type"]) == (8, False, "RecordInvalid")
        for file in damaged:
            assert any(file.name in sentence for sentence in told["wrong"]), file
        with pytest.raises(RecordInvalid, match=r"(?s)card\.md.*model\.sig"):
            served.verify(wanted)


def test_damaged_public_key_is_named(served: Served, tmp_path: Path) -> None:
    damage(served.public)
    with pytest.raises(RecordInvalid, match=r"signing\.pub"):
        served.verify("champion")
    with pytest.raises(RecordInvalid, match=r"nowhere\.pub is no public key"):
        served.verify("champion", "--public-key", str(tmp_path / "nowhere.pub"))
    with pytest.raises(RecordInvalid, match=r"model\.sig: is of no trusted key"):
        served.verify("champion", "--public-key", str(create_keys(tmp_path / "stranger")))


def test_server_that_does_not_answer_is_not_needed(
    served: Served, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    for wanted in ("champion", "1"):
        result = CliRunner().invoke(build_app(), ["models", "verify", wanted, "--config", str(served.config), "--json"])
        assert (result.exit_code, json.loads(result.stdout)["version"]) == (0, "1"), result.output
    with pytest.raises(RecordInvalid, match="no decision about '7'; it has some about 1"):
        served.verify("7")


def test_champion_that_no_decision_made_is_told(served: Served, database: str) -> None:
    """The alias was set by hand, so to say: the chain speaks of another version."""
    file = served.paths.decisions(NAME)
    file.unlink()
    head_of(file).unlink()
    with pytest.raises(RecordInvalid, match=r"verified\.jsonl: no decision made version 1 the champion"):
        served.verify("champion")
    assert served.verify("1").startswith("Holds")


@pytest.mark.parametrize("kind", ["no release", "missing", "file", "empty"])
def test_what_is_no_release_is_a_sentence(served: Served, tmp_path: Path, kind: str) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("x")
    elif kind != "missing":
        place.mkdir()
    if kind == "no release":
        (place / "manifest.json").write_text('{"name": ["x"], "files": 3}')
    with pytest.raises(RecordInvalid, match=r"manifest\.json|is no folder"):
        served.verify(f"{place}/" if kind == "missing" else str(place))


def test_keys_are_made_once_and_shown(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = ("--config", str(served.config))
    shown = json.loads(sentinel("keys", "show", "--json", *config))
    assert shown == [{"public_key": str(served.public), "fingerprint": fingerprint(served.public), "signs": True}]
    assert "(signs here)" in sentinel("keys", "show", *config)
    with pytest.raises(ConfigInvalid, match="is there already"):
        sentinel("keys", "init", *config)

    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path / "fresh"))
    with pytest.raises(RecordInvalid, match="sentinel keys init"):
        sentinel("keys", "show", *config)
    made = sentinel("keys", "init", *config)
    assert fingerprint(tmp_path / "fresh" / "keys" / "signing.pub") in made
    assert "--public-key" in made


def test_verifying_loads_neither_mlflow_nor_what_trains(served: Served) -> None:
    script = (
        "import sys; sys.argv = ['sentinel', 'models', 'verify', 'champion', '--json', '--config', sys.argv[1]]\n"
        "from flows.cli import build_app\n"
        "build_app()(standalone_mode=False)\n"
        "heavy = {'mlflow', 'torch', 'prefect', 'model_signing', 'great_expectations', 'boto3'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, str(served.config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["holds"]
    assert done.stderr.strip().splitlines()[-1] == "[]"
