"""From events to online rows: what becomes knowable enters the windows of its keys, and their rows are made anew.

An event waits until the moment at which it is knowable. Windows of a key are loaded from the journal when the key is
first met, and kept from then on; what a correction takes back is loaded anew. So the journal is the truth, the
windows are a cache, and what a row holds does not depend on when the process was started.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sentinel.features.online.rows import Key, OnlineRow
from sentinel.features.online.stream.journal import Id, Journal, Version
from sentinel.features.online.stream.rules import Rules, ViewState
from sentinel.features.online.stream.windows import KeyWindows, Moved
from sentinel.features.spec import FeatureSet

_KEYS_HELD = 100_000  # of one entity, in memory


class Due(NamedTuple):
    """What happens to one key at a moment. `event` None: load the key anew; `order` keeps equal moments in order."""

    at_us: int
    order: int
    entity: int
    view: int
    key: Key
    event: Moved | None
    transaction_id: Id


class Entity:
    """The views of one key: those of spending and labels, of every feature set."""

    def __init__(self, columns: tuple[str, ...], places: tuple[int, ...]) -> None:
        self.columns = columns
        self.places = places  # of the columns in Version.keys
        self.views: list[ViewState] = []
        self.held: dict[Key, list[KeyWindows | None]] = {}

    def key(self, version: Version) -> Key | None:
        """None where a column is null: no such key."""
        found: Any = tuple([version.keys[place] for place in self.places])
        return None if None in found else found


class Engine:
    """`sets`: the feature sets that are online."""

    def __init__(self, journal: Journal, sets: Sequence[FeatureSet]) -> None:
        self._journal = journal
        self._entities: dict[tuple[str, ...], Entity] = {}
        self._rules: list[Rules] = []
        self._due: list[Due] = []
        self._order = 0
        self._corrected: set[Id] = set()
        for wanted in sets:
            self._rules.append(Rules(wanted))
            for view in wanted.views:
                places = tuple(journal.keys.index(key) for key in view.keys)
                entity = self._entities.setdefault(view.keys, Entity(view.keys, places))
                entity.views.append(ViewState(wanted, view))
        self._by_number = list(self._entities.values())
        self._merchant = journal.keys.index("merchant_id") if "merchant_id" in journal.keys else None

    @property
    def held_back(self) -> int:
        """How many moments are still to come: of an event one for each view it enters."""
        return len(self._due)

    @property
    def next_due_us(self) -> int | None:
        return self._due[0].at_us if self._due else None

    def expect_version(self, version: Version, earlier: Sequence[Version] = ()) -> None:
        """A new version, with the other versions of its transaction that are known of."""
        if earlier:
            self._corrected.add(version.transaction_id)
            for number, entity in enumerate(self._by_number):
                for other in earlier:
                    self._reload(number, entity, other, version)
                    self._reload(number, entity, version, other)
        self._expect(version, spending=True)
        self._expect(version, spending=False)

    def expect_label(self, version: Version) -> None:
        """The label of a version that was expected before."""
        self._expect(version, spending=False)

    def release(self, now_us: int) -> dict[str, list[OnlineRow]]:
        """The rows that change by what has become knowable, by view."""
        return self.rows(self.advance(now_us), now_us)

    @property
    def entities(self) -> list[tuple[str, ...]]:
        """The key columns of each entity, in the order of `advance` and `rows`."""
        return [entity.columns for entity in self._by_number]

    def advance(self, now_us: int) -> list[set[Key]]:
        """Let everything that is knowable by now enter the windows. Returns the keys it touched, by entity."""
        touched: list[set[Key]] = [set() for _ in self._by_number]
        due = self._due
        while due and due[0].at_us <= now_us:
            _, _, number, view, key, event, transaction_id = heapq.heappop(due)
            touched[number].add(key)
            held = self._by_number[number].held
            windows = held.get(key)
            if windows is None:
                continue
            if event is None or transaction_id in self._corrected:
                del held[key]
            elif (found := windows[view]) is None:
                windows[view] = KeyWindows(self._by_number[number].views[view].plan, event.at_us, (event,))
            else:
                found.add(event)
        return touched

    def rows(self, touched: Sequence[Iterable[Key]], now_us: int) -> dict[str, list[OnlineRow]]:
        """The rows of these keys, of every view; `now_us` is that of the last `advance`."""
        made: dict[str, list[OnlineRow]] = {}
        for entity, keys in zip(self._by_number, touched, strict=True):
            if not keys:
                continue
            self._load(entity, [key for key in keys if key not in entity.held], now_us)
            for number, view in enumerate(entity.views):
                rows = made.setdefault(view.name, [])
                for key in keys:
                    windows = entity.held[key][number]
                    if windows is not None:
                        rows.append(OnlineRow(key, windows.last_us, windows.values()))
            self._spare(entity)
        return {view: rows for view, rows in made.items() if rows}

    def _expect(self, version: Version, *, spending: bool) -> None:
        merchant = None if self._merchant is None else version.keys[self._merchant]
        for number, entity in enumerate(self._by_number):
            key = entity.key(version)
            if key is None:
                continue
            for place, view in enumerate(entity.views):
                if view.is_spending is spending:
                    at = view.rules.known_at(version) if spending else view.rules.labelled_at(version)
                    if at is not None:
                        event = Moved(at, version.happened_us, version.amount, merchant, version.is_fraud)
                        self._push(at, number, place, key, event, version.transaction_id)

    def _reload(self, number: int, entity: Entity, version: Version, other: Version) -> None:
        """Load the key of `version` anew once both are knowable: one of them replaces the other."""
        key = entity.key(version)
        if key is not None:
            for at in {max(rules.known_at(version), rules.known_at(other)) for rules in self._rules}:
                self._push(at, number, 0, key, None, version.transaction_id)

    def _push(self, at_us: int, entity: int, view: int, key: Key, event: Moved | None, transaction_id: Id) -> None:
        self._order += 1
        heapq.heappush(self._due, Due(at_us, self._order, entity, view, key, event, transaction_id))

    def _load(self, entity: Entity, keys: Sequence[Key], now_us: int) -> None:
        if keys:
            for key, versions in zip(keys, self._journal.spoken(entity.columns, keys), strict=True):
                entity.held[key] = [view.windows(versions, now_us) for view in entity.views]

    @staticmethod
    def _spare(entity: Entity) -> None:
        """Forget the keys that were loaded first; who is met again is loaded again."""
        while len(entity.held) > _KEYS_HELD:
            del entity.held[next(iter(entity.held))]
