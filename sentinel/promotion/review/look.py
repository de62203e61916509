"""One look for what people did in MLflow: answers in tags, questions that nobody answered in time, aliases set by hand.

A webhook or a schedule starts it; what it acts upon it reads from the registry itself.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from sentinel.errors import DecisionRefused, GateFailed, RecordInvalid
from sentinel.promotion.catalogue import StoredVersion
from sentinel.promotion.entries import Entry, told
from sentinel.promotion.review.answer import Answer, Review, waits
from sentinel.promotion.review.guard import guard
from sentinel.promotion.store.contract import Change
from sentinel.promotion.switch.switch import Standing
from sentinel.promotion.words import one_line

logger = logging.getLogger("sentinel.review")

_WORDS = ("approved", "rejected")


@dataclass(frozen=True)
class Happening:
    """`kind`: promoted, rejected, expired, refused, put_back, adopted or followed."""

    kind: str
    version: str
    sentence: str

    @property
    def is_grave(self) -> bool:
        """Whether a person must see it."""
        return self.kind in ("put_back", "refused", "adopted")


def look_for_answers(review: Review, now: datetime) -> list[Happening]:
    """Act on every answer, oldest version first, then see whether what serves may serve."""
    standing = review.registry.switch().look()
    found = [_look_at(review, standing, stored, now) for stored in reversed(standing.catalogue.versions)]
    guarded = guard(review, now)
    entries = [_happening(review, guarded)] if guarded else []
    return [happening for happening in found if happening is not None] + entries


def _look_at(review: Review, standing: Standing, stored: StoredVersion, now: datetime) -> Happening | None:
    said = stored.tags.get("review", "")
    if "release" not in stored.tags:
        return None
    try:
        if waits(standing, stored) and review.is_expired(standing, stored, now):
            entry = review.expire(stored, now)
            return _happening(review, entry) if entry else None
        if not said or _is_known(standing, stored, said):
            return None
        return _happening(review, review.answer(stored.version, _answer(stored, said), now))
    except (DecisionRefused, GateFailed, RecordInvalid) as refusal:
        return _note(review, stored, str(refusal))


def _answer(stored: StoredVersion, said: str) -> Answer:
    word = said.strip().casefold()
    if word not in _WORDS:
        raise DecisionRefused(
            f"The tag review is {one_line(said, 40)!r}, and the answers are approved and rejected. Nothing was "
            "changed: mend the tag."
        )
    reviewer, comment = stored.tags.get("reviewer", ""), stored.tags.get("review_comment", "")
    return Answer(word, reviewer, comment, "MLflow")


def _is_known(standing: Standing, stored: StoredVersion, said: str) -> bool:
    """Whether this is the answer that was acted upon."""
    about = [entry for entry in standing.chain if entry["release"] == stored.release and "review" in entry]
    return not waits(standing, stored) and bool(about) and about[-1]["review"] == said.strip().casefold()


def _note(review: Review, stored: StoredVersion, sentence: str) -> Happening | None:
    """Tell it where the answer was given, once."""
    if stored.tags.get("review_note") == sentence:
        return None
    review.registry.store().apply(Change(tags={stored.version: {"review_note": sentence}}))
    return Happening("refused", stored.version, sentence)


def _happening(review: Review, entry: Entry) -> Happening:
    how = entry["outcome"].replace("_", " ")
    sentence = f"Version {entry['version']} of {review.registry.name}: {how} {told(entry)}."
    return Happening(entry["outcome"], entry["version"], sentence)


def tell(found: list[Happening]) -> None:
    """In the log; a warning for what a person must see."""
    for happening in found:
        logger.log(logging.WARNING if happening.is_grave else logging.INFO, "%s", happening.sentence)
