"""The one switch: every change of what serves goes through `Switch.decide`, whoever makes it.

Under the lock: what a killed writer began is completed or discarded; the decision is made about what is there now; it
is written to the journal; the alias is compared and swapped, then the rest follows; the chain gets its entry. The alias
`champion` moves first and decides: until it has moved nothing happened, from then on everything is completed.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sentinel.errors import SentinelError
from sentinel.paths import Paths
from sentinel.promotion.catalogue import Catalogue
from sentinel.promotion.decisions import append_decision, read_chain
from sentinel.promotion.entries import Entry, champion_by
from sentinel.promotion.keys import signing_key
from sentinel.promotion.store.contract import Change, RegistryStore, Swap
from sentinel.promotion.switch.journal import Intent, Journal
from sentinel.promotion.switch.lock import RegistryLock
from sentinel.promotion.switch.warrant import TAG, write_warrant


@dataclass(frozen=True)
class Standing:
    """What a decision is made about: the registry and the chain, as they are while the lock is held."""

    catalogue: Catalogue
    chain: list[Entry]

    def last_about(self, digest: str) -> Entry | None:
        return next((entry for entry in reversed(self.chain) if entry["release"] == digest), None)

    @property
    def champion_by_chain(self) -> str | None:
        """The version that serves by the last decision that moved, or confirmed, the champion."""
        return champion_by(self.chain)


@dataclass(frozen=True)
class Switch:
    store: RegistryStore
    lock: RegistryLock
    chain: Path
    keys: Path

    @property
    def journal(self) -> Journal:
        return Journal(self.chain.with_suffix(".journal"))

    def look(self) -> Standing:
        """What is there, with whatever a killed writer left made good."""
        with self.lock.held():
            self._recover()
            return self._standing()

    def decide(self, propose: Callable[[Standing], Intent | None]) -> Entry | None:
        """Carry out what `propose` makes of the standing; its entry, or None when nothing is to be done.

        `propose` may raise, and then nothing has moved. Raises ChampionMoved when somebody else moved the alias.
        """
        with self.lock.held():
            self._recover()
            intent = propose(self._standing())
            if intent is None:
                return None
            intent = self._warranted(intent)
            self.journal.write(intent)
            try:
                self.store.apply(self._change(intent))
            except Exception:
                with suppress(SentinelError):  # what cannot be made good now waits for the next writer
                    self._recover()
                raise
            return self._finish(intent)

    def _standing(self) -> Standing:
        return Standing(self.store.catalogue(), read_chain(self.chain))

    def _recover(self) -> None:
        intent = self.journal.read()
        if intent is None:
            return
        is_written = any(entry.get("id") == intent.entry["id"] for entry in read_chain(self.chain))
        if not is_written and (not intent.moves or self._has_moved(intent)):
            self._complete(intent)
            self._finish(intent)
        self.journal.clear()

    def _has_moved(self, intent: Intent) -> bool:
        """The alias says so, or, when it has moved on since, the warrant that moved with it."""
        catalogue, after = self.store.catalogue(), intent.entry["champion_after"]
        if catalogue.champion == after:
            return True
        versions = {stored.version: stored.tags for stored in catalogue.versions}
        warrant = intent.tags.get(after, {}).get(TAG)
        return warrant is not None and versions.get(after, {}).get(TAG) == warrant

    def _complete(self, intent: Intent) -> None:
        """Whatever belongs to a move besides the move; not the other aliases when the champion has moved on since."""
        catalogue = self.store.catalogue()
        there = {stored.version for stored in catalogue.versions}
        is_last = catalogue.champion == intent.entry["champion_after"]
        aliases = {alias: version for alias, version in intent.aliases.items() if is_last and version in there}
        tags = {version: tags for version, tags in intent.tags.items() if version in there}
        texts = {version: text for version, text in intent.descriptions.items() if version in there}
        self.store.apply(Change(None, aliases, tags, texts))

    def _finish(self, intent: Intent) -> Entry:
        entry = append_decision(self.chain, intent.entry, signing_key(self.keys))
        self.journal.clear()
        return entry

    def _change(self, intent: Intent) -> Change:
        swap = Swap(intent.entry["champion_before"], intent.entry["champion_after"]) if intent.moves else None
        return Change(swap, intent.aliases, intent.tags, intent.descriptions)

    def _warranted(self, intent: Intent) -> Intent:
        after = intent.entry["champion_after"]
        if not intent.moves or after is None:
            return intent
        warrant = {TAG: write_warrant(intent.entry, signing_key(self.keys))}
        tags = {**intent.tags, after: {**intent.tags.get(after, {}), **warrant}}
        return Intent(intent.entry, intent.aliases, tags, intent.descriptions)


def open_switch(store: RegistryStore, lock: RegistryLock, paths: Paths, name: str) -> Switch:
    return Switch(store, lock, paths.decisions(name), paths.keys)
