"""Somebody moves the alias by hand in MLflow: what may serve is adopted, everything else is put back and told."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from sentinel.artifacts import Release
from sentinel.paths import Paths
from sentinel.promotion.mlflow_server import connect
from sentinel.promotion.registry import Registry
from sentinel.promotion.review.look import Happening, look_for_answers
from sentinel.promotion.store.contract import Change
from tests.promotion.releases import FAILING, NOW, WAITING, decide, laid_out, reviewed, run_of
from tests.promotion.test_registry import flip

Made = list[tuple[Release, Path]]


KINDS = ("their bytes here and in MLflow", "their bytes in MLflow alone")


@pytest.fixture
def serving(embedded: Registry, releases: Made) -> Registry:
    """Version 1 serves; 2 was judged against it, 3 failed a gate."""
    for number in (0, 1, FAILING - 1):
        embedded.register(laid_out(embedded, releases[number]))
    decide(embedded, embedded.register(_of(embedded, releases[0])))
    return embedded


def _of(registry: Registry, made: tuple[Release, Path]) -> Release:
    folder = registry.paths.releases(registry.name) / made[0].sha256[:16]
    return replace(made[0], path=registry.paths.relative(folder))


def set_by_hand(registry: Registry, version: str | None) -> None:
    client = connect(registry.tracking_uri)
    if version is None:
        client.delete_registered_model_alias(registry.name, "champion")
    else:
        client.set_registered_model_alias(registry.name, "champion", version)


def look(registry: Registry, **settings: object) -> list[Happening]:
    return look_for_answers(reviewed(registry, **settings), NOW)


def put_back(registry: Registry, **settings: object) -> dict:
    """Look, and check that version 1 serves again and that it was written down, once."""
    (happening,) = look(registry, **settings)
    assert happening.kind == "put_back" and "version 1 serves again" in happening.sentence
    assert registry.catalogue().champion == "1"
    assert look(registry, **settings) == []
    entry = registry.chain()[-1]
    assert (entry["outcome"], entry["version"], entry["decided_by"]) == ("put_back", "1", "by hand in MLflow")
    assert entry["champion_after"] == "1" and entry["evidence"]
    return entry


def test_champion_as_decided_is_left_alone(serving: Registry) -> None:
    assert look(serving) == [] and len(serving.chain()) == 1


def test_version_that_failed_a_gate_is_put_back(serving: Registry) -> None:
    set_by_hand(serving, "3")
    entry = put_back(serving, review="auto")
    assert (entry["champion_before"], entry["put_back_from"]) == ("3", "3")
    assert "failed pr_auc_floor" in entry["reason"]
    assert "pr_auc_floor" in serving.catalogue().find("3").tags["guard_note"]
    assert "guard_note" not in serving.catalogue().find("1").tags


@pytest.mark.parametrize("damaged", KINDS)
def test_version_that_does_not_verify_is_put_back(serving: Registry, releases: Made, damaged: str) -> None:
    stored = Path(serving.catalogue().find("2").source.removeprefix("file://")) / "model.onnx"
    here = serving.paths.absolute(_of(serving, releases[1]).path) / "model.onnx"
    for file in (stored, here)[: 2 if damaged == KINDS[0] else 1]:
        flip(file)
    set_by_hand(serving, "2")
    assert "files of version 2 in MLflow are not those of its release" in put_back(serving, review="auto")["reason"]


def test_version_that_only_says_that_it_is_a_release_is_put_back(serving: Registry, tmp_path: Path) -> None:
    client = connect(serving.tracking_uri)
    digest = serving.catalogue().find("1").release
    (tmp_path / "other").mkdir()
    for number, source in enumerate((tmp_path / "other", tmp_path / "nowhere"), start=4):
        client.create_model_version(serving.name, f"file://{source}", run_of(serving), tags={"release": digest})
        set_by_hand(serving, str(number))
        assert f"files of version {number}" in put_back(serving, review="auto")["reason"]


def test_version_that_no_reviewer_approved_is_put_back_where_one_must(serving: Registry) -> None:
    set_by_hand(serving, "2")
    assert "no reviewer approved it" in put_back(serving, review="manual")["reason"]
    assert serving.catalogue().aliases.get("previous") is None


def test_version_that_is_no_release_is_put_back(serving: Registry) -> None:
    connect(serving.tracking_uri).create_model_version(serving.name, "file:///elsewhere", run_of(serving))
    set_by_hand(serving, "4")
    assert "names no release" in put_back(serving)["reason"]


def test_removed_alias_is_put_back(serving: Registry) -> None:
    set_by_hand(serving, None)
    entry = put_back(serving)
    assert entry["champion_before"] is None and "alias champion was removed" in entry["reason"]


def test_version_that_verifies_and_may_serve_is_adopted(serving: Registry) -> None:
    set_by_hand(serving, "2")
    (happening,) = look(serving, review="auto")
    assert happening.kind == "adopted"
    assert serving.catalogue().aliases == {"challenger": "1", "champion": "2", "previous": "1"}
    entry = serving.chain()[-1]
    assert (entry["version"], entry["champion_was"], entry["champion_after"]) == ("2", "1", "2")
    assert look(serving, review="auto") == []


def test_approved_before_may_be_set_again_by_hand(serving: Registry) -> None:
    decide(serving, serving.register(_second(serving)))
    set_by_hand(serving, "1")
    assert [one.kind for one in look(serving, review="manual")] == ["adopted"]


def test_champion_of_nothing_decided_is_taken_away(embedded: Registry, releases: Made) -> None:
    embedded.register(laid_out(embedded, releases[FAILING - 1]))
    set_by_hand(embedded, "1")
    (happening,) = look(embedded)
    assert happening.kind == "put_back" and "none serves" in happening.sentence
    assert embedded.catalogue().champion is None
    assert look(embedded) == []


def test_next_one_that_holds_serves_when_the_champion_itself_was_deleted(serving: Registry) -> None:
    decide(serving, serving.register(_second(serving)))
    connect(serving.tracking_uri).delete_model_version(serving.name, "2")
    assert serving.catalogue().champion is None
    assert "the alias champion was removed" in put_back(serving)["reason"].lower()


def test_decision_of_another_machine_is_followed_and_a_forged_one_is_not(
    serving: Registry, tmp_path: Path, releases: Made
) -> None:
    there = replace(serving, paths=Paths(tmp_path, tmp_path / "elsewhere"))
    laid_out(there, releases[1])
    for file in (*serving.paths.keys.iterdir(),):
        there.paths.keys.mkdir(parents=True, exist_ok=True)
        (there.paths.keys / file.name).write_bytes(file.read_bytes())
    decide(there, there.register(_of(there, releases[1])))
    (happening,) = look(serving, review="manual")
    assert (happening.kind, happening.version) == ("followed", "2")
    entry = serving.chain()[-1]
    assert entry["decided_by"] == "run 1" and entry["champion_after"] == "2"
    assert look(serving, review="manual") == []

    warrant = serving.catalogue().find("2").tags["champion_warrant"]
    serving.store().apply(Change(tags={"3": {"champion_warrant": warrant}}))
    set_by_hand(serving, "3")
    assert [one.kind for one in look(serving, review="auto")] == ["put_back"]
    assert serving.catalogue().champion == "2"


def test_hand_that_is_quicker_than_the_answer_is_seen_with_it(serving: Registry) -> None:
    decide(serving, serving.register(_second(serving)), WAITING)
    set_by_hand(serving, "2")
    connect(serving.tracking_uri).set_model_version_tag(serving.name, "2", "review", "approved")
    kinds = [one.kind for one in look(serving, review="manual")]
    assert kinds == ["promoted"] and serving.catalogue().champion == "2"


def _second(registry: Registry) -> Release:
    stored = registry.catalogue().find("2")
    folder = registry.release_folder(stored)
    return Release(
        path=registry.paths.relative(folder), sha256=stored.release, run_id=stored.run_id or "", passed=True,
        model_sha256=stored.tags["model_sha256"],
    )  # fmt: skip
