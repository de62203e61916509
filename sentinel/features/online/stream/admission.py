"""Which events of a batch are new: what is known already is skipped, what contradicts it is rejected with a reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from sentinel.features.online.stream.engine import Engine
from sentinel.features.online.stream.journal import Id, Journal, Version
from sentinel.features.online.stream.schema import Event, Label, Rejected, Transaction


@dataclass
class Admitted:
    """What a batch brought. `versions`: each new one with the others of its transaction; `rejected`: by place."""

    versions: list[tuple[Version, list[Version]]] = field(default_factory=list[tuple[Version, list[Version]]])
    labelled: list[Version] = field(default_factory=list[Version])
    labels: list[tuple[Id, bool, int | None]] = field(default_factory=list[tuple[Id, bool, int | None]])
    label_events: int = 0
    duplicates: int = 0
    rejected: dict[int, str] = field(default_factory=dict[int, str])

    def store(self, journal: Journal, batch: int) -> None:
        """Within a transaction of the journal."""
        journal.insert((version for version, _ in self.versions), batch)
        journal.set_labels(self.labelled, batch)
        journal.insert_labels(self.labels)

    def announce(self, engine: Engine) -> None:
        """After the journal has it."""
        for version, others in self.versions:
            engine.expect_version(version, others)
        for version in self.labelled:
            engine.expect_label(version)


def admit(journal: Journal, events: Sequence[Event | Rejected], *, has_label_available_at: bool) -> Admitted:
    """Compare a batch with itself and with what the journal holds. A label may stand before its transaction in it."""
    return _Batch(journal, events, has_label_available_at).admit()


class _Batch:
    def __init__(self, journal: Journal, events: Sequence[Event | Rejected], has_label_available_at: bool) -> None:
        self._events = events
        self._has_label_available_at = has_label_available_at
        ids = {event.transaction_id for event in events if not isinstance(event, Rejected)}
        self._known = journal.versions_of(ids)
        self._labels = journal.labels_of(self._known)
        self._new: dict[tuple[Id, int], Version] = {}
        self._relabelled: dict[tuple[Id, int], Version] = {}
        self._made = Admitted()

    def admit(self) -> Admitted:
        labels: list[tuple[int, Label]] = []
        for place, event in enumerate(self._events):
            if isinstance(event, Transaction):
                self._transaction(place, event)
            elif isinstance(event, Label):
                labels.append((place, event))
            else:
                self._made.rejected[place] = event.reason
        for place, label in labels:
            self._label(place, label)
        self._made.labelled = list(self._relabelled.values())
        return self._made

    def _transaction(self, place: int, event: Transaction) -> None:
        others = self._known.setdefault(event.transaction_id, [])
        for other in others:
            if other.recorded_us == event.recorded_us:
                self._again(place, event, other)
                return
        version = Version(
            event.transaction_id, event.recorded_us, max(event.recorded_us, event.happened_us), event.happened_us,
            event.amount, None, None, event.keys,
        )  # fmt: skip
        self._give_label(version, event.is_fraud, event.available_us)
        if not self._is_labelled(version) and (label := self._labels.get(event.transaction_id)) is not None:
            version.is_fraud, version.available_us = label
        self._made.versions.append((version, list(others)))
        self._new[version.transaction_id, version.recorded_us] = version
        others.append(version)

    def _again(self, place: int, event: Transaction, held: Version) -> None:
        """The same version once more: the same, or with its label now, or something else under its name."""
        same = (event.happened_us, event.amount, event.keys) == (held.happened_us, held.amount, held.keys)
        if not same:
            self._made.rejected[place] = (
                f"transaction {event.transaction_id!r} is known already with other content; a correction needs a "
                "later recorded_at"
            )
        elif event.is_fraud is None or self._has_label(held, event.is_fraud, event.available_us):
            self._made.duplicates += 1
        elif self._is_labelled(held):
            self._made.rejected[place] = _other_label(event.transaction_id)
        elif self._has_label_available_at and event.available_us is None:
            self._made.duplicates += 1  # a label that never becomes available says nothing
        else:
            self._relabel(held, event.is_fraud, event.available_us)
            self._made.label_events += 1

    def _label(self, place: int, label: Label) -> None:
        versions = self._known.get(label.transaction_id, [])
        if label.recorded_us is not None:
            versions = [version for version in versions if version.recorded_us == label.recorded_us]
        if not versions:
            self._made.rejected[place] = (
                f"label for the unknown transaction {label.transaction_id!r}; a transaction comes before its label, "
                "and is forgotten when no window and no label can reach it"
            )
            return
        missing = [version for version in versions if not self._is_labelled(version)]
        if missing:
            for version in missing:
                self._relabel(version, label.is_fraud, label.available_us)
            if label.recorded_us is None:
                stored = (int(label.is_fraud), label.available_us)
                self._labels[label.transaction_id] = stored
                self._made.labels.append((label.transaction_id, label.is_fraud, label.available_us))
            self._made.label_events += 1
        elif any(self._has_label(version, label.is_fraud, label.available_us) for version in versions):
            self._made.duplicates += 1
        else:
            self._made.rejected[place] = _other_label(label.transaction_id)

    def _relabel(self, version: Version, is_fraud: bool, available_us: int | None) -> None:
        self._give_label(version, is_fraud, available_us)
        name = (version.transaction_id, version.recorded_us)
        if name not in self._new:
            self._relabelled[name] = version

    def _give_label(self, version: Version, is_fraud: bool | None, available_us: int | None) -> None:
        """The moment of a label counts only where it is mapped; elsewhere the label delay says it."""
        version.is_fraud = None if is_fraud is None else int(is_fraud)
        version.available_us = available_us if self._has_label_available_at else None

    def _is_labelled(self, version: Version) -> bool:
        return version.is_fraud is not None and (version.available_us is not None or not self._has_label_available_at)

    def _has_label(self, version: Version, is_fraud: bool, available_us: int | None) -> bool:
        same_moment = version.available_us == available_us or not self._has_label_available_at
        return version.is_fraud == int(is_fraud) and same_moment


def _other_label(transaction_id: Id) -> str:
    return f"transaction {transaction_id!r} has another label already; a corrected label comes as a new version"
