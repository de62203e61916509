"""The guard: what serves must be what was decided. An alias that somebody set by hand is put back, or adopted.

Adopted is a version that verifies, passed its gates and was approved where a reviewer must. Everything else goes back
to the champion by the chain, or to the newest one before it that still holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sentinel.errors import GateFailed, RecordInvalid
from sentinel.promotion.catalogue import PREVIOUS, StoredVersion
from sentinel.promotion.entries import BY_HAND, Decided, Entry, is_about_serving
from sentinel.promotion.keys import public_keys, signing_key
from sentinel.promotion.release_files import require_registered_files
from sentinel.promotion.review.answer import Review
from sentinel.promotion.review.eligibility import reasons_against, warrant_of
from sentinel.promotion.switch.journal import Intent
from sentinel.promotion.switch.switch import Standing
from sentinel.promotion.words import one_line


@dataclass(frozen=True)
class _Kept:
    """A version that may serve, with its verified release."""

    stored: StoredVersion
    folder: Path


def guard(review: Review, now: datetime) -> Entry | None:
    """Look once; the entry that was written when the champion was not the decided one."""
    registry = review.registry
    standing = registry.switch().look()
    if standing.catalogue.champion == standing.champion_by_chain:
        return None
    signing_key(registry.paths.keys)  # the first look on a machine may be older than its keys
    intent = _judged(review, standing, now)

    def propose(held: Standing) -> Intent | None:
        """Judging takes seconds without the lock; what has changed since is for the next look."""
        unchanged = (held.catalogue.champion, len(held.chain)) == (standing.catalogue.champion, len(standing.chain))
        return intent if unchanged else None

    return registry.switch().decide(propose)


def _judged(review: Review, standing: Standing, now: datetime) -> Intent:
    catalogue = standing.catalogue
    if catalogue.champion is None:
        return _put_back(review, standing, None, "the alias champion was removed", now)
    found = catalogue.find(catalogue.champion)
    warrant = warrant_of(found, public_keys(review.registry.paths.keys), catalogue.name)
    try:
        require_registered_files(review.registry.paths, catalogue.name, review.registry.tracking_uri, found)
        kept = _require_may_serve(review, standing, found)
    except (RecordInvalid, GateFailed) as error:
        return _put_back(review, standing, found, _first(error), now)
    if warrant is not None and not any(entry.get("id") == warrant["id"] for entry in standing.chain):
        return _followed(standing, kept, warrant)
    return _adopted(standing, kept, now)


def _require_may_serve(review: Review, standing: Standing, stored: StoredVersion) -> _Kept:
    """Raises RecordInvalid or GateFailed with why it may not."""
    registry = review.registry
    folder = registry.verified(stored)
    warrant = warrant_of(stored, public_keys(registry.paths.keys), registry.name)
    if against := reasons_against(stored, folder, standing.chain, warrant, review.settings.review):
        raise RecordInvalid("; ".join(against))
    return _Kept(stored, folder)


def _put_back(review: Review, standing: Standing, found: StoredVersion | None, why: str, now: datetime) -> Intent:
    kept = next(_earlier_champions(review, standing), None)
    where = f"version {kept.stored.version} serves again" if kept else "no version that holds is left, so none serves"
    what = f"Version {found.version} was made champion by hand: {why}" if found else why.capitalize()
    decided = Decided("put_back", one_line(f"{what}; {where}."), BY_HAND, now)
    about = kept.stored if kept else StoredVersion(found.version if found else "", None, "", {})
    entry = decided.entry(
        standing.catalogue, about, kept.folder if kept else None, kept.stored.version if kept else None,
        put_back_from=found.version if found else None,
    )  # fmt: skip
    tags = {found.version: {"guard_note": decided.reason}} if found else {}
    return Intent(entry, {}, tags)


def _earlier_champions(review: Review, standing: Standing) -> Iterator[_Kept]:
    """Newest first, each once, as far as they may serve."""
    served = [entry["champion_after"] for entry in reversed(standing.chain) if is_about_serving(entry)]
    known = {stored.version: stored for stored in standing.catalogue.versions}
    for version in dict.fromkeys(served):
        if version not in known or version == standing.catalogue.champion:
            continue
        try:
            yield _require_may_serve(review, standing, known[version])
        except (RecordInvalid, GateFailed):
            continue


def _adopted(standing: Standing, kept: _Kept, now: datetime) -> Intent:
    reason = "The alias was set by hand on a version that verifies and may serve."
    entry = Decided("adopted", reason, BY_HAND, now).entry(
        standing.catalogue, kept.stored, kept.folder, kept.stored.version
    )
    return _confirmed(standing, kept, entry)


def _followed(standing: Standing, kept: _Kept, warrant: Entry) -> Intent:
    """Another machine's decision, by its signed warrant: this chain takes note."""
    decided_at = datetime.fromisoformat(warrant["decided_at"])
    reason = f"On another machine: {warrant['outcome'].replace('_', ' ')}. {warrant['reason']}"
    entry = Decided("followed", reason, warrant["decided_by"], decided_at).entry(
        standing.catalogue, kept.stored, kept.folder, kept.stored.version
    )
    entry["id"] = warrant["id"]
    return Intent(entry | {"champion_was": standing.champion_by_chain})


def _confirmed(standing: Standing, kept: _Kept, entry: Entry) -> Intent:
    """The alias stays; `previous` is who served before by the chain."""
    before = standing.champion_by_chain
    there = {stored.version for stored in standing.catalogue.versions}
    aliases = {PREVIOUS: before} if before in there and before != kept.stored.version else {}
    tags = {kept.stored.version: {"decision": "adopted"}}
    return Intent(entry | {"champion_was": before}, {key: str(value) for key, value in aliases.items()}, tags)


def _first(error: Exception) -> str:
    """A long list of what does not hold, in short."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return one_line(" ".join(lines[:2]), 240)
