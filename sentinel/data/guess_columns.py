"""Which column is what: each column of the contract is sought by name and by content.

A name alone decides nothing: an id must be unique, a customer must come again, a label must have words for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sentinel.data.guess_forms import MOST, epoch_unit, is_iso_time, number_form, time_formats
from sentinel.data.guess_table import ColumnFacts
from sentinel.data.guess_words import Role, label_meaning, name_fits, plain_name

Certainty = Literal["sure", "guess", "open"]
COMPLETE = 0.99  # of the rows of a column that may hold no null
SELDOM_AGAIN = 0.5  # different values a row; above it a key hardly repeats
MOST_LABEL_WORDS = 12
CANDIDATES = 4
_PREFERRED = ("customer", "client", "kund", "user", "member", "account", "acct", "cc_num", "card")


@dataclass(frozen=True)
class Choice:
    """The column for a role, or none and what is to be asked."""

    role: Role
    column: ColumnFacts | None
    certainty: Certainty
    reason: str


@dataclass
class Chosen:
    """The choices so far; a column serves one role."""

    choices: dict[Role, Choice] = field(default_factory=dict[Role, Choice])

    def add(self, choice: Choice) -> None:
        self.choices[choice.role] = choice

    def column(self, role: Role) -> ColumnFacts | None:
        choice = self.choices.get(role)
        return choice.column if choice else None

    def free(self, columns: Sequence[ColumnFacts]) -> list[ColumnFacts]:
        taken = {choice.column.name for choice in self.choices.values() if choice.column}
        return [column for column in columns if column.name not in taken]


def is_time(column: ColumnFacts) -> bool:
    """Typed, or texts that can be read as times."""
    if column.written == "time":
        return True
    return column.written == "text" and (is_iso_time(column.shown) or _has_format(column))


def _has_format(column: ColumnFacts) -> bool:
    digits_alone = all(text.isdigit() for text in column.shown[:50])  # 20250131 is a day only where the name says so
    return (not digits_alone or name_fits(column.name, "event_timestamp") > 0) and bool(time_formats(column.shown))


def is_numeric(column: ColumnFacts) -> bool:
    return column.written == "number" or (column.written == "text" and number_form(column.shown) is not None)


def numbers(column: ColumnFacts) -> list[float]:
    """Plain numbers among the shown texts."""
    return [float(text) for text in column.shown if text.replace(".", "", 1).lstrip("+-").isdigit()]


def is_clock(column: ColumnFacts) -> bool:
    """Numbers that may count time: never negative, and not all the same."""
    if not is_numeric(column):
        return False
    found = numbers(column)
    return len(found) >= MOST * len(column.shown) and bool(found) and min(found) >= 0 and column.distinct > 1


def choose(columns: Sequence[ColumnFacts]) -> Chosen:
    """The roles that a column alone can show; moments that need to be compared are chosen later."""
    chosen = Chosen()
    chosen.add(_label(columns))
    chosen.add(_event(chosen.free(columns)))
    chosen.add(_amount(chosen.free(columns)))
    chosen.add(_customer(chosen.free(columns)))
    chosen.add(_merchant(chosen.free(columns)))
    chosen.add(_transaction(chosen.free(columns)))
    return chosen


def _ranked(columns: Sequence[ColumnFacts], role: Role) -> list[ColumnFacts]:
    """Those whose name may mean the role, the surest first."""
    named = [column for column in columns if name_fits(column.name, role)]
    return sorted(named, key=lambda column: -name_fits(column.name, role))


def _listed(columns: Sequence[ColumnFacts]) -> str:
    names = ", ".join(repr(column.name) for column in columns[:CANDIDATES])
    return f" Candidates: {names}." if names else ""


def _label(columns: Sequence[ColumnFacts]) -> Choice:
    role: Role = "is_fraud"
    named = [column for column in _ranked(columns, role) if column.values and len(column.values) <= MOST_LABEL_WORDS]
    for column in named:
        meanings = {label_meaning(word) for word in column.values or {}}
        if None in meanings or meanings == {"unknown"}:
            continue
        sure = name_fits(column.name, role) == 2 and {"fraud", "genuine"} <= meanings
        return Choice(role, column, "sure" if sure else "guess", "")
    if named:
        words = ", ".join(repr(word) for word in list(named[0].values or {})[:MOST_LABEL_WORDS])
        asked = f"Which column says what was fraud, and in which words? {named[0].name!r} holds {words}."
        return Choice(role, None, "open", f"{asked} Write its words into [source.labels].")
    asked = "No column was recognised that says which transactions were fraud; without labels nothing can be learned."
    two = [column for column in columns if column.values and len(column.values) == 2]
    return Choice(role, None, "open", f"{asked} Which one is it?{_listed(two)}")


def _event(columns: Sequence[ColumnFacts]) -> Choice:
    role: Role = "event_timestamp"
    times = [column for column in columns if is_time(column) and column.present >= COMPLETE * column.rows]
    named = _ranked(times, role)
    if named:
        rival = len(named) > 1 and name_fits(named[1].name, role) == name_fits(named[0].name, role)
        sure = name_fits(named[0].name, role) == 2 or (not rival and len(times) == 1)
        return Choice(role, named[0], "sure" if sure and not rival else "guess", "")
    clocks = _ranked([column for column in columns if is_clock(column) and column.is_complete], role)
    if clocks:
        found = numbers(clocks[0])
        return Choice(role, clocks[0], "sure" if epoch_unit(min(found), max(found)) else "guess", "")
    unnamed = [column for column in times if not any(name_fits(column.name, other) for other in _OTHER_MOMENTS)]
    if len(unnamed) == 1:
        return Choice(role, unnamed[0], "guess", "It is the only column of times that no row lacks.")
    epochs = [column for column in columns if is_clock(column) and epoch_unit(*_span(column))]
    return Choice(role, None, "open", f"When did a transaction happen?{_listed([*times, *epochs])}")


_OTHER_MOMENTS: tuple[Role, ...] = ("recorded_at", "label_available_at")


def _span(column: ColumnFacts) -> tuple[float, float]:
    found = numbers(column)
    return min(found), max(found)


def _amount(columns: Sequence[ColumnFacts]) -> Choice:
    role: Role = "amount"
    able = [column for column in columns if is_numeric(column) and column.present >= COMPLETE * column.rows]
    named = [column for column in _ranked(able, role) if not plain_name(column.name).startswith(("old", "new"))]
    if not named:
        varied = sorted(able, key=lambda column: -column.distinct)
        return Choice(role, None, "open", f"Which column holds the amount of money?{_listed(varied)}")
    rivals = [one for one in named[1:] if name_fits(one.name, role) == name_fits(named[0].name, role)]
    sure = name_fits(named[0].name, role) == 2 and not rivals and named[0].distinct > 1
    return Choice(role, named[0], "sure" if sure else "guess", _listed(rivals).strip())


def _customer(columns: Sequence[ColumnFacts]) -> Choice:
    role: Role = "customer_id"
    named = sorted(_able_keys(_ranked(columns, role)), key=_preference)
    if not named:
        keys = [column for column in _able_keys(columns) if _comes_again(column) and column.distinct > 20]
        return Choice(role, None, "open", f"Which column says who pays (customer, account or card)?{_listed(keys)}")
    again = [column for column in named if _comes_again(column)]
    found = again[0] if again else named[0]
    sure = name_fits(found.name, role) == 2 and bool(again) and found.distinct > 1
    hint = "" if again else "Hardly any value comes again, so that there is no past to compare with."
    if found.distinct == 1:
        hint = "All rows hold the same value, so that it tells nobody from nobody; the validation will refuse it."
    return Choice(role, found, "sure" if sure else "guess", hint)


def _preference(column: ColumnFacts) -> tuple[int, int]:
    plain = plain_name(column.name)
    place = next((place for place, word in enumerate(_PREFERRED) if word in plain), len(_PREFERRED))
    return -name_fits(column.name, "customer_id"), place


def _merchant(columns: Sequence[ColumnFacts]) -> Choice:
    role: Role = "merchant_id"
    named = [column for column in _able_keys(_ranked(columns, role)) if column.distinct > 1]
    again = [column for column in named if _comes_again(column)]
    if not again:
        asked = "Is there a column for the shop or terminal that is paid? It may be absent."
        return Choice(role, None, "open", f"{asked}{_listed(named)}")
    sure = name_fits(again[0].name, role) == 2
    return Choice(role, again[0], "sure" if sure else "guess", "")


def _able_keys(columns: Sequence[ColumnFacts]) -> list[ColumnFacts]:
    """Without those that lack values, are times, or are numbers with decimals."""
    return [
        column
        for column in columns
        if column.present >= COMPLETE * column.rows
        and column.written in ("text", "number")
        and not is_time(column)
        and not any("." in text and text.replace(".", "", 1).isdigit() for text in column.shown[:200])
    ]


def _comes_again(column: ColumnFacts) -> bool:
    return column.distinct <= SELDOM_AGAIN * column.rows


def _transaction(columns: Sequence[ColumnFacts]) -> Choice:
    role: Role = "transaction_id"
    able = [column for column in columns if column.is_complete and not is_time(column)]
    unique = [column for column in able if column.is_unique]
    named = _ranked(unique, role)
    if named:
        return Choice(role, named[0], "sure", "")
    almost = [column for column in _ranked(able, role) if column.distinct >= 0.5 * column.rows]
    if almost:
        return Choice(role, almost[0], "guess", "Some rows share a value.")
    keys = [column for column in _able_keys(unique) if column.distinct > 1]
    if len(keys) == 1:
        return Choice(role, keys[0], "guess", "It is the only column with another value in every row.")
    asked = "Which column names each transaction?"
    if not keys:
        asked += " None has another value in every row; add one to the source, such as the number of the row."
    return Choice(role, None, "open", asked + _listed(keys))
