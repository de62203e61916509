"""Numbers as text, with the separators, currency signs and minus signs of their country, in SQL.

What fits the configuration becomes plain digits with a point; what does not becomes NO_NUMBER and the text, which no
later layer takes for a number. Nothing is guessed from a value: 1.234 is read as the configuration says, or not at all.
"""

from __future__ import annotations

import re
from typing import Final

from sentinel.config import Source

NO_NUMBER: Final = "?"
MINUS: Final = "\N{MINUS SIGN}"
NUMBER: Final = r"^([+-]?)([0-9]*)\.?([0-9]*)(?:[eE]([+-]?[0-9]{1,4}))?$"
NUMBER_BEGINS: Final = r"^[+-]?\.?[0-9]"
BLANK: Final = r"[ \x{A0}\x{2009}\x{202F}]"  # also those that do not break a line
_MARKS: Final = {" ": BLANK, "'": r"['\x{2019}]", ".": r"\.", ",": ","}  # as a regular expression
_EXPONENT: Final = r"(?:[eE][+-]?[0-9]{1,4})?"


def is_number(text: str) -> str:
    """Whether `text` is a number in plain form."""
    return f"regexp_matches({text}, '{NUMBER}') AND regexp_matches({text}, '{NUMBER_BEGINS}')"


def plain_number(text: str, source: Source) -> str:
    """`text` in plain form, its sign in front; (5), 5- and a typographic minus are negative."""
    written = _signed(_without_signs(text, source.currency_signs))
    if not source.currency_signs:  # then only these can differ from the plain form
        written = (
            f"CASE WHEN right({text}, 1) IN ('-', ')') OR left({text}, 1) = '{MINUS}' THEN {written} ELSE {text} END"
        )
    if not _has_separators(source):
        return written
    whole = "[0-9]*"
    grouping = _MARKS.get(source.thousands_separator)
    if grouping:
        whole = f"(?:[0-9]{{1,3}}(?:{grouping}[0-9]{{3}})+|[0-9]*)"
    form = _literal(f"^[+-]?{whole}(?:{_MARKS[source.decimal_separator]}[0-9]*)?{_EXPONENT}$")
    grouped = f"regexp_replace({written}, {_literal(grouping)}, '', 'g')" if grouping else written
    return (
        f"CASE WHEN regexp_matches({written}, {form}) THEN replace({grouped}, ',', '.') "
        f"ELSE '{NO_NUMBER}' || {written} END"
    )


def looks_grouped(plain: str, source: Source) -> str:
    """Whether the decimals of `plain` could be a group of thousands in the other way of writing: 1,234 and 1.234.

    Only asked where separators are configured: a source without any writes its numbers as programs do.
    """
    return rf"regexp_matches({plain}, '^[+-]?[1-9][0-9]{{0,2}}\.[0-9]{{3}}$')" if _has_separators(source) else "FALSE"


def _has_separators(source: Source) -> bool:
    return (source.decimal_separator, source.thousands_separator) != (".", "")


def _without_signs(text: str, signs: tuple[str, ...]) -> str:
    """Without one currency sign in front and one behind, in or outside of the minus sign or parenthesis."""
    if not signs:
        return text
    known = "(?:" + "|".join(re.escape(sign.strip()) for sign in sorted(signs, key=len, reverse=True)) + ")"
    in_front = _literal(f"^([(+{MINUS}-]?){BLANK}*{known}{BLANK}*([+{MINUS}-]?){BLANK}*")
    behind = _literal(f"{BLANK}*{known}{BLANK}*([-)]?)$")
    return f"regexp_replace(regexp_replace({text}, {in_front}, '\\1\\2', 'i'), {behind}, '\\1', 'i')"


def _signed(text: str) -> str:
    minus = f"replace({text}, '{MINUS}', '-')"
    behind = f"regexp_replace({minus}, '^([^-+(].*?){BLANK}*-$', '-\\1')"
    return f"regexp_replace({behind}, '^\\(([^-+(].*)\\)$', '-\\1')"


def _literal(pattern: str | None) -> str:
    return "'" + (pattern or "").replace("'", "''") + "'"
