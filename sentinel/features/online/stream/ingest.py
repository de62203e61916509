"""One stream into the online store: batch by batch checked, journalled, counted into the windows, written.

The journal is committed before the rows are written, and the moment up to which rows are complete is noted beside
them. So a process that was killed anywhere goes on where the journal ends, and writes the rows anew that became
different after the note.
"""

from __future__ import annotations

import fcntl
import json
import uuid
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sentinel.errors import ConfigInvalid
from sentinel.features.online.rows import OnlineRows
from sentinel.features.online.stream.admission import Admitted, admit
from sentinel.features.online.stream.base import base_facts
from sentinel.features.online.stream.clock import Clock
from sentinel.features.online.stream.dead_letters import DeadLetter, DeadLetters
from sentinel.features.online.stream.engine import Engine
from sentinel.features.online.stream.journal import Journal
from sentinel.features.online.stream.rules import Rules
from sentinel.features.online.stream.schema import EventSchema
from sentinel.features.online.stream.sources import Batch, Source
from sentinel.features.spec import FeatureSet

_BATCH_NUMBER, _LETTER_BYTES, _IDENTITY = "batch", "dead_letter_bytes", "identity"


@dataclass
class Counts:
    """Of one call. `held_back`: what is journalled and becomes knowable later, one for each view it enters."""

    read: int = 0
    transactions: int = 0
    labels: int = 0
    duplicates: int = 0
    rejected: int = 0
    held_back: int = 0
    rows: int = 0
    batches: int = 0
    reasons: dict[str, int] = field(default_factory=dict[str, int])

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)


class Stream:
    """The journal, the windows and the store of one data set, brought together. `sets`: those that are online."""

    def __init__(
        self, journal: Journal, rows: OnlineRows, sets: Sequence[FeatureSet], clock: Clock, counts: Counts | None = None
    ) -> None:
        self._journal = journal
        self._engine = Engine(journal, sets)
        self._rows = rows
        self._sets = sets
        self._clock = clock
        self._lag_us = max(Rules(wanted).lag_us for wanted in sets)
        self._batch: int = journal.state(_BATCH_NUMBER) or 0
        self._identity = _identity(journal)
        self.counts = counts or Counts()

    def catch_up(self, materialized_until: dict[str, int]) -> None:
        """Write again what may be missing: rows of batches after the note, and what became knowable since.

        `materialized_until`: for each set the moment up to which the store holds what the table says.
        """
        since = {wanted.hash: self._noted(wanted, materialized_until[wanted.hash]) for wanted in self._sets}
        batch, moment = min(each[0] for each in since.values()), min(each[1] for each in since.values())
        changed = {
            (version.transaction_id, version.recorded_us): version
            for wanted in self._sets
            for version in self._journal.changed_since(
                batch, moment, Rules(wanted).lag_us, Rules(wanted).label_delay_us
            )
        }
        others = self._journal.versions_of({version.transaction_id for version in changed.values()})
        for version in changed.values():
            earlier = [each for each in others[version.transaction_id] if each.recorded_us != version.recorded_us]
            self._engine.expect_version(version, earlier)
        self._see()
        self._write()

    def take(self, source: Source, batch: Batch, schema: EventSchema, letters: DeadLetters) -> None:
        """One micro-batch, whole: after it the journal has it, and the store what it changed."""
        if batch.lines:
            limit = self._clock.limit_us()
            events = [schema.read(line, limit) for _, line in batch.lines]
            admitted = admit(self._journal, events, has_label_available_at=self._sets[0].has_label_available_at)
            rejected = self._letters(batch, admitted)
            self._commit(source, batch, admitted, rejected, letters)
            admitted.announce(self._engine)
            for version, _ in admitted.versions:
                self._clock.see(version.known_us + self._lag_us)
            self._count(batch, admitted)
        self._write()

    def _commit(
        self, source: Source, batch: Batch, admitted: Admitted, rejected: Sequence[DeadLetter], letters: DeadLetters
    ) -> None:
        written = letters.append(source.name, [each for each in rejected if not self._is_told(each)])
        self._batch += 1
        facts: dict[str, Any] = {_BATCH_NUMBER: self._batch, _LETTER_BYTES: written}
        if batch.position is not None:
            facts[_position(source)] = batch.position
        with self._journal.transaction():
            admitted.store(self._journal, self._batch)
            self._journal.insert_rejected((each.position, each.digest) for each in rejected)
            self._journal.remember(facts)

    def _is_told(self, letter: DeadLetter) -> bool:
        return self._journal.is_rejected(letter.position, letter.digest)

    def _letters(self, batch: Batch, admitted: Admitted) -> list[DeadLetter]:
        return [DeadLetter(*batch.lines[place], reason) for place, reason in sorted(admitted.rejected.items())]

    def _write(self) -> None:
        """Write the rows of what is knowable by now, and note how far the store is complete."""
        now = self._clock.now_us()
        due = self._engine.next_due_us
        if due is None or due > now:
            self.counts.held_back = self._engine.held_back
            return
        for view, rows in self._engine.release(now).items():
            self._rows.write(view, rows)
            self.counts.rows += len(rows)
        note = json.dumps({"journal": self._identity, "batch": self._batch, "until_us": now, "base": self._base()})
        for wanted in self._sets:
            self._rows.note(_subject(wanted), note)
        self.counts.held_back = self._engine.held_back

    def _noted(self, wanted: FeatureSet, materialized_until_us: int) -> tuple[int, int]:
        """The batch and the moment up to which the store is complete for a set."""
        noted = self._rows.noted(_subject(wanted))
        note: dict[str, Any] = json.loads(noted) if noted else {}
        if note.get("journal") != self._identity:
            return 0, materialized_until_us
        if note["base"] != self._base():  # rows that were streamed lack what the newer data brought
            return 0, min(note["until_us"], note["base"][1] if note["base"] else 0, materialized_until_us)
        return note["batch"], note["until_us"]

    def _base(self) -> list[Any]:
        return list(base_facts(self._journal) or ())

    def _see(self) -> None:
        latest = self._journal.latest_known_us()
        if latest is not None:
            self._clock.see(latest + self._lag_us)

    def _count(self, batch: Batch, admitted: Admitted) -> None:
        counts = self.counts
        counts.batches += 1
        counts.read += len(batch.lines)
        counts.transactions += len(admitted.versions)
        counts.labels += admitted.label_events
        counts.duplicates += admitted.duplicates
        counts.rejected += len(admitted.rejected)
        for reason in admitted.rejected.values():
            kind = reason.partition(":")[0].partition(" - at ")[0][:80]
            counts.reasons[kind] = counts.reasons.get(kind, 0) + 1


def follow(
    current: Callable[[], Stream], source: Source, schema: EventSchema, journal: Journal, letters_file: Path,
    should_stop: Callable[[], bool],
) -> None:  # fmt: skip
    """Read the source from where the journal ends, until it ends or `should_stop`. `current`: asked for each batch."""
    letters = DeadLetters(letters_file, journal.state(_LETTER_BYTES))
    for batch in source.batches(journal.state(_position(source))):
        current().take(source, batch, schema, letters)
        if should_stop():
            break


@contextmanager
def only_one(lock: Path, does: str) -> Generator[None]:
    """One process a data set `does` this: the kernel's lock goes with its process, also after kill -9."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ConfigInvalid(
                f"Another process {does} this data set already (it holds {lock}). Wait for its end, or end it."
            ) from error
        yield


def _position(source: Source) -> str:
    return f"position of {source.name}"


def _subject(wanted: FeatureSet) -> str:
    return f"streamed:{wanted.hash}"


def _identity(journal: Journal) -> str:
    """Made once: a note of another journal says nothing about this one's batches."""
    found = journal.state(_IDENTITY)
    if found is None:
        found = uuid.uuid4().hex
        with journal.transaction():
            journal.remember({_IDENTITY: found})
    return found
