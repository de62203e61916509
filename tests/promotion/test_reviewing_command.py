"""`sentinel models approve|reject|rollback|history|compare` on a real embedded registry."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import build_app
from sentinel.artifacts import Release
from sentinel.errors import DecisionRefused, RecordInvalid, SentinelError
from sentinel.features.online.proof import subject
from sentinel.features.online.store import open_online
from sentinel.paths import Paths
from sentinel.promotion.mlflow_server import connect
from sentinel.promotion.registry import Registry
from sentinel.storage import write_json
from tests.conftest import ROOT
from tests.promotion.releases import FAILING, REJECTED, WAITING, decide, laid_out

Made = list[tuple[Release, Path]]
FEATURES = "f" * 64


@pytest.fixture
def project(database: str, releases: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Versions 1 and 2 served one after the other, 3 waits, 4 was rejected; the features of all are there."""
    name = f"r-{tmp_path.name}".lower().replace("_", "-")[:40]
    config = (ROOT / "configs" / "default.toml").read_text().replace('name = "default"', f'name = "{name}"')
    (tmp_path / "own.toml").write_text(
        f'{config}\n[promotion]\nreview = "manual"\nself_approval = false\nreview_expires_after = "36500d"\n'
    )
    monkeypatch.setenv("SENTINEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", database)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.chdir(ROOT)
    registry = Registry(database, name, Paths(ROOT, tmp_path / "home"))
    verdicts = (None, None, WAITING, REJECTED)
    for made, verdict in zip(releases[:FAILING], verdicts, strict=True):
        version = registry.register(laid_out(registry, made), author="ann")
        decide(registry, version, verdict) if verdict else decide(registry, version)
    (registry.paths.feast(name) / "views").mkdir(parents=True)
    write_json(_applied(registry), {"views": registry.paths.relative(registry.paths.feast(name) / "views")})
    _note(registry, "complete")
    return registry


def _applied(registry: Registry) -> Path:
    return registry.paths.feast(registry.name) / "applied" / f"{FEATURES}.json"


def _note(registry: Registry, text: str) -> None:
    rows = open_online(registry.paths, registry.name, None)
    rows.note(subject(FEATURES), text)
    rows.close()


def sentinel(tmp_path: Path, *words: str, config: str = "own.toml") -> str:
    result = CliRunner().invoke(build_app(), ["models", *words, "--config", str(tmp_path / config)])
    if isinstance(result.exception, SentinelError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return result.stdout


def test_approval_says_what_serves_now(project: Registry, tmp_path: Path) -> None:
    with pytest.raises(DecisionRefused, match="an author may not approve"):
        sentinel(tmp_path, "approve", "3", "--reason", "Good.", "--reviewer", "Ann")
    told = sentinel(tmp_path, "approve", "3", "--reason", "Finds [bold]more[/]", "--reviewer", "Bob")
    assert "version 3 promoted: Finds [bold]more[/]" in told
    assert "Champion is version 3 now; it was version 2." in told
    assert project.catalogue().aliases["previous"] == "2"
    with pytest.raises(DecisionRefused, match="it was promoted by reviewer Bob"):
        sentinel(tmp_path, "reject", "3", "--reason", "No.", "--reviewer", "Eve")


def test_rejection_speaks_json(project: Registry, tmp_path: Path) -> None:
    entry = json.loads(sentinel(tmp_path, "reject", "3", "--reason", "Not explained.", "--json"))
    assert (entry["outcome"], entry["version"], entry["champion_after"]) == ("rejected", "3", "2")
    assert entry["decided_by"].startswith("reviewer ") and entry["through"] == "the command line"


def test_rollback_goes_to_the_version_before_and_not_back_by_mistake(project: Registry, tmp_path: Path) -> None:
    entry = json.loads(sentinel(tmp_path, "rollback", "--reason", "False alarms since 14:00", "--json"))
    assert (entry["outcome"], entry["version"]) == ("rolled_back", "1")
    assert (entry["champion_before"], entry["champion_after"]) == ("2", "1")
    assert project.catalogue().aliases == {"challenger": "4", "champion": "1", "previous": "2"}
    serves, left = (project.catalogue().find(version).description for version in ("1", "2"))
    assert serves.startswith("**Decision: serves again, rolled back from version 2** by ")
    assert left.startswith("**Decision: left by a rollback to version 1** by ") and "False alarms" in left
    with pytest.raises(DecisionRefused, match=r"itself left by a rollback .*False alarms.* Name the version"):
        sentinel(tmp_path, "rollback", "--reason", "again")
    assert "Champion is version 2 now" in sentinel(tmp_path, "rollback", "--to", "2", "--reason", "It was the data.")


@pytest.mark.parametrize(
    ("to", "told"),
    [
        ("3", "no reviewer approved it"),
        ("4", "failed pr_auc_floor"),
        ("champion", "is the champion already"),
        ("99", "no version or alias '99'"),
    ],
)
def test_rollback_to_what_may_not_serve_is_refused(project: Registry, tmp_path: Path, to: str, told: str) -> None:
    with pytest.raises((DecisionRefused, RecordInvalid), match=told):
        sentinel(tmp_path, "rollback", "--to", to, "--reason", "x")
    assert project.catalogue().champion == "2"


def test_rollback_to_a_release_whose_features_are_gone_is_refused(project: Registry, tmp_path: Path) -> None:
    _note(project, "")
    with pytest.raises(RecordInvalid, match=r"features ffffffffffff of version 1 are not in the online store"):
        sentinel(tmp_path, "rollback", "--reason", "x")
    _note(project, "complete")
    _applied(project).unlink()
    with pytest.raises(RecordInvalid, match=r"features ffffffffffff of the model .* were not registered here"):
        sentinel(tmp_path, "rollback", "--reason", "x")
    assert project.catalogue().champion == "2" and len(project.chain()) == 4


def test_rollback_with_a_chain_that_was_altered_is_refused(project: Registry, tmp_path: Path) -> None:
    chain = project.paths.decisions(project.name)
    chain.with_suffix(".head").unlink()
    with pytest.raises(RecordInvalid, match="The chain of decisions does not hold"):
        sentinel(tmp_path, "rollback", "--reason", "x")


@pytest.mark.parametrize("words", [["rollback"], ["approve", "3"], ["reject", "3"]])
@pytest.mark.parametrize("reason", ["", "  ", None])
def test_decision_without_a_reason_is_refused(tmp_path: Path, words: list[str], reason: str | None) -> None:
    given = [] if reason is None else ["--reason", reason]
    result = CliRunner().invoke(build_app(), ["models", *words, *given])
    assert result.exit_code == 2


def test_history_is_a_table_of_decisions_and_a_sentence_for_a_moment(project: Registry, tmp_path: Path) -> None:
    table = sentinel(tmp_path, "history")
    assert "none → 1" in table and "1 → 2" in table and "waiting" in table
    assert [entry["outcome"] for entry in json.loads(sentinel(tmp_path, "history", "--json"))] == [
        "promoted", "promoted", "waiting", "rejected",
    ]  # fmt: skip
    told = sentinel(tmp_path, "history", "--at", "2026-03-03 14:05")
    assert told.startswith("At 2026-03-03 14:05:00 UTC version 2 served (release ")
    assert "promoted by run 1 at 2026-03-03T14:05:00+00:00 (Every gate passed.)" in told
    earlier = json.loads(sentinel(tmp_path, "history", "--at", "2026-03-03 15:04 Europe/Berlin", "--json"))
    assert (earlier["version"], earlier["at"]) == (None, "2026-03-03T14:04:00+00:00")
    with pytest.raises(DecisionRefused, match="is no moment"):
        sentinel(tmp_path, "history", "--at", "soon")


def test_compare_puts_what_differs_first(project: Registry, tmp_path: Path) -> None:
    document = json.loads(sentinel(tmp_path, "compare", "previous", "champion", "--json"))
    assert (document["a"], document["b"]) == ("1", "2")
    differs = [line["differs"] for line in document["lines"]]
    assert differs == sorted(differs, reverse=True) and True in differs and False in differs
    names = {(line["group"], line["name"]) for line in document["lines"]}
    assert names >= {
        ("figure", "variant"), ("figure", "data_digest"), ("gate", "latency"), ("threshold", "latency"),
        ("metric", "pr_auc"), ("figure", "lock_sha256"), ("figure", "model_bytes"), ("figure", "latency_p99_ms"),
    }  # fmt: skip
    assert "lines differ" in sentinel(tmp_path, "compare", "1", "2")
    with pytest.raises(RecordInvalid, match="no version or alias 'x'"):
        sentinel(tmp_path, "compare", "1", "x")


def test_registry_without_versions_is_told(project: Registry, tmp_path: Path) -> None:
    text = (tmp_path / "own.toml").read_text().replace(f'name = "{project.name}"', 'name = "empty-one"')
    (tmp_path / "empty.toml").write_text(text)
    assert "Nothing was decided about empty-one yet" in sentinel(tmp_path, "history", config="empty.toml")
    for words in (["rollback", "--reason", "x"], ["approve", "1", "--reason", "x"], ["compare", "1", "2"]):
        with pytest.raises((DecisionRefused, RecordInvalid), match="empty-one"):
            sentinel(tmp_path, *words, config="empty.toml")


def test_rollback_loads_nothing_that_takes_seconds(project: Registry, tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "sys.argv = ['sentinel', 'models', 'rollback', '--reason', 'x', '--json', '--config', sys.argv[1]]\n"
        "from flows.cli import build_app\n"
        "build_app()(standalone_mode=False)\n"
        "slow = {'mlflow', 'torch', 'sklearn', 'prefect', 'onnxruntime', 'model_signing', 'sqlalchemy', 'feast'}\n"
        "print(sorted(slow & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "own.toml")], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout)["champion_after"] == "1"
    assert done.stderr.strip() == "[]"
    aliases = connect(project.tracking_uri).get_registered_model(project.name).aliases
    assert {alias: str(version) for alias, version in aliases.items()} == project.catalogue().aliases
