"""Against a real MLflow, embedded and on a server."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sentinel.artifacts import Release
from sentinel.errors import ChampionMoved, GateFailed, RecordInvalid, ServiceUnavailable
from sentinel.promotion.decisions import read_chain, sentences_against_chain
from sentinel.promotion.keys import public_keys
from sentinel.promotion.mlflow_server import connect
from sentinel.promotion.registry import Registry
from sentinel.promotion.store.opening import read_catalogue
from sentinel.storage import listing, sha256_file
from tests.promotion.releases import FAILING, REJECTED, WAITING, decide, laid_out

Made = list[tuple[Release, Path]]


def test_registered_twice_is_one_version(registry: Registry, releases: Made) -> None:
    release = laid_out(registry, releases[0])

    first, second = registry.register(release, author="Ann / ann"), registry.register(release)

    assert first == second
    assert first.version == "1"
    assert registry.catalogue().aliases == {"challenger": "1"}
    assert len(registry.catalogue().versions) == 1
    tags = registry.catalogue().find("1").tags
    assert (tags["author"], tags["verdict"], tags["decision"]) == ("Ann / ann", "passed", "undecided")
    assert tags["variant"] == "fp32" and len(tags["data_digest"]) == 32


def test_promotion_moves_the_alias_once_and_is_recorded(registry: Registry, releases: Made) -> None:
    version = registry.register(laid_out(registry, releases[0]))

    first, second = decide(registry, version), decide(registry, version)

    assert first == second
    assert (first["outcome"], first["version"], first["decided_at"]) == ("promoted", "1", "2026-03-03T14:05:00+00:00")
    assert (first["champion_before"], first["champion_after"], first["decided_by"]) == (None, "1", "run 1")
    gates = sha256_file(registry.paths.absolute(version.path) / "gates.json")
    assert first["evidence"] == {"gates_sha256": gates, "manifest_sha256": version.sha256}
    assert registry.catalogue().aliases == {"challenger": "1", "champion": "1"}
    assert registry.catalogue().find("champion").tags["decision"] == "promoted"
    chain = registry.paths.decisions(registry.name)
    assert sentences_against_chain(chain, public_keys(registry.paths.keys)) == []
    assert len(read_chain(chain)) == 1 and not chain.with_suffix(".journal").exists()


def test_next_champion_leaves_the_old_one_as_previous_and_a_repeat_of_the_old_run_does_not_undo_it(
    registry: Registry, releases: Made
) -> None:
    old, new = (registry.register(laid_out(registry, releases[number])) for number in (0, 1))
    decide(registry, old)

    decide(registry, new)
    decide(registry, old)  # its decision stands

    assert registry.catalogue().aliases == {"challenger": "2", "champion": "2", "previous": "1"}
    entries = read_chain(registry.paths.decisions(registry.name))
    assert [(entry["champion_before"], entry["champion_after"]) for entry in entries] == [(None, "1"), ("1", "2")]


def test_version_that_was_judged_against_another_champion_is_told_and_nothing_moves(
    registry: Registry, releases: Made
) -> None:
    first, _, third = (registry.register(laid_out(registry, made)) for made in releases[:3])
    decide(registry, first)

    with pytest.raises(ChampionMoved) as told:
        decide(registry, third)

    assert str(told.value) == (
        "Champion is now version 1, by run 1 at 2026-03-03T14:05:00+00:00 (Every gate passed.); version 3 was judged "
        "against version 2. Nothing was moved. Run again: it is judged against version 1."
    )
    assert registry.catalogue().champion == "1" and len(registry.chain()) == 1


def test_champion_of_the_same_number_in_a_registry_that_was_filled_again_is_another_one(
    embedded: Registry, releases: Made
) -> None:
    third, first = (embedded.register(laid_out(embedded, releases[number])) for number in (2, 0))
    decide(embedded, first)

    with pytest.raises(ChampionMoved, match=r"now version 2, .* was judged against version 2"):
        decide(embedded, third)


def test_failed_candidate_is_registered_with_its_verdict_and_never_champion(registry: Registry, releases: Made) -> None:
    version = registry.register(laid_out(registry, releases[FAILING - 1]))

    with pytest.raises(GateFailed, match="pr_auc_floor"):
        decide(registry, version)
    decide(registry, version, REJECTED)

    assert registry.champion() is None
    assert registry.catalogue().aliases == {"challenger": "1"}
    assert registry.catalogue().find("1").tags["verdict"] == "failed"
    assert registry.show("challenger")["decision"] == "rejected"


def test_waiting_version_can_be_promoted_later(registry: Registry, releases: Made) -> None:
    version = registry.register(laid_out(registry, releases[0]))
    decide(registry, version, WAITING)
    assert decide(registry, version, WAITING)["outcome"] == "waiting"
    assert registry.champion() is None
    stored = registry.catalogue().find("1")
    assert stored.tags["review_state"] == "open"
    assert stored.description.startswith("**Decision: waiting** by run 1, 2026-03-03 14:05 UTC.")
    assert "There is no champion to compare with." in stored.description

    assert decide(registry, version)["outcome"] == "promoted"
    assert [entry["outcome"] for entry in registry.chain()] == ["waiting", "promoted"]
    assert registry.catalogue().find("1").description.startswith("**Decision: promoted**")


def test_registration_killed_before_its_alias_is_finished_by_a_repeat(registry: Registry, releases: Made) -> None:
    release = laid_out(registry, releases[0])
    registry._create(release, release.locate(registry.paths.home), read_facts(registry, release), "")
    assert registry.catalogue().aliases == {}

    assert registry.register(release).version == "1"
    assert registry.catalogue().aliases == {"challenger": "1"}


def test_lost_or_damaged_local_release_is_fetched_again(registry: Registry, releases: Made) -> None:
    release = laid_out(registry, releases[0])
    decide(registry, registry.register(release))
    folder = release.locate(registry.paths.home)
    before = listing(folder)

    for damage in (shutil.rmtree, lambda folder: flip(folder / "model.onnx")):
        damage(folder)
        champion = registry.champion()
        assert champion is not None and champion.model_sha256 == release.model_sha256
        assert listing(folder) == before


def test_candidate_that_is_the_champion_keeps_the_opponent_it_was_judged_against(
    registry: Registry, releases: Made
) -> None:
    first, second = (laid_out(registry, releases[number]) for number in (0, 1))
    decide(registry, registry.register(first))
    champion = registry.champion()
    assert champion is not None
    assert registry.opponent_of(first.model_sha256) is None  # there was none when the first was judged
    assert registry.opponent_of("another graph") == champion

    decide(registry, registry.register(second))

    assert registry.champion() != champion
    assert registry.opponent_of(second.model_sha256) == champion

    connect(registry.tracking_uri).delete_model_version(registry.name, champion.version)
    faced = registry.opponent_of(second.model_sha256)
    assert faced is not None and faced.model_sha256 == champion.model_sha256


def test_decision_stands_while_its_model_is_the_champion(registry: Registry, releases: Made) -> None:
    first, second = (laid_out(registry, releases[number]) for number in (0, 1))
    assert registry.standing_decision(first.model_sha256) is None
    decide(registry, registry.register(first))

    standing = registry.standing_decision(first.model_sha256)
    assert standing is not None and (standing.version, standing.outcome) == ("1", "promoted")
    assert registry.standing_decision(second.model_sha256) is None


def test_document_for_machines(registry: Registry, releases: Made) -> None:
    decide(registry, registry.register(laid_out(registry, releases[0])))

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


def test_mlflow_itself_loads_and_describes_the_version(
    registry: Registry, releases: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    import mlflow.onnx
    from mlflow.models import get_model_info

    registry.register(laid_out(registry, releases[0]))
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


def test_registry_that_was_never_used_is_empty_and_stays_unmade(tmp_path: Path) -> None:
    assert read_catalogue(f"sqlite:///{tmp_path / 'none.db'}", "x").versions == ()
    assert not any(tmp_path.iterdir())


def test_server_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(ServiceUnavailable, match=r"MLflow at http://127\.0\.0\.1:9"):
        read_catalogue("http://127.0.0.1:9", "x")


def read_facts(registry: Registry, release: Release) -> dict[str, Any]:
    from sentinel.promotion.release import verify_release

    return verify_release(release.locate(registry.paths.home), release.sha256, public_keys(registry.paths.keys))


def flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[50] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
