"""A rollback: a decision like any other, to a release that is whole and whose features are there, within seconds.

It does not judge anew, which takes longer than an outage leaves: the bytes must be those of the release, the chain must
be signed, and the version must have been allowed to serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from sentinel.errors import ChampionMoved, DecisionRefused, RecordInvalid
from sentinel.promotion.catalogue import PREVIOUS, Catalogue, StoredVersion
from sentinel.promotion.decisions import sentences_against_chain
from sentinel.promotion.entries import Decided, Entry, left_text, state_text, told
from sentinel.promotion.keys import public_keys
from sentinel.promotion.review.answer import Review
from sentinel.promotion.review.eligibility import reasons_against, warrant_of
from sentinel.promotion.summary import with_state
from sentinel.promotion.switch.journal import Intent
from sentinel.promotion.switch.switch import Standing


@dataclass(frozen=True)
class Rollback:
    """`to`: version or alias; None: the one that served before."""

    to: str | None
    reason: str
    decided_by: str
    at: datetime


def roll_back(review: Review, asked: Rollback) -> Entry:
    """Let an earlier version serve. Raises DecisionRefused, RecordInvalid or ChampionMoved, and then nothing moved."""
    registry = review.registry
    decided = Decided("rolled_back", asked.reason, asked.decided_by, asked.at)
    switch = registry.switch()
    seen = switch.look()
    target = _target(seen, asked.to)
    folder = _require_may_serve(review, seen, target)

    def propose(standing: Standing) -> Intent:
        serving = standing.catalogue.champion
        if serving != seen.catalogue.champion:
            raise ChampionMoved(
                f"Champion is now version {serving}, and was version {seen.catalogue.champion} when this rollback was "
                "asked for. Nothing was moved. See it with `sentinel models history`, then call again."
            )
        entry = decided.entry(standing.catalogue, target, folder, target.version)
        states = {target.version: state_text(entry), str(serving): left_text(entry)}
        concerned = [stored for stored in standing.catalogue.versions if stored.version in states]
        return Intent(
            entry,
            {PREVIOUS: serving} if serving else {},
            {target.version: {"decision": "rolled_back"}},
            {stored.version: with_state(stored.description, states[stored.version]) for stored in concerned},
        )

    entry = switch.decide(propose)
    assert entry is not None
    return entry


def _target(standing: Standing, to: str | None) -> StoredVersion:
    catalogue = standing.catalogue
    stored = catalogue.find(to) if to is not None else _previous(catalogue, standing.chain)
    if stored.version == catalogue.champion:
        raise DecisionRefused(f"Version {stored.version} is the champion already. Nothing was changed.")
    return stored


def _previous(catalogue: Catalogue, chain: Sequence[Entry]) -> StoredVersion:
    """The version before; not one that was itself rolled back: a second call would bring it back to life."""
    if PREVIOUS not in catalogue.aliases:
        raise DecisionRefused(
            f"No version of {catalogue.name} served before the one that serves now. Name one with --to; "
            "`sentinel models list` shows them."
        )
    stored = catalogue.find(PREVIOUS)
    left = [entry for entry in chain if entry["champion_before"] == stored.version != entry["champion_after"]]
    if left and left[-1]["outcome"] in ("rolled_back", "put_back"):
        raise DecisionRefused(
            f"The version before is {stored.version}, which was itself left by a rollback {told(left[-1])}. "
            "Nothing was changed. Name the version that shall serve with --to."
        )
    return stored


def _require_may_serve(review: Review, standing: Standing, target: StoredVersion) -> Path:
    registry = review.registry
    publics = public_keys(registry.paths.keys)
    chain = registry.paths.decisions(registry.name)
    if wrong := sentences_against_chain(chain, publics):
        raise RecordInvalid("The chain of decisions does not hold:\n" + "\n".join(f"  {one}" for one in wrong))
    folder = registry.release_folder(target)
    warrant = warrant_of(target, publics, registry.name)
    against = reasons_against(target, folder, standing.chain, warrant, review.settings.review)
    if against:
        raise DecisionRefused(f"Version {target.version} may not serve: {'; '.join(against)}. Nothing was changed.")
    if lost := review.lost_features(target):
        raise RecordInvalid(f"Version {target.version} cannot serve. {' '.join(lost)} Nothing was changed.")
    return folder
