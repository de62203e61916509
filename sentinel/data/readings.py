"""How a source value becomes a contract value, in SQL, and what may be wrong with it.

A column is read in layers that the statement nests, so that nothing is computed twice:
cell_<name> (as the source has it) -> text_<name> -> parts_<name> (of a pattern) -> draft_<name> (not yet bounded)
-> value_<name> -> the faults.

Everything is exact: amounts are cut from their decimal digits and rounded half to even, times are whole microseconds.
"""

# pyarrow carries no types.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeStubs=false

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Final

import pyarrow as pa

from sentinel.config import Clock, Source
from sentinel.data.contract import ContractColumn
from sentinel.data.number_text import NO_NUMBER, NUMBER, is_number, looks_grouped, plain_number
from sentinel.data.source_files import is_text

EARLIEST_US = 631_152_000_000_000  # 1990-01-01
LATEST_US = 4_102_444_800_000_000  # 2100-01-01, no longer valid
LARGEST_NUMBER: Final = 1e30  # a declared number; the model computes in single precision, and with squares in double
BLANKS: Final = "chr(32) || chr(9) || chr(10) || chr(13) || chr(160) || chr(65279)"
PLAIN_TIME: Final = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?$"
TIME: Final = (
    r"^([0-9]{4}-[0-9]{1,2}-[0-9]{1,2})(?:[T ]([0-9]{1,2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,9})?)?)"
    r" ?(Z|z|UTC|GMT|[+-][0-9]{2}(?::?[0-9]{2})?)?)?$"
)
_UNIT_US: Final = {"us": 1, "ms": 10**3, "s": 10**6, "m": 6 * 10**7, "h": 36 * 10**8, "d": 864 * 10**8}
_GROUP: Final = 3  # digits of a group of thousands


@dataclass(frozen=True)
class Reading:
    """SQL of each layer. `value` is NULL where missing or wrong; of `faults` (condition, reason) the first counts."""

    text: str
    value: str
    parts: str = "NULL"
    draft: str = "NULL"
    faults: tuple[tuple[str, str], ...] = ()


def read_column(column: ContractColumn, kind: pa.DataType, source: Source) -> Reading:
    """Read cell_<name> of Arrow type `kind` as `column`."""
    name = column.name
    match column.kind:
        case "id" | "category":
            reading = Reading(as_text(f"cell_{name}", kind, source.missing_words), f"text_{name}")
        case "time":
            reading = _time(name, kind, source)
        case "amount":
            reading = _amount(name, kind, source)
        case "label":
            reading = _label(name, kind, source)
        case "number":
            reading = _number(name, kind, source)
    if not column.is_key:
        return reading
    missing = (f"value_{name} IS NULL", "null_key")  # after the faults of what is there
    return replace(reading, faults=(*reading.faults, missing))


def as_text(cell: str, kind: pa.DataType, missing: tuple[str, ...] = ()) -> str:
    """Text without outer blanks; nothing is NULL; a whole float has no decimals (596.0 is an id that met a null)."""
    if is_text(kind):
        text = f"nullif(trim({cell}, {BLANKS}), '')"
        return f"CASE WHEN NOT {_one_of(f'lower({text})', missing)} THEN {text} END" if missing else text
    if pa.types.is_floating(kind):
        return (
            f"CASE WHEN isnan({cell}) THEN NULL "
            f"WHEN abs({cell}) < 9007199254740992 AND {cell} = trunc({cell}) "
            f"THEN CAST(CAST({cell} AS BIGINT) AS VARCHAR) ELSE CAST({cell} AS VARCHAR) END"
        )
    return f"CAST({cell} AS VARCHAR)"


def _time(name: str, kind: pa.DataType, source: Source) -> Reading:
    """A moment as the source writes it; with a clock, a number counts from the clock's origin.

    What a format or a clock cannot read is read as ISO 8601: no text means two moments.
    """
    cell, text, draft, value = (f"{layer}_{name}" for layer in ("cell", "text", "draft", "value"))
    bounded = f"CASE WHEN {draft} >= {EARLIEST_US} AND {draft} < {LATEST_US} THEN {draft} END"
    impossible = (f"{text} IS NOT NULL AND {value} IS NULL", "impossible_time")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        aware = pa.types.is_timestamp(kind) and kind.tz is not None
        moment = f"epoch_us({cell})" if aware else _zoned(f"TRY_CAST({cell} AS TIMESTAMP)", source.time_zone)
        return Reading(f"CASE WHEN {cell} IS NOT NULL THEN '' END", bounded, draft=moment, faults=(impossible,))
    if source.clock and is_numeric(kind):
        shown = as_text(cell, kind, source.missing_words)
        return Reading(shown, bounded, draft=_counted(cell, source.clock), faults=(impossible,))
    written = _written_time(name, source.time_zone)
    reading = replace(written, text=as_text(cell, kind, source.missing_words), value=bounded)
    unparsable = (f"parts_{name}.day = ''", "unparsable_time")
    if source.time_format and is_text(kind):
        formatted = f"try_strptime({text}, {quoted(source.time_format)})"
        unparsable = (f"{formatted} IS NULL AND {unparsable[0]}", unparsable[1])
        moment = _zoned(formatted, source.time_zone)
        reading = replace(reading, draft=f"CASE WHEN {formatted} IS NOT NULL THEN {moment} ELSE {reading.draft} END")
    if source.clock:
        number = f"({is_number(text)})"
        unparsable = (f"NOT {number} AND {unparsable[0]}", unparsable[1])
        counted = f"CASE WHEN {number} THEN {_counted(text, source.clock)} ELSE {reading.draft} END"
        reading = replace(reading, text=_plain_or_same(reading.text, source), draft=counted)
    return replace(reading, faults=(unparsable, impossible))


def _written_time(name: str, zone: str) -> Reading:
    """The microseconds of a time in text."""
    text, parts = f"text_{name}", f"parts_{name}"
    written = f"TRY_CAST({parts}.day || ' ' || replace({parts}.clock, ',', '.') AS TIMESTAMP)"
    local = f"(CASE WHEN {parts}.clock = '' THEN TRY_CAST({parts}.day AS TIMESTAMP) ELSE {written} END)"
    moment = (
        f"CASE WHEN {parts} IS NULL THEN {_zoned(f'TRY_CAST({text} AS TIMESTAMP)', zone)} "
        f"WHEN {parts}.zone = '' THEN {_zoned(local, zone)} "
        f"ELSE epoch_us({local}) - {_offset_us(f'{parts}.zone')} END"
    )
    split = f"regexp_extract({text}, '{TIME}', ['day', 'clock', 'zone'])"
    return Reading(text, "NULL", f"CASE WHEN NOT regexp_matches({text}, '{PLAIN_TIME}') THEN {split} END", moment)


def _plain_or_same(text: str, source: Source) -> str:
    plain = plain_number(text, source)
    return f"CASE WHEN starts_with({plain}, '{NO_NUMBER}') THEN {text} ELSE {plain} END"


def _counted(number: str, clock: Clock) -> str:
    """Microseconds since 1970 of a count, exact to eleven decimals of the unit; NULL for what no clock shows."""
    origin = (clock.origin - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    units = f"TRY_CAST({number} AS DECIMAL(27, 11)) * CAST({_UNIT_US[clock.unit]} AS DECIMAL(11, 0))"
    return f"TRY_CAST(CAST({units} AS HUGEINT) + {origin} AS BIGINT)"


def _zoned(local: str, zone: str) -> str:
    """Microseconds of a local time. NULL in the gap of a clock change; of a time that occurs twice, the later one."""
    if zone == "UTC":
        return f"epoch_us({local})"
    instant = f"timezone('{zone}', {local})"
    return f"CASE WHEN timezone('{zone}', {instant}) = {local} THEN epoch_us({instant}) END"


def _offset_us(zone: str) -> str:
    digits = f"rpad(replace(substr({zone}, 2), ':', ''), 4, '0')"
    minutes = f"CAST(substr({digits}, 1, 2) AS BIGINT) * 60 + CAST(substr({digits}, 3, 2) AS BIGINT)"
    return (
        f"CASE substr({zone}, 1, 1) WHEN '+' THEN 60000000 * ({minutes}) "
        f"WHEN '-' THEN -60000000 * ({minutes}) ELSE 0 END"
    )


def _amount(name: str, kind: pa.DataType, source: Source) -> Reading:
    cell, text, value = (f"{layer}_{name}" for layer in ("cell", "text", "value"))
    is_minor = source.amount_unit == "minor"
    shift = 0 if is_minor else source.minor_digits
    number = f"({is_number(text)})"
    faults = [(f"{value} IS NULL AND ({text} IS NULL OR NOT {number})", "amount_not_a_number")]
    if is_minor:  # what is in range, and still has no value, is a fraction
        faults.append((f"{value} IS NULL AND abs(TRY_CAST({text} AS DOUBLE)) < 9.2e18", "amount_not_whole"))
    faults.append((f"{value} IS NULL", "amount_out_of_range"))
    units = _from_digits(name, shift, exact=is_minor)
    if pa.types.is_integer(kind):
        units = Reading("", f"TRY_CAST(CAST({cell} AS HUGEINT) * {10**shift} AS BIGINT)")
    elif pa.types.is_decimal(kind) and kind.scale <= shift and kind.precision <= 30:
        units = Reading("", f"TRY_CAST({cell} * CAST({10**shift} AS DECIMAL(8, 0)) AS BIGINT)")
    elif pa.types.is_float64(kind):
        # A double that is the nearest one to a whole number of minor units is that number: its digits say the same.
        whole = f"round({cell} * {10**shift})"
        is_whole = f"abs({cell}) < 1e10 AND {whole} / {10**shift} = {cell}"
        units = Reading(
            "",
            f"CASE WHEN {is_whole} THEN CAST({whole} AS BIGINT) ELSE {units.value} END",
            f"CASE WHEN {is_whole} THEN NULL ELSE {units.parts} END",
            units.draft,
        )
    reading = replace(units, text=as_text(cell, kind, source.missing_words), faults=tuple(faults))
    return _of_separated_text(reading, text, source, shift) if is_text(kind) else reading


def _of_separated_text(reading: Reading, text: str, source: Source, shift: int) -> Reading:
    """The reading of an amount in the source's separators; decimals that could be a group of thousands are a fault."""
    grouped = looks_grouped(text, source) if shift < _GROUP else "FALSE"
    return replace(
        reading,
        text=plain_number(reading.text, source),
        value=f"CASE WHEN NOT {grouped} THEN {reading.value} END",
        faults=((grouped, "amount_ambiguous"), *reading.faults),
    )


def _from_digits(name: str, shift: int, exact: bool) -> Reading:
    """The digits of a decimal number, moved by `shift` places, rounded half to even (or, `exact`, not rounded).

    Layers: the parts as written; the whole minor units and the digits that are cut off; the signed result.
    """
    text, parts, draft = (f"{layer}_{name}" for layer in ("text", "parts", "draft"))
    split = f"regexp_extract({text}, '{NUMBER}', ['sign', 'whole', 'decimals', 'exponent'])"
    digits = f"({parts}.whole || {parts}.decimals)"
    point = f"(length({parts}.whole) + {shift} + coalesce(TRY_CAST({parts}.exponent AS INTEGER), 0))"
    # 40 zeros are more than an amount in range can have
    length = f"CAST(least({point}, length({digits}) + 40) AS INTEGER)"
    kept = f"CASE WHEN {point} <= 0 THEN '0' ELSE rpad({digits}, {length}, '0') END"
    cut = f"rtrim(repeat('0', least(-{point}, 40)) || substr({digits}, greatest({point}, 0) + 1), '0')"
    up = f"{draft}.cut > '5' OR ({draft}.cut = '5' AND {draft}.number % 2 <> 0)"
    rounded = f"CASE WHEN {draft}.cut = '' THEN {draft}.number END"
    if not exact:
        rounded = f"({draft}.number + CASE WHEN {up} THEN 1 ELSE 0 END)"
    return Reading(
        text,
        f"TRY_CAST(CASE WHEN {parts}.sign = '-' THEN -1 ELSE 1 END * {rounded} AS BIGINT)",
        f"CASE WHEN {is_number(text)} THEN {split} END",
        f"CASE WHEN {parts} IS NOT NULL THEN {{'number': TRY_CAST({kept} AS HUGEINT), 'cut': {cut}}} END",
    )


def _label(name: str, kind: pa.DataType, source: Source) -> Reading:
    """Words of the config; a number counts without its zero decimals, so that 1, 1.0 and true are all readable."""
    cell, text = f"cell_{name}", f"text_{name}"
    whole = f"trim({cell}, {BLANKS})" if is_text(kind) else as_text(cell, kind)
    words = source.labels
    fraud, genuine, unknown = (_one_of(text, known) for known in (words.fraud, words.genuine, words.unknown))
    return Reading(
        f"lower(regexp_replace({whole}, '^(-?[0-9]+)\\.0+$', '\\1'))",
        f"CASE WHEN {fraud} THEN TRUE WHEN {genuine} THEN FALSE END",
        faults=((f"{text} IS NOT NULL AND NOT ({fraud} OR {genuine} OR {unknown})", "unknown_label"),),
    )


def _one_of(text: str, known: tuple[str, ...]) -> str:
    listed = ", ".join(quoted(word.strip().lower()) for word in known)
    return f"{text} IN ({listed})" if known else "FALSE"


def _number(name: str, kind: pa.DataType, source: Source) -> Reading:
    cell, text, draft, value = (f"{layer}_{name}" for layer in ("cell", "text", "draft", "value"))
    number = f"CAST({cell} AS DOUBLE)"
    shown = as_text(cell, kind, source.missing_words)
    if pa.types.is_boolean(kind):
        number = f"CAST(CAST({cell} AS INTEGER) AS DOUBLE)"
    elif not is_numeric(kind):
        shown = plain_number(shown, source)
        number = f"CASE WHEN {is_number(text)} THEN TRY_CAST({text} AS DOUBLE) END"
    given = f"{text} IS NOT NULL AND lower(ltrim({text}, '{NO_NUMBER}')) <> 'nan'"
    return Reading(
        shown,
        f"CASE WHEN abs({draft}) < {LARGEST_NUMBER} THEN {draft} END",
        draft=number,
        faults=(
            (f"{value} IS NULL AND isfinite({draft})", "number_out_of_range"),
            (f"{given} AND {value} IS NULL", "number_not_a_number"),
        ),
    )


def is_numeric(kind: pa.DataType) -> bool:
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)


def quoted(text: str) -> str:
    """A literal of SQL."""
    return "'" + text.replace("'", "''") + "'"
