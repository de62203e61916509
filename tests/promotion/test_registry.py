"""Against a real MLflow, embedded and on a server."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentinel.artifacts import Decision, RegisteredVersion, Release
from sentinel.config import Gates
from sentinel.errors import GateFailed, RecordInvalid, ServiceUnavailable
from sentinel.promotion.catalogue import from_client, from_database, read_catalogue
from sentinel.promotion.decisions import Verdict, read_chain
from sentinel.promotion.mlflow_server import connect, set_alias
from sentinel.promotion.registry import Registry
from sentinel.storage import listing
from tests.promotion.standins import GATES, packaged, stages

NOW = datetime(2026, 3, 3, 14, 5, tzinfo=UTC)
PROMOTED = Verdict("promoted", "Every gate passed.")
REJECTED = Verdict("rejected", "Failed: pr_auc_floor.")
WAITING = Verdict("waiting", "A reviewer decides.")
STRICT = Gates(min_pr_auc=0.999, max_latency_p99_ms=1000.0)


def run_of(registry: Registry) -> str:
    client = connect(registry.tracking_uri)
    experiment = client.get_experiment_by_name("tests")
    number = experiment.experiment_id if experiment else client.create_experiment("tests")
    return client.create_run(number).info.run_id


def released(registry: Registry, number: int = 0, gates: Gates = GATES) -> Release:
    """A release below the registry's home; another `number` gives another one."""
    home = registry.paths.home
    made = stages(home / f"candidate{number}", amount_weight=1.5e-3 + number * 1e-5, run_id=run_of(registry), rows=3000)
    release = packaged(made, gates=gates, name=registry.name, keys=registry.paths.keys)[2]
    folder = registry.paths.releases(registry.name) / release.sha256[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(made.home / release.path, folder)
    return release.__class__(**{**release.__dict__, "path": registry.paths.relative(folder)})


def promote(registry: Registry, version: RegisteredVersion, verdict: Verdict = PROMOTED) -> Decision:
    return registry.decide(version, verdict, decided_by="gates", decided_at=NOW)


def test_registered_twice_is_one_version(registry: Registry) -> None:
    release = released(registry)

    first, second = registry.register(release), registry.register(release)

    assert first == second
    assert first.version == "1"
    assert registry.catalogue().aliases == {"challenger": "1"}
    assert len(registry.catalogue().versions) == 1


def test_promotion_moves_the_alias_once_and_is_recorded(registry: Registry) -> None:
    version = registry.register(released(registry))

    first, second = promote(registry, version), promote(registry, version)

    assert first == second
    assert (first.outcome, first.version, first.decided_at) == ("promoted", "1", "2026-03-03T14:05:00+00:00")
    assert registry.catalogue().aliases == {"challenger": "1", "champion": "1"}
    assert [entry["champion_after"] for entry in read_chain(registry.paths.decisions(registry.name))] == ["1"]
    assert registry.catalogue().find("champion").tags["decision"] == "promoted"


def test_next_champion_leaves_the_old_one_as_previous_and_a_repeat_of_the_old_run_does_not_undo_it(
    registry: Registry,
) -> None:
    old, new = (registry.register(released(registry, number)) for number in (0, 1))
    promote(registry, old)

    promote(registry, new)
    promote(registry, old)  # its decision stands

    assert registry.catalogue().aliases == {"challenger": "2", "champion": "2", "previous": "1"}
    entries = read_chain(registry.paths.decisions(registry.name))
    assert [(entry["champion_before"], entry["champion_after"]) for entry in entries] == [(None, "1"), ("1", "2")]


def test_failed_candidate_is_registered_with_its_verdict_and_never_champion(registry: Registry) -> None:
    version = registry.register(released(registry, gates=STRICT))

    with pytest.raises(GateFailed, match="pr_auc_floor"):
        promote(registry, version)
    with pytest.raises(GateFailed):
        registry.set_champion(version.version)
    promote(registry, version, REJECTED)

    assert registry.champion() is None
    assert registry.catalogue().aliases == {"challenger": "1"}
    assert registry.catalogue().find("1").tags["verdict"] == "failed"
    assert registry.show("challenger")["decision"] == "rejected"


def test_waiting_version_can_be_promoted_later(registry: Registry) -> None:
    version = registry.register(released(registry))
    promote(registry, version, WAITING)
    assert promote(registry, version, WAITING).outcome == "waiting"
    assert registry.champion() is None

    assert promote(registry, version).outcome == "promoted"
    assert [entry["outcome"] for entry in read_chain(registry.paths.decisions(registry.name))] == [
        "waiting",
        "promoted",
    ]


def test_registration_killed_before_its_alias_is_finished_by_a_repeat(registry: Registry) -> None:
    release = released(registry)
    registry._create(release, release.locate(registry.paths.home), read_facts(registry, release))
    assert registry.catalogue().aliases == {}

    assert registry.register(release).version == "1"
    assert registry.catalogue().aliases == {"challenger": "1"}


def test_promotion_killed_before_its_record_is_finished_by_a_repeat(registry: Registry) -> None:
    old, new = (registry.register(released(registry, number)) for number in (0, 1))
    promote(registry, old)
    registry.set_champion(new.version)

    promote(registry, new)

    last = read_chain(registry.paths.decisions(registry.name))[-1]
    assert (last["champion_before"], last["champion_after"]) == ("1", "2")
    assert registry.catalogue().aliases["previous"] == "1"


def test_promotion_killed_between_previous_and_champion_is_finished_by_a_repeat(registry: Registry) -> None:
    old, new = (registry.register(released(registry, number)) for number in (0, 1))
    promote(registry, old)
    set_alias(registry.tracking_uri, registry.name, "previous", old.version)
    assert registry.champion() == registry.opponent_of("another graph")

    promote(registry, new)

    assert registry.catalogue().aliases == {"challenger": "2", "champion": "2", "previous": "1"}


def test_lost_or_damaged_local_release_is_fetched_again(registry: Registry) -> None:
    release = released(registry)
    promote(registry, registry.register(release))
    folder = release.locate(registry.paths.home)
    before = listing(folder)

    for damage in (shutil.rmtree, lambda folder: flip(folder / "model.onnx")):
        damage(folder)
        champion = registry.champion()
        assert champion is not None and champion.model_sha256 == release.model_sha256
        assert listing(folder) == before


def test_candidate_that_is_the_champion_keeps_the_opponent_it_was_judged_against(registry: Registry) -> None:
    first = released(registry)
    promote(registry, registry.register(first))
    champion = registry.champion()
    assert champion is not None
    assert registry.opponent_of(first.model_sha256) is None  # there was none when the first was judged
    assert registry.opponent_of("another graph") == champion

    made = stages(registry.paths.home, amount_weight=1.51e-3, run_id=run_of(registry), rows=3000)
    second = packaged(made, champion, name=registry.name, keys=registry.paths.keys)[2]
    promote(registry, registry.register(second))

    assert registry.champion() != champion
    assert registry.opponent_of(second.model_sha256) == champion

    connect(registry.tracking_uri).delete_model_version(registry.name, champion.version)
    assert registry.opponent_of(second.model_sha256) == champion


def test_decision_stands_while_its_model_is_the_champion(registry: Registry) -> None:
    first, second = released(registry), released(registry, 1)
    assert registry.standing_decision(first.model_sha256) is None
    decision = promote(registry, registry.register(first))

    assert registry.standing_decision(first.model_sha256) == decision
    assert registry.standing_decision(second.model_sha256) is None


def test_document_for_machines(registry: Registry) -> None:
    release = released(registry)
    promote(registry, registry.register(release))

    document = registry.show("champion")

    assert list(document) == [
        "version", "aliases", "run_id", "decision", "gates", "metrics", "quality", "reproducibility",
        "data_digest", "feature_set_hash",
        "lock_sha256", "git_commit", "release_path", "files",
    ]  # fmt: skip
    assert (document["version"], document["aliases"]) == ("1", ["challenger", "champion"])
    assert document["decision"] == "promoted"
    assert {tuple(gate) for gate in document["gates"]} == {("name", "value", "threshold", "outcome")}
    folder = Path(document["release_path"])
    assert {file["path"]: file["sha256"] for file in document["files"]} == listing(folder)
    assert all((folder / file["path"]).stat().st_size == file["bytes"] for file in document["files"])
    assert registry.list_versions() == [document] == [registry.show("1")]


def test_unknown_version_is_refused_with_what_there_is(registry: Registry) -> None:
    with pytest.raises(RecordInvalid, match="no version or alias 'champion'; it has none"):
        registry.show()


def test_mlflow_itself_loads_and_describes_the_version(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow.onnx
    from mlflow.models import get_model_info

    release = released(registry)
    registry.register(release)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry.tracking_uri)
    version = connect(registry.tracking_uri).get_model_version(registry.name, "1")

    assert mlflow.onnx.load_model(version.source).graph.output[0].name == "probability"
    signature = get_model_info(version.source).signature
    assert signature is not None and signature.inputs.input_names() == ["numeric"]
    assert version.description.startswith("**Every gate passed.**")
    stored = connect(registry.tracking_uri).get_logged_model(version.source.split("/")[-2])
    assert json.loads(stored.tags["mlflow.modelVersions"]) == [{"name": registry.name, "version": "1"}]
    answer = mlflow.pyfunc.load_model(version.source).predict({"numeric": np.zeros((2, 4))})
    assert answer["probability"].shape == (2,)


def test_embedded_registry_reads_the_same_with_and_without_mlflow(database: str, tmp_path: Path) -> None:
    from sentinel.paths import Paths

    registry = Registry(database, "model-read-twice", Paths(tmp_path, tmp_path / "home"))
    for number in (0, 1):
        promote(registry, registry.register(released(registry, number)))
    connect(database).delete_model_version(registry.name, "1")

    direct = from_database(Path(database.removeprefix("sqlite:///")), registry.name)

    assert direct == from_client(database, registry.name)
    assert [stored.version for stored in direct.versions] == ["2"]


def test_registry_that_was_never_used_is_empty_and_stays_unmade(tmp_path: Path) -> None:
    assert read_catalogue(f"sqlite:///{tmp_path / 'none.db'}", "x").versions == ()
    assert not any(tmp_path.iterdir())


def test_server_that_is_not_there_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")

    with pytest.raises(ServiceUnavailable, match=r"MLflow at http://127\.0\.0\.1:9"):
        read_catalogue("http://127.0.0.1:9", "x")


def read_facts(registry: Registry, release: Release) -> dict[str, Any]:
    from sentinel.promotion.keys import public_keys
    from sentinel.promotion.release import verify_release

    return verify_release(release.locate(registry.paths.home), release.sha256, public_keys(registry.paths.keys))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[50] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
