"""The columns that no role took: further keys, inputs of the model, columns for reports, and what is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from sentinel.config import Columns, Source
from sentinel.data.contract import ContractColumn
from sentinel.data.guess_columns import COMPLETE, Chosen, is_clock, is_numeric, is_time, numbers
from sentinel.data.guess_document import Guess
from sentinel.data.guess_forms import epoch_unit, number_form
from sentinel.data.guess_table import ColumnFacts, LookedAt
from sentinel.data.guess_words import CODED, CURRENCY, KEYLIKE, MISSING, PERSONAL, TELLS_THE_LABEL, plain_name

MOST_ENTITIES = 3
MOST_CATEGORIES = 300
MOST_OF_A_FLAG = 12  # different whole numbers up to which they count as codes, not as an amount of something
FEWEST_OF_A_KEY = 20
LISTED_DOMAIN = 30  # known values that are written down
GIVEAWAY = 0.9  # of the frauds lie at values that hold almost nothing else
PURE = 0.95
EXAMPLES = 4
LONGEST_EXAMPLE = 25


def guess_inputs(
    columns: Sequence[ColumnFacts],
    chosen: Chosen,
    looked: LookedAt,
    source: Source,
    event: ContractColumn | None,
    label: ContractColumn | None,
) -> list[Guess]:
    """A guess for each remaining column, in their order; known values of categories behind."""
    found: list[Guess] = []
    taken: set[str] = set()
    free = chosen.free(columns)
    counting = looked.follow([one for one in free if one.written == "number"], event, source) if event else set[str]()
    for column in free:
        if column.name in counting:
            found.append(_left_out(column, "it counts with the time of the event, which is an input already."))
            continue
        entities = sum(guess.section == "columns.entities" and guess.certainty != "open" for guess in found)
        rates = looked.rates(column.name, label, source) if label and column.values is not None else {}
        guess = _guess(column, _free_name(column.name, taken), source, entities, _gives_away(rates))
        found.append(guess)
        if guess.certainty != "left_out":
            taken.add(guess.key)
    return [*found, *_domains(found, {column.name: column for column in columns}, source)]


def describe(column: ColumnFacts, *, examples: bool = True, masked: bool = False) -> str:
    """Missing and different values, with examples; `masked` shows only their form."""
    share = f"{column.missing:.1%} missing" if column.present < column.rows else "none missing"
    several = LISTED_DOMAIN < column.distinct < column.rows
    each = f", each {column.rows / column.distinct:,.1f} times" if several else ""
    text = f"{column.distinct:,} different {'value' if column.distinct == 1 else 'values'}{each}, {share}."
    return f"{text} {_examples(column, masked)}" if examples and column.shown else text


def _examples(column: ColumnFacts, masked: bool) -> str:
    if masked:
        forms = list(dict.fromkeys(shape(text) for text in column.shown))[:2]
        return "They look like " + " or ".join(repr(form[:40]) for form in forms) + "."
    few = column.values if column.values is not None and column.distinct <= LISTED_DOMAIN else column.shown
    return "Such as " + ", ".join(repr(_shortened(value)) for value in list(dict.fromkeys(few))[:EXAMPLES]) + "."


def _shortened(value: str) -> str:
    return f"{value[:24]}…" if len(value) > LONGEST_EXAMPLE else value


def shape(text: str) -> str:
    """C1042 as A9999: a configuration goes into git, and keys may be card numbers or names."""
    return "".join("9" if one.isdigit() else "A" if one.isupper() else "a" if one.isalpha() else one for one in text)


def _guess(column: ColumnFacts, key: str, source: Source, entities: int, gives_away: bool) -> Guess:
    plain = plain_name(column.name)
    if not column.present:
        return _left_out(column, "every value is missing.")
    if column.distinct == 1 and column.is_complete:
        return _left_out(column, f"always {column.shown[0][:40]!r}, which tells nothing.")
    if is_time(column) or _is_epoch(column):
        return _left_out(column, "further times are no inputs; the hour and the day of the event are.")
    if TELLS_THE_LABEL.fullmatch(plain) or gives_away:
        return _slice(column, key, gives_away)
    if PERSONAL.fullmatch(plain):
        return _left_out(column, f"seems to name or describe a person. {describe(column, examples=False)}")
    if KEYLIKE.fullmatch(plain) and column.distinct >= FEWEST_OF_A_KEY and not _has_decimals(column):
        return _entity(column, key, entities)
    if is_numeric(column) and not _is_code(column, plain):
        return _numeric(column, key, source)
    if column.values is not None and column.distinct <= MOST_CATEGORIES:
        return _category(column, key, plain)
    if column.distinct > 0.5 * column.rows or column.written == "bool":
        return _left_out(column, f"as good as every row has its own value. {describe(column, masked=True)}")
    return _entity(column, key, MOST_ENTITIES)


def _left_out(column: ColumnFacts, reason: str) -> Guess:
    return Guess("columns", column.name, None, "left_out", reason)


def _is_epoch(column: ColumnFacts) -> bool:
    found = numbers(column) if is_clock(column) else []
    return bool(found) and epoch_unit(min(found), max(found)) is not None and column.distinct > LISTED_DOMAIN


def _has_decimals(column: ColumnFacts) -> bool:
    return column.written == "number" and any("." in text for text in column.shown[:200])


def _is_code(column: ColumnFacts, plain: str) -> bool:
    """Whole numbers that name something."""
    whole = not any("." in text or "," in text for text in column.shown[:200])
    return whole and (column.distinct <= MOST_OF_A_FLAG or CODED.fullmatch(plain) is not None)


def _slice(column: ColumnFacts, key: str, gives_away: bool) -> Guess:
    why = "It tells the label almost by itself" if gives_away else "Its name speaks of the label"
    reason = f"{why}, so it is kept for reports, never an input. Is it known when the transaction happens?"
    if column.values is None or column.distinct > MOST_CATEGORIES:
        return _left_out(column, f"{why}: an input must be known when the transaction happens. {describe(column)}")
    value = {"source": column.name, "optional": True, "use": "slice"}
    return Guess("columns.categorical", key, value, "guess", f"{reason} {describe(column)}")


def _entity(column: ColumnFacts, key: str, entities: int) -> Guess:
    key = key.removesuffix("_id") or key
    value, section = column.name, "columns.entities"
    if column.present < COMPLETE * column.rows:
        reason = "A key, if it had a value in every row: rows without one would go to quarantine."
        return Guess(section, key, value, "open", f"{reason} {describe(column, masked=True)}")
    if column.distinct > 0.5 * column.rows:
        return Guess(section, key, value, "open", f"A key that hardly comes again. {describe(column, masked=True)}")
    if entities >= MOST_ENTITIES:
        return Guess(section, key, value, "open", f"Is it a key whose past matters? {describe(column, masked=True)}")
    return Guess(section, key, value, "guess", f"It looks like a key that comes again. {describe(column, masked=True)}")


def _numeric(column: ColumnFacts, key: str, source: Source) -> Guess:
    form = number_form(column.shown) if column.written == "text" else None
    if form and form.signs and not set(form.signs) <= set(source.currency_signs):
        return Guess("columns.numeric", key, column.name, "open", f"Numbers with signs. {describe(column)}")
    if form and not form.is_plain and form.decimal != source.decimal_separator:
        return Guess(
            "columns.numeric", key, column.name, "open", f"Its separators differ from the amount's. {describe(column)}"
        )
    plain = plain_name(column.name)
    if plain.startswith("new") or "after" in plain:
        reason = f"Is it known when the transaction happens, or only after it? {describe(column)}"
        return Guess("columns.numeric", key, column.name, "guess", reason)
    return Guess("columns.numeric", key, column.name, "sure", describe(column))


def _category(column: ColumnFacts, key: str, plain: str) -> Guess:
    reason = describe(column)
    if CURRENCY.fullmatch(plain) and column.distinct > 1:
        reason = f"Amounts of several currencies are compared as if they were one; convert them first. {reason}"
        return Guess("columns.categorical", key, column.name, "guess", reason)
    return Guess("columns.categorical", key, column.name, "sure", reason)


def _gives_away(rates: dict[str, tuple[int, int]]) -> bool:
    """Whether most frauds lie at values that hold almost only frauds."""
    frauds = sum(found for found, _ in rates.values())
    if frauds < FEWEST_OF_A_KEY or len(rates) < 2:
        return False
    pure = sum(found for found, known in rates.values() if known and found / known >= PURE)
    return pure >= GIVEAWAY * frauds


def _free_name(name: str, taken: set[str]) -> str:
    """The source's name in the contract's letters; another one where it is taken."""
    key = plain_name(name).encode("ascii", "ignore").decode().strip("_") or "column"
    key = key if key[0].isalpha() else f"column_{key}"
    while key in taken or not _is_allowed(key):
        key = f"{key}_source"
    return key


def _is_allowed(key: str) -> bool:
    try:
        Columns.model_validate({**_LEAST, "numeric": {key: "x"}})
    except ValidationError:
        return False
    return True


_LEAST = dict.fromkeys(("transaction_id", "event_timestamp", "customer_id", "amount", "is_fraud"), "x")


def _domains(found: Sequence[Guess], columns: dict[str, ColumnFacts], source: Source) -> Iterator[Guess]:
    """Known values of the categories that have few words."""
    reason = "All that the file holds. Remove a line where new values are no fault."
    for guess in found:
        if guess.section != "columns.categorical" or not isinstance(guess.value, str):
            continue
        column = columns[guess.value]
        words = [word for word in column.values or {} if word.lower() not in (*source.missing_words, *MISSING)]
        if column.written == "text" and 2 <= len(words) <= LISTED_DOMAIN and not _numbers_alone(words):
            yield Guess("validation.categories", guess.key, sorted(words), "sure", reason)
            reason = ""


def _numbers_alone(words: Sequence[str]) -> bool:
    return all(word.isdigit() for word in words)
