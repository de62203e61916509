"""How the source writes time, money and labels: the guesses for [source]."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from sentinel.config import Clock, LabelWords, Source
from sentinel.data.guess_columns import Chosen, is_clock, is_time
from sentinel.data.guess_document import Guess
from sentinel.data.guess_forms import NumberForm, epoch_unit, is_iso_time, number_form, time_formats
from sentinel.data.guess_table import ColumnFacts, LookedAt
from sentinel.data.guess_words import CENTS, MISSING, label_meaning, plain_name

UNKNOWN_ORIGIN = "2020-01-01T00:00:00Z"
LIKELY_DAYS = (1, 3650)  # a table of payments spans


def guess_source(columns: Sequence[ColumnFacts], chosen: Chosen, looked: LookedAt) -> list[Guess]:
    """Lines of [source], [source.clock] and [source.labels]."""
    return [
        *_times(chosen, columns),
        *_money(chosen),
        *_missing_words(columns, chosen),
        *_clock(chosen, looked),
        *_labels(chosen),
    ]


def as_source(guesses: Sequence[Guess]) -> Source:
    """The section that the lines make."""
    written = {guess.key: guess.value for guess in guesses if guess.section == "source" and guess.certainty != "open"}
    clock: dict[str, Any] = {guess.key: guess.value for guess in guesses if guess.section == "source.clock"}
    words: dict[str, Any] = {guess.key: tuple(guess.value) for guess in guesses if guess.section == "source.labels"}
    if clock:
        written["clock"] = Clock(unit=clock["unit"], origin=datetime.fromisoformat(clock["origin"]))
    return Source(**written, labels=LabelWords(**words))


def _times(chosen: Chosen, columns: Sequence[ColumnFacts]) -> Iterator[Guess]:
    event = chosen.column("event_timestamp")
    if event is None or not is_time(event):
        return
    if event.written == "text" and not is_iso_time(event.shown):
        yield _format(event)
    shown = event.shown[:200]
    if all(text[-1:] in "Zz" or text[-6:-5] in "+-" or text[-3:-2] in "+-" for text in shown) and len(shown[0]) > 12:
        return  # each says its own zone
    reason = 'The times carry no zone, and UTC was taken. In which zone are they, such as "Europe/Berlin"?'
    yield Guess("source", "time_zone", "UTC", "guess", reason)


def _format(event: ColumnFacts) -> Guess:
    forms = time_formats(event.shown)
    if len(forms) == 1:
        return Guess(
            "source", "time_format", forms[0], "sure", f"All times looked at fit it, such as {event.shown[0]!r}."
        )
    others = ", ".join(repr(form) for form in forms[1:3])
    reason = f"{event.shown[0]!r} and all others looked at fit {others} as well. Which one is day, which one month?"
    return Guess("source", "time_format", forms[0], "guess", reason)


def _clock(chosen: Chosen, looked: LookedAt) -> Iterator[Guess]:
    event = chosen.column("event_timestamp")
    if event is None or is_time(event) or not is_clock(event):
        return
    low, high = looked.span(event)
    unit = epoch_unit(low, high)
    if unit:
        first = f"{event.name!r} holds {low:,.0f} to {high:,.0f}, which are {_UNIT_NAMES[unit]} since 1970."
        yield Guess("source.clock", "unit", unit, "sure", first)
        yield Guess("source.clock", "origin", "1970-01-01T00:00:00Z", "sure", "")
        return
    unit = _likely_unit(event.name, high - low)
    span = f"{event.name!r} counts from {low:,.0f} to {high:,.0f}; as {_UNIT_NAMES[unit]} that would be"
    days = (high - low) * _UNIT_DAYS[unit]
    yield Guess("source.clock", "unit", unit, "guess", f'{span} {days:,.1f} days. Or "us", "ms", "s", "m", "h" or "d"?')
    reason = "Where the clock starts is not in the table. Hours of the day and days of the week follow from it."
    yield Guess("source.clock", "origin", UNKNOWN_ORIGIN, "guess", reason)


_UNIT_DAYS = {"us": 1 / 864e8, "ms": 1 / 864e5, "s": 1 / 86400, "m": 1 / 1440, "h": 1 / 24, "d": 1.0}
_UNIT_NAMES = {"us": "microseconds", "ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def _likely_unit(name: str, span: float) -> str:
    """Hours for the steps of a simulation; else seconds, or the first unit with which the table spans days or years."""
    order = ("h", "d", "m", "s", "ms", "us") if plain_name(name) == "step" else ("s", "m", "h", "d", "ms", "us")
    least, most = LIKELY_DAYS
    return next((unit for unit in order if least <= span * _UNIT_DAYS[unit] <= most), "s")


def _money(chosen: Chosen) -> Iterator[Guess]:
    amount = chosen.column("amount")
    if amount is None:
        return
    form = number_form(amount.shown) if amount.written == "text" else NumberForm(".", "", (), certain=True)
    yield _unit(amount, form)
    if form is None:
        return
    example = max(amount.shown, key=len, default="")
    if form.decimal != "." or not form.certain:
        reason = f"The amounts look like {example!r}."
        if not form.certain:
            reason += " They could be read with the other separator too: is it thousands or decimals?"
        yield Guess("source", "decimal_separator", form.decimal, "sure" if form.certain else "guess", reason)
    if form.thousands:
        yield Guess(
            "source", "thousands_separator", form.thousands, "sure" if form.certain else "guess", f"As in {example!r}."
        )
    if len(form.signs) > 1:
        reason = "Several signs: are these one currency? Amounts of several are compared as if they were one."
        yield Guess("source", "currency_signs", list(form.signs), "guess", reason)
    elif form.signs:
        yield Guess("source", "currency_signs", list(form.signs), "sure", f"As in {example!r}.")


def _unit(amount: ColumnFacts, form: NumberForm | None) -> Guess:
    minor = CENTS.fullmatch(plain_name(amount.name)) is not None
    decimal = form.decimal if form else "."
    has_decimals = any(text.rpartition(decimal)[1] and text.rpartition(decimal)[2].strip("0 ") for text in amount.shown)
    if minor and not has_decimals:
        return Guess("source", "amount_unit", "minor", "sure", "The name of the column says so.")
    if has_decimals:
        return Guess("source", "amount_unit", "major", "sure", "The amounts have decimals.")
    reason = "The amounts have no decimals: are they whole units such as euros (major), or cents (minor)?"
    return Guess("source", "amount_unit", "major", "guess", reason)


def _missing_words(columns: Sequence[ColumnFacts], chosen: Chosen) -> Iterator[Guess]:
    label = chosen.column("is_fraud")
    found: dict[str, str] = {}
    for column in columns:
        if column.written != "text" or (label and column.name == label.name):
            continue
        texts = column.values or dict.fromkeys(column.shown, 1)
        for word in texts:
            if word.lower() in MISSING and len(texts) > 1:
                found.setdefault(word.lower(), column.name)
    if found:
        where = ", ".join(f"{word!r} in {name!r}" for word, name in found.items())
        reason = f"Words that seem to stand for no value: {where}. Is one of them a value, such as the country NA?"
        yield Guess("source", "missing_words", list(found), "guess", reason)


def _labels(chosen: Chosen) -> Iterator[Guess]:
    label = chosen.column("is_fraud")
    if label is None or label.values is None:
        return
    words: dict[str, list[str]] = {"fraud": [], "genuine": [], "unknown": []}
    for word in label.values:
        words[label_meaning(word) or "unknown"].append(word)
    certainty = "sure"
    counted = ", ".join(f"{word!r} {rows:,}" for word, rows in label.values.items())
    reason = f"Rows by word: {counted}; no word {label.rows - label.present:,}."
    if words["fraud"] and not words["genuine"] and words["unknown"] == ["-1"]:
        words["genuine"], words["unknown"] = ["-1"], []
        certainty, reason = "guess", f"{reason} -1 was taken for genuine; it may mean unknown."
    frauds = sum(label.values[word] for word in words["fraud"])
    if frauds > sum(label.values[word] for word in words["genuine"]):
        certainty, reason = (
            "guess",
            f"{reason} There are more frauds than genuine rows: are the words the right way round?",
        )
    plain = {meaning: _plain_words(listed) for meaning, listed in words.items()}
    for place, (meaning, listed) in enumerate(plain.items()):
        kept = [*listed, ""] if meaning == "unknown" else listed  # an empty cell is no label either
        yield Guess("source.labels", meaning, kept, certainty, reason if place == 0 else "")


def _plain_words(words: Sequence[str]) -> list[str]:
    """As ingestion compares them: in lower case, numbers without zero decimals."""
    plain = [word.strip().lower() for word in words]
    return list(dict.fromkeys(str(int(float(word))) if _is_number(word) else word for word in plain))


def _is_number(word: str) -> bool:
    return word.lstrip("-").replace(".", "", 1).isdigit()
