"""In which form a column writes its numbers and times, from some of its texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Final, Literal

MOST = 0.95  # of the texts must fit a form
Marks = tuple[Literal[".", ","], Literal["", ".", ",", " ", "'"]]
SEPARATORS: Final[tuple[Marks, ...]] = (
    (",", ""),
    (".", ","),
    (",", "."),
    (",", " "),
    (".", " "),
    (".", "'"),
    (",", "'"),
)
TIME_FORMATS: Final = tuple(
    f"{day}{clock}"
    for day in (
        "%d.%m.%Y",
        "%d/%m/%Y",
        "%m/%d/%Y",
        "%d-%m-%Y",
        "%m-%d-%Y",
        "%Y/%m/%d",
        "%Y%m%d",
        "%d.%m.%y",
        "%m/%d/%y",
    )
    for clock in (" %H:%M:%S", " %H:%M", "T%H:%M:%S", " %I:%M:%S %p", " %I:%M %p", "%H%M%S", "")
)
_ISO: Final = re.compile(
    r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}([.,]\d{1,9})?)?( ?(Z|z|UTC|GMT|[+-]\d{2}(:?\d{2})?))?)?"
)
_PLAIN: Final = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?")
_EDGES: Final = re.compile(
    r"^([(+\-\u2212]*)\s*([^\d\s.,'\u2019+()\-\u2212]*?\.?)\s*([+\-\u2212]?)\s*(\d.*?|[.,]\d.*?)\s*([^\d\s,'\u2019()\-]*)\s*([)\-]*)$"
)
_WORDS_FOR_MONEY: Final = ("kr", "fr", "fr.", "rs", "rs.", "r", "lei", "zł", "kč", "ft", "us")
_MARKS: Final = {" ": "[ \u00a0\u2009\u202f]", "'": "['\u2019]"}
_EPOCHS: Final = {"s": 1.0, "ms": 1e3, "us": 1e6}
_EARLIEST_S, _LATEST_S = 946_684_800, 4_102_444_800  # an epoch clock of payments shows 2000 to 2100


@dataclass(frozen=True)
class NumberForm:
    """How numbers are written; not `certain` where another way of reading fits all texts too."""

    decimal: Literal[".", ","]
    thousands: Literal["", ".", ",", " ", "'"]
    signs: tuple[str, ...]
    certain: bool

    @property
    def is_plain(self) -> bool:
        return (self.decimal, self.thousands, self.signs) == (".", "", ())


@lru_cache(maxsize=4096)
def number_form(texts: tuple[str, ...]) -> NumberForm | None:
    """None where most texts are no numbers in any one form."""
    if not texts:
        return None
    plain = sum(_PLAIN.fullmatch(text) is not None for text in texts)
    if plain == len(texts):
        return NumberForm(".", "", (), certain=not _could_be_grouped(texts))
    split = [found for text in texts if (found := _EDGES.match(text))]
    signs = {found[place] for found in split for place in (2, 5)} - {""}
    every: tuple[Marks, ...] = ((".", ""), *SEPARATORS)
    fits = {marks: sum(_fits(found[4], *marks) for found in split) for marks in every}
    best = max(fits, key=lambda marks: fits[marks])
    if max(plain, fits[best]) < MOST * len(texts):
        return None
    if plain >= fits[best] or not all(_is_money(sign) for sign in signs):
        return NumberForm(".", "", (), certain=True) if plain >= MOST * len(texts) else None
    rivals = [marks for marks in fits if fits[marks] >= fits[best] and marks[0] != best[0]]
    return NumberForm(best[0], best[1], tuple(sorted(signs)), certain=not rivals)


def _fits(number: str, decimal: str, thousands: str) -> bool:
    whole = r"\d*"
    if thousands:
        mark = _MARKS.get(thousands, re.escape(thousands))
        whole = rf"(?:\d{{1,3}}(?:{mark}\d{{3}})+|\d*)"
    return re.fullmatch(rf"{whole}(?:{re.escape(decimal)}\d*)?", number) is not None


def _could_be_grouped(texts: Sequence[str]) -> bool:
    """Whether every point stands where one between thousands would."""
    pointed = [text for text in texts if "." in text]
    return bool(pointed) and all(re.fullmatch(r"-?[1-9]\d{0,2}\.\d{3}", text) for text in pointed)


def _is_money(sign: str) -> bool:
    is_symbol = any(unicodedata.category(letter) == "Sc" for letter in sign)
    return is_symbol or sign.lower() in _WORDS_FOR_MONEY or re.fullmatch("[A-Z]{3}", sign) is not None


@lru_cache(maxsize=4096)
def is_iso_time(texts: tuple[str, ...]) -> bool:
    return bool(texts) and sum(_ISO.fullmatch(text) is not None for text in texts) >= MOST * len(texts)


@lru_cache(maxsize=4096)
def time_formats(texts: tuple[str, ...]) -> tuple[str, ...]:
    """Every known format that fits most texts best; two of them where day and month cannot be told apart."""
    likely = [form for form in TIME_FORMATS if _reads(texts[:50], form) >= MOST]
    shares = {form: _reads(texts, form) for form in likely}
    best = max(shares.values(), default=0)
    return tuple(form for form in likely if shares[form] == best >= MOST)


def _reads(texts: Sequence[str], form: str) -> float:
    """The share of the texts that the format reads."""
    read = 0
    for text in texts:
        try:
            datetime.strptime(text, form)  # only whether it can be read
        except ValueError:
            continue
        read += 1
    return read / len(texts) if texts else 0.0


def epoch_unit(low: float, high: float) -> Literal["s", "ms", "us"] | None:
    """The unit in which numbers between `low` and `high` count since 1970; None where they do not."""
    for unit, scale in _EPOCHS.items():
        if _EARLIEST_S * scale <= low <= high < _LATEST_S * scale:
            return unit  # pyright: ignore[reportReturnType]
    return None
