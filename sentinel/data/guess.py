"""From a file to the best guess of its configuration: what each column is, how it is written, which settings fit.

Nothing uncertain passes as certain: a guess is marked, and what could not be guessed is a question.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from sentinel.config import Source
from sentinel.data.contract import ContractColumn, Kind
from sentinel.data.guess_columns import Choice, Chosen, choose, is_clock, is_time
from sentinel.data.guess_document import Guess
from sentinel.data.guess_inputs import describe, guess_inputs
from sentinel.data.guess_settings import Timeline, guess_gates, guess_times, guess_validation, make_timeline
from sentinel.data.guess_source import as_source, guess_source
from sentinel.data.guess_table import ColumnFacts, LookedAt
from sentinel.data.guess_words import Role, name_fits
from sentinel.data.source_files import find_source_files
from sentinel.errors import ConfigInvalid
from sentinel.progress import Progress, silent

KINDS: dict[Role, Kind] = {
    "transaction_id": "id", "event_timestamp": "time", "recorded_at": "time", "customer_id": "id", "merchant_id": "id",
    "amount": "amount", "is_fraud": "label", "label_available_at": "time",
}  # fmt: skip
KEYS = ("transaction_id", "event_timestamp", "recorded_at", "customer_id", "merchant_id")
IN_ORDER = 0.99  # of the moments lie not before their transaction
REQUIRED = ("transaction_id", "event_timestamp", "customer_id", "amount", "is_fraud")


@dataclass(frozen=True)
class Guessed:
    """`rows` of the file, of which every `every`-th was looked at; `broken` lines were no rows."""

    rows: int
    columns: int
    every: int
    broken: int
    guesses: tuple[Guess, ...]

    def of(self, certainty: str) -> list[Guess]:
        return [guess for guess in self.guesses if guess.certainty == certainty]

    @property
    def unanswered(self) -> list[str]:
        """Columns without which the configuration cannot be loaded."""
        return [guess.key for guess in self.of("open") if guess.section == "columns" and guess.key in REQUIRED]


def guess(path: Path, name: str, *, scratch: Path, progress: Progress = silent) -> Guessed:
    """Look at one CSV or Parquet file. Raises DataContractError when it cannot be read."""
    if path.is_dir():
        raise ConfigInvalid(f"{path} is a folder. Name one file of it; the other files then need the same columns.")
    (file,) = find_source_files([path])
    scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=scratch, prefix="looking-") as folder, LookedAt(file, Path(folder), progress) as looked:
        columns = looked.facts(progress)
        guesses = [Guess("", "name", name, "sure", ""), *_guess(columns, looked)]
        return Guessed(looked.rows, len(columns), looked.every, looked.broken, tuple(guesses))


def _guess(columns: Sequence[ColumnFacts], looked: LookedAt) -> list[Guess]:
    chosen = choose(columns)
    settings = guess_source(columns, chosen, looked)
    source = as_source(settings)
    _choose_moments(columns, chosen, looked, source)
    timeline = _timeline(chosen, looked, source)
    event, label = _contract(chosen, "event_timestamp"), _contract(chosen, "is_fraud")
    return [
        *_columns(chosen),
        *guess_inputs(columns, chosen, looked, source, event, label),
        *settings,
        *_quarantine(chosen, looked, source),
        *guess_validation(timeline, _amounts(chosen, looked, source), looked.rows),
        *(guess_times(timeline) if timeline and len(timeline.event) else ()),
        *guess_gates(timeline),
    ]


def _columns(chosen: Chosen) -> Iterator[Guess]:
    for role in KINDS:
        choice = chosen.choices.get(role)
        if choice is None:
            continue
        about = describe(choice.column, masked=KINDS[role] == "id") if choice.column else ""
        value = choice.column.name if choice.column else None
        yield Guess("columns", role, value, choice.certainty, f"{choice.reason} {about}".strip())


def _contract(chosen: Chosen, role: Role) -> ContractColumn | None:
    column = chosen.column(role)
    if column is None:
        return None
    return ContractColumn(role, KINDS[role], f"columns.{role}", column.name, role in KEYS, may_be_absent=False)


_LATER: tuple[Role, ...] = ("label_available_at", "recorded_at")


def _choose_moments(columns: Sequence[ColumnFacts], chosen: Chosen, looked: LookedAt, source: Source) -> None:
    """Columns of times behind the event: when a row was recorded, and when its label became known."""
    event = _contract(chosen, "event_timestamp")
    for role in _LATER:
        named = [
            column
            for column in chosen.free(columns)
            if name_fits(column.name, role) and (is_time(column) or (source.clock and is_clock(column)))
        ]
        for column in sorted(named, key=partial(_unlike, role)):
            if event and _lies_behind(column, role, event, looked, source):
                chosen.add(Choice(role, column, "sure" if name_fits(column.name, role) == 2 else "guess", ""))
                break


def _unlike(role: Role, column: ColumnFacts) -> int:
    return -name_fits(column.name, role)


def _lies_behind(column: ColumnFacts, role: Role, event: ContractColumn, looked: LookedAt, source: Source) -> bool:
    """Whether it can be read, and is hardly ever earlier than the event; a record has its time in every row."""
    if role == "recorded_at" and not column.is_complete:
        return False
    moment = ContractColumn(role, "time", f"columns.{role}", column.name, is_key=False, may_be_absent=False)
    values = looked.read([event, moment], source)
    later, earlier = np.ma.asarray(values[role]), np.ma.asarray(values["event_timestamp"])
    behind = np.ma.compressed(later >= earlier)
    return looked.every * len(behind) >= IN_ORDER * column.present > 0 and float(behind.mean()) >= IN_ORDER


def _timeline(chosen: Chosen, looked: LookedAt, source: Source) -> Timeline | None:
    event = _contract(chosen, "event_timestamp")
    if event is None:
        return None
    others = [_contract(chosen, "is_fraud"), _contract(chosen, "label_available_at")]
    return make_timeline(looked.read([event, *(one for one in others if one)], source), looked.every)


def _amounts(chosen: Chosen, looked: LookedAt, source: Source) -> NDArray[np.int64]:
    amount = _contract(chosen, "amount")
    if amount is None:
        return np.zeros(0, np.int64)
    return np.asarray(np.ma.compressed(np.ma.asarray(looked.read([amount], source)["amount"])), np.int64)


def _quarantine(chosen: Chosen, looked: LookedAt, source: Source) -> Iterator[Guess]:
    """What ingestion would set aside, should the guesses stand, where it is more than it may be."""
    mapped = [column for role in KINDS if (column := _contract(chosen, role))]
    faults = looked.faults(mapped, source)
    share = sum(faults.values()) / looked.kept
    if share > source.max_quarantined_fraction:
        listed = "; ".join(f"{count:,} {fault}" for fault, count in faults.items())
        reason = f"With these lines {share:.1%} of the rows break the contract: {listed}. Mend the lines, or allow it:"
        yield Guess("source", "max_quarantined_fraction", round(min(1.0, 1.2 * share), 3), "open", reason)
