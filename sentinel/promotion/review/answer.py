"""A reviewer's answer about a version that waits, from wherever it comes: MLflow's tags, Prefect's form, the command.

It is acted upon once. A second, contrary answer changes nothing and is told.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from sentinel.config import Promotion
from sentinel.errors import DecisionRefused, RecordInvalid
from sentinel.promotion.authors import is_author
from sentinel.promotion.catalogue import StoredVersion
from sentinel.promotion.entries import Decided, Entry, told
from sentinel.promotion.registry import Registry
from sentinel.promotion.switch.journal import Intent
from sentinel.promotion.switch.switch import Standing
from sentinel.promotion.words import MOST_NAME, lasting, one_line, required

UNNAMED = "somebody in MLflow"

LostFeatures = Callable[[StoredVersion], list[str]]


@dataclass(frozen=True)
class Answer:
    """`reviewer` as that person said it: nothing here proves who it was."""

    decision: Literal["approved", "rejected"]
    reviewer: str
    reason: str
    through: Literal["MLflow", "Prefect", "the command line"]


@dataclass(frozen=True)
class Review:
    """`lost_features`: a sentence for each thing of a version's features that is gone."""

    registry: Registry
    settings: Promotion
    lost_features: LostFeatures

    def waiting(self) -> set[str]:
        """The versions that wait for an answer."""
        standing = self.registry.switch().look()
        return {stored.version for stored in standing.catalogue.versions if waits(standing, stored)}

    def answer(self, wanted: str, answer: Answer, now: datetime) -> Entry:
        """Act on it and return the entry of the chain.

        Raises DecisionRefused when the version does not wait or this reviewer may not approve it, GateFailed or
        RecordInvalid when its release does not hold, ChampionMoved when it was judged against another champion.
        """
        switch = self.registry.switch()
        standing = switch.look()
        stored = standing.catalogue.find(wanted)
        self._require_allowed(standing, stored, answer, now)
        decided = Decided(*_as_decided(answer), now)
        folder = self._approvable(stored) if answer.decision == "approved" else self.registry.release_folder(stored)

        def propose(standing: Standing) -> Intent:
            self._require_allowed(standing, stored, answer, now)
            tags = {
                "review": answer.decision,
                "reviewer": decided.decided_by.removeprefix("reviewer "),
                "review_comment": decided.reason,
            }
            if "review_note" in stored.tags:
                tags["review_note"] = "Answered."
            intent = self.registry.intent(standing, stored, folder, decided, **tags)
            intent.entry.update(review=answer.decision, through=answer.through)
            return intent

        entry = switch.decide(propose)
        assert entry is not None
        return entry

    def expire(self, stored: StoredVersion, now: datetime) -> Entry | None:
        """Note that nobody answered in time; None when somebody did meanwhile."""
        folder = self.registry.release_folder(stored)
        decided = Decided(
            "expired", f"Nobody answered within {lasting(self.settings.review_expires_after)}.", "the review", now
        )

        def propose(standing: Standing) -> Intent | None:
            if not waits(standing, stored) or not self.is_expired(standing, stored, now):
                return None
            return self.registry.intent(standing, stored, folder, decided)

        return self.registry.switch().decide(propose)

    def is_expired(self, standing: Standing, stored: StoredVersion, now: datetime) -> bool:
        last = standing.last_about(stored.release)
        since = last["decided_at"] if last else stored.tags.get("waiting_since")
        return since is not None and datetime.fromisoformat(since) + self.settings.review_expires_after <= now

    def _require_allowed(self, standing: Standing, stored: StoredVersion, answer: Answer, now: datetime) -> None:
        name = f"Version {stored.version} of {self.registry.name}"
        if not waits(standing, stored):
            raise DecisionRefused(f"{name} {_state(standing, stored)} Nothing was changed.")
        if self.is_expired(standing, stored, now):
            raise DecisionRefused(
                f"{name} waited for longer than {lasting(self.settings.review_expires_after)} and has expired. "
                "Run the main job again: it asks anew. Nothing was changed."
            )
        if answer.decision == "approved" and not self.settings.self_approval:
            self._require_another(standing, stored, answer.reviewer)

    def _require_another(self, standing: Standing, stored: StoredVersion, reviewer: str) -> None:
        last = standing.last_about(stored.release)
        author = (last or {}).get("author") or stored.tags.get("author", "")
        if not author:
            raise DecisionRefused(
                f"Who started the run of version {stored.version} is not recorded, so that nobody can be shown to be "
                "another person, which promotion.self_approval = false asks for. Run the main job again."
            )
        if not one_line(reviewer):
            raise DecisionRefused(
                "The author of a run may not approve it (promotion.self_approval = false), so say who you are: set the "
                "tag `reviewer`, or --reviewer."
            )
        if is_author(reviewer, author):
            raise DecisionRefused(
                f"{one_line(reviewer, MOST_NAME)} started the run of version {stored.version}, and an author may not "
                "approve the own version (promotion.self_approval = false). Ask another reviewer. Nothing was changed."
            )

    def _approvable(self, stored: StoredVersion) -> Path:
        folder = self.registry.verified_in_mlflow(stored)
        if lost := self.lost_features(stored):
            raise RecordInvalid(f"Version {stored.version} cannot serve: {' '.join(lost)} Nothing was changed.")
        return folder


def waits(standing: Standing, stored: StoredVersion) -> bool:
    """By the chain; of a run on another machine this chain knows nothing, and the version's tag tells."""
    last = standing.last_about(stored.release)
    return last["outcome"] == "waiting" if last else stored.tags.get("decision") == "waiting"


def _state(standing: Standing, stored: StoredVersion) -> str:
    last = standing.last_about(stored.release)
    if last is None:
        return "has no decision yet: its run has not come to it. Wait for the run to end, or run it again."
    how = last["outcome"].replace("_", " ")
    again = " To take it back, use `sentinel models rollback`." if last["outcome"] == "promoted" else ""
    return f"does not wait for an answer: it was {how} {told(last)}.{again}"


def _as_decided(answer: Answer) -> tuple[str, str, str]:
    """(outcome, reason, decided_by)."""
    reviewer = one_line(answer.reviewer, MOST_NAME)
    reason = one_line(answer.reason)
    if answer.through == "MLflow":
        reviewer, reason = reviewer or UNNAMED, reason or f"{answer.decision.capitalize()} without a comment."
    by = f"reviewer {required(reviewer, 'name of the reviewer', MOST_NAME)}"
    return ("promoted" if answer.decision == "approved" else "rejected"), required(reason, "reason"), by
