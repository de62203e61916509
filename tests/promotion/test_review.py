"""Reviewers answer by tags in MLflow, by Prefect's form or by the command; the review acts, once, and tells why not."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from sentinel.artifacts import RegisteredVersion, Release
from sentinel.errors import ChampionMoved, DecisionRefused, GateFailed, RecordInvalid
from sentinel.promotion.mlflow_server import connect
from sentinel.promotion.registry import Registry
from sentinel.promotion.review.answer import Answer
from sentinel.promotion.review.look import look_for_answers
from sentinel.promotion.words import MOST_REASON
from tests.promotion.releases import FAILING, NOW, REJECTED, RIVAL, WAITING, decide, laid_out, reviewed

Made = list[tuple[Release, Path]]
LATER = NOW + timedelta(hours=1)
YES = Answer("approved", "Bob", "Finds more fraud.", "the command line")
NO = Answer("rejected", "Bob", "Shifts are not explained.", "Prefect")


@pytest.fixture
def waiting(embedded: Registry, releases: Made) -> RegisteredVersion:
    """Version 1 waits."""
    version = embedded.register(laid_out(embedded, releases[0]), author="Ann Smith / ann@example.com / ann")
    decide(embedded, version, WAITING)
    return version


def tag(registry: Registry, version: str = "1", **tags: str) -> None:
    """As a person does it in MLflow's page."""
    for key, value in tags.items():
        connect(registry.tracking_uri).set_model_version_tag(registry.name, version, key, value)


def look(registry: Registry, **settings: object) -> list[str]:
    return [one.kind for one in look_for_answers(reviewed(registry, **settings), LATER)]


def tags_of(registry: Registry, version: str = "1") -> dict[str, str]:
    return registry.catalogue().find(version).tags


@pytest.mark.usefixtures("waiting")
def test_tag_approved_moves_the_alias_once_and_is_recorded_with_who_and_why(embedded: Registry) -> None:
    assert look(embedded) == []
    tag(embedded, review="approved", reviewer="Bob", review_comment="Finds more\nfraud.")

    assert look(embedded) == ["promoted"]
    assert look(embedded) == []

    assert embedded.catalogue().aliases == {"challenger": "1", "champion": "1"}
    entry = embedded.chain()[-1]
    assert (entry["outcome"], entry["decided_by"], entry["reason"]) == ("promoted", "reviewer Bob", "Finds more fraud.")
    assert (entry["review"], entry["through"], entry["author"]) == (
        "approved", "MLflow", "Ann Smith / ann@example.com / ann",
    )  # fmt: skip
    assert tags_of(embedded)["review_state"] == "approved"
    assert embedded.catalogue().find("1").description.startswith("**Decision: promoted** by reviewer Bob")


@pytest.mark.usefixtures("waiting")
def test_tag_rejected_decides_and_a_later_contrary_answer_changes_nothing_and_is_told(embedded: Registry) -> None:
    tag(embedded, review="rejected")
    assert look(embedded) == ["rejected"]
    assert embedded.chain()[-1]["reason"] == "Rejected without a comment."

    tag(embedded, review="approved", reviewer="Eve")
    assert look(embedded) == ["refused"]
    assert look(embedded) == []  # told once

    assert "it was rejected by reviewer somebody in MLflow" in tags_of(embedded)["review_note"]
    assert embedded.catalogue().champion is None and len(embedded.chain()) == 2
    with pytest.raises(DecisionRefused, match="does not wait for an answer: it was rejected"):
        reviewed(embedded).answer("1", YES, LATER)


@pytest.mark.usefixtures("waiting")
@pytest.mark.parametrize("said", ["Approve", "yes", "approved!", "rejected, I think", "[bold]"])
def test_misspelt_answer_is_told_and_changes_nothing(embedded: Registry, said: str) -> None:
    tag(embedded, review=said)

    assert look(embedded) == ["refused"]

    assert f"The tag review is {said!r}" in tags_of(embedded)["review_note"]
    assert embedded.catalogue().champion is None and len(embedded.chain()) == 1
    tag(embedded, review=" Approved ")
    assert look(embedded) == ["promoted"]


@pytest.mark.usefixtures("waiting")
def test_approval_of_the_own_run_can_be_forbidden(embedded: Registry) -> None:
    review = reviewed(embedded, self_approval=False)
    for own in ("ann", "  ANN  SMITH ", "Ann@Example.com"):
        with pytest.raises(DecisionRefused, match="an author may not approve the own version"):
            review.answer("1", Answer("approved", own, "Good.", "Prefect"), LATER)
    tag(embedded, review="approved")
    assert look(embedded, self_approval=False) == ["refused"]
    assert "say who you are" in tags_of(embedded)["review_note"]
    tag(embedded, author="nobody", reviewer="ann")  # the signed chain knows better than a tag
    assert look(embedded, self_approval=False) == ["refused"]
    tag(embedded, reviewer="Bob")
    assert look(embedded, self_approval=False) == ["promoted"]


@pytest.mark.usefixtures("waiting")
def test_author_may_reject_the_own_run_and_approve_it_where_nothing_forbids(embedded: Registry) -> None:
    own = Answer("rejected", "ann", "I made a mistake.", "the command line")
    assert reviewed(embedded, self_approval=False).answer("1", own, LATER)["outcome"] == "rejected"


def test_question_without_an_answer_expires_and_a_new_run_asks_again(
    embedded: Registry, waiting: RegisteredVersion
) -> None:
    review = reviewed(embedded, review_expires_after="14d")
    in_time, late = NOW + timedelta(days=14, seconds=-1), NOW + timedelta(days=14)
    assert look_for_answers(review, in_time) == []
    with pytest.raises(DecisionRefused, match=r"has expired\. Run the main job again"):
        review.answer("1", YES, late)
    assert [one.kind for one in look_for_answers(review, late)] == ["expired"]
    assert look_for_answers(review, late) == []
    assert embedded.chain()[-1]["reason"] == "Nobody answered within 14 days."
    assert tags_of(embedded)["review_state"] == "expired"
    assert embedded.catalogue().find("1").description.startswith("**Decision: expired**")
    tag(embedded, review="approved")
    assert [one.kind for one in look_for_answers(review, late)] == ["refused"]
    assert embedded.catalogue().champion is None

    embedded.decide(waiting, WAITING, decided_by="run 2", decided_at=late)
    assert [one.kind for one in look_for_answers(review, late)] == ["promoted"]


def test_approval_of_a_version_whose_champion_has_moved_is_told(embedded: Registry, releases: Made) -> None:
    first, second, rival = (embedded.register(laid_out(embedded, releases[number])) for number in (0, 1, RIVAL - 1))
    decide(embedded, first)
    for version in (second, rival):
        decide(embedded, version, WAITING)
    reviewed(embedded).answer("2", YES, LATER)

    with pytest.raises(
        ChampionMoved, match=r"Champion is now version 2, by reviewer Bob .* 3 was judged against version 1"
    ):
        reviewed(embedded).answer("3", YES, LATER)
    tag(embedded, "3", review="approved")

    assert look(embedded) == ["refused"]
    assert "Run again: it is judged against version 2." in tags_of(embedded, "3")["review_note"]
    assert embedded.catalogue().champion == "2"


def test_what_failed_a_gate_or_does_not_hold_or_lost_its_features_cannot_be_approved(
    embedded: Registry, releases: Made
) -> None:
    failed, whole = (embedded.register(laid_out(embedded, releases[number])) for number in (FAILING - 1, 0))
    decide(embedded, failed, WAITING)
    decide(embedded, whole, WAITING)
    with pytest.raises(GateFailed, match="pr_auc_floor"):
        reviewed(embedded).answer("1", YES, LATER)
    with pytest.raises(RecordInvalid, match="the features d51 are gone"):
        reviewed(embedded, lost=["the features d51 are gone."]).answer("2", YES, LATER)
    stored = Path(embedded.catalogue().find("2").source.removeprefix("file://")) / "gates.json"
    for file in (stored, embedded.paths.absolute(whole.path) / "gates.json"):
        file.chmod(0o644)
        file.write_text(file.read_text().replace('"passed"', '"failed"', 1))
    with pytest.raises(RecordInvalid, match="in MLflow are not those of its release"):
        reviewed(embedded).answer("2", YES, LATER)
    assert embedded.catalogue().champion is None and len(embedded.chain()) == 2


@pytest.mark.usefixtures("waiting")
def test_answers_by_form_and_command_say_in_mlflow_what_was_said(embedded: Registry) -> None:
    assert reviewed(embedded).answer("challenger", NO, LATER)["outcome"] == "rejected"
    tags = tags_of(embedded)
    assert (tags["review"], tags["reviewer"], tags["review_comment"]) == ("rejected", "Bob", NO.reason)
    assert look(embedded) == []


@pytest.mark.usefixtures("waiting")
def test_words_of_people_are_kept_safely(embedded: Registry) -> None:
    blank = Answer("approved", "Bob", " \n\t\u200b\u202e ", "the command line")
    with pytest.raises(DecisionRefused, match="The reason is empty"):
        reviewed(embedded).answer("1", blank, LATER)
    nasty = Answer("approved", "B\x00ob\n[bold]" * 50, "a|b <script> [x](y)\r\n\x1b[31m" + "word " * 300, "Prefect")
    entry = reviewed(embedded).answer("1", nasty, LATER)
    assert MOST_REASON - 5 < len(entry["reason"]) <= MOST_REASON and entry["reason"].startswith(
        "a|b <script> [x](y) [31mword"
    )
    assert "\n" not in entry["decided_by"] and len(entry["decided_by"]) <= 100
    head = embedded.catalogue().find("1").description.partition("\n\n")[0]
    assert r"a\|b \<script\> \[x\](y)" in head


@pytest.mark.usefixtures("embedded")
def test_version_whose_run_has_not_decided_yet_is_told(embedded: Registry, releases: Made) -> None:
    embedded.register(laid_out(embedded, releases[0]))
    with pytest.raises(DecisionRefused, match="has no decision yet"):
        reviewed(embedded).answer("1", YES, LATER)


def test_rejected_by_its_gates_stays_rejected(embedded: Registry, releases: Made) -> None:
    decide(embedded, embedded.register(laid_out(embedded, releases[FAILING - 1])), REJECTED)
    tag(embedded, review="approved")
    assert look(embedded) == ["refused"]
    assert "it was rejected by run 1" in tags_of(embedded)["review_note"]
