"""Whether a table of transactions still looks like what the champion was trained on, column by column.

A shift is no fault: it may be the very reason to train. Each is measured over the whole table and over the rows since
the champion's training data, which the former would hide. What chance alone makes of small samples is allowed for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from sentinel.config import Validation
from sentinel.data.profile import Categories, Numbers, Profile

Kind = Literal["distribution", "mean", "null_share", "unknown", "gone", "absent"]

NEW_SHARE = 0.001  # of the rows: categories that the champion never saw; fewer are ordinary
GONE_SHARE = 0.01  # of the champion's rows: a category that no longer occurs
EXPECTED_ROWS = 10  # of a category that ought to occur, where its absence says something
LEAST_ROWS = 300  # fewer rows are not compared
CHANCE = 2.0  # Kolmogorov-Smirnov's factor for one false alarm in 1,500
MAX_LISTED = 3
HOURS = "hour of the day"
BEYOND_ALL = 1e9  # deviations, of a constant that became another one


@dataclass(frozen=True)
class Reference:
    """`name`: whose training data it is, in words."""

    name: str
    profile: Profile


@dataclass(frozen=True)
class Measure:
    """`value` beyond `threshold` is a shift; then `sentence` says what it means. `period`: the rows it is about."""

    column: str
    kind: Kind
    period: str
    value: float
    threshold: float
    sentence: str

    @property
    def is_shift(self) -> bool:
        return self.value > self.threshold


def compare(reference: Reference, current: Profile, period: str, settings: Validation) -> list[Measure]:
    """Every measure of every column; none where one side has too few rows. `period` ends the sentences."""
    if min(reference.profile.rows, current.rows) < LEAST_ROWS:
        return []
    return [*_measures(_Pair(reference, current, period, settings))]


def columns_of(profile: Profile) -> list[str]:
    return [*profile.numbers, *profile.categories]


@dataclass(frozen=True)
class _Pair:
    reference: Reference
    current: Profile
    period: str
    settings: Validation

    @property
    def then(self) -> Profile:
        return self.reference.profile

    def measure(self, column: str, kind: Kind, value: float, threshold: float, says: str) -> Measure:
        sentence = f"{column}: {says}, {self.period}"
        return Measure(column, kind, self.period, value, threshold, sentence)

    def chance(self, then: float, now: float) -> float:
        """How far apart two samples of one distribution may lie; arguments: their rows."""
        return CHANCE * math.sqrt(1 / max(1.0, then) + 1 / max(1.0, now))


def _measures(pair: _Pair) -> Iterator[Measure]:
    for column in columns_of(pair.then):
        if column not in columns_of(pair.current):
            says = f"the column is gone; {pair.reference.name} was trained with it"
            yield pair.measure(column, "absent", 1.0, 0.0, says)
    for column, then in pair.then.numbers.items():
        if now := pair.current.numbers.get(column):
            yield from _numbers(pair, column, then, now)
    for column, then in pair.then.categories.items():
        if now := pair.current.categories.get(column):
            yield from _categories(pair, column, then, now)
    distance = 0.5 * float(np.abs(np.subtract(pair.then.hours, pair.current.hours)).sum())
    threshold = pair.settings.max_distribution_shift + pair.chance(pair.then.rows, pair.current.rows)
    says = (
        f"{distance:.0%} of the transactions happen at other hours (UTC) than in the training data of "
        f"{pair.reference.name}; is the time zone right?"
    )
    yield pair.measure(HOURS, "distribution", distance, threshold, says)


def _null_share(pair: _Pair, column: str, then: float, now: float) -> Measure:
    noise = pair.chance(pair.then.rows, pair.current.rows)
    says = f"{now:.1%} of the values are missing, and {then:.1%} were in the training data of {pair.reference.name}"
    return pair.measure(column, "null_share", abs(now - then), pair.settings.max_null_shift + noise, says)


def _numbers(pair: _Pair, column: str, then: Numbers, now: Numbers) -> Iterator[Measure]:
    yield _null_share(pair, column, then.null_share, now.null_share)
    if then.mean is None or then.std is None or now.mean is None:
        return
    known = [share * rows for share, rows in _known_rows(pair, then, now)]
    distance = kolmogorov_smirnov(then.quantiles, now.quantiles)
    middle_then, middle_now = then.quantiles[len(then.quantiles) // 2], now.quantiles[len(now.quantiles) // 2]
    says = (
        f"the values are distributed otherwise than in the training data of {pair.reference.name} (Kolmogorov-Smirnov "
        f"distance {distance:.2f}; the median was {_figure(middle_then)} and is {_figure(middle_now)})"
    )
    allowed = pair.settings.max_distribution_shift + pair.chance(*known)
    yield pair.measure(column, "distribution", distance, allowed, says)
    moved = deviations(then, now)
    says = (
        f"the mean moved by {moved:.1f} standard deviations from the training data of {pair.reference.name} (it was "
        f"{_figure(then.mean)} and is {_figure(now.mean)})"
    )
    yield pair.measure(column, "mean", moved, pair.settings.max_mean_shift, says)


def _known_rows(pair: _Pair, then: Numbers | Categories, now: Numbers | Categories) -> Iterator[tuple[float, int]]:
    yield 1 - then.null_share, pair.then.rows
    yield 1 - now.null_share, pair.current.rows


def kolmogorov_smirnov(then: tuple[float, ...], now: tuple[float, ...]) -> float:
    """The greatest distance between two distributions that are given by as many quantiles each (0 to 1)."""
    first, second = np.asarray(then), np.asarray(now)
    places = np.union1d(first, second)
    shares = [np.searchsorted(side, places, side="right") / len(side) for side in (first, second)]
    return float(np.abs(shares[0] - shares[1]).max())


def deviations(then: Numbers, now: Numbers) -> float:
    """How far the mean moved, in standard deviations of then."""
    moved = abs((now.mean or 0.0) - (then.mean or 0.0))
    if not then.std:
        return BEYOND_ALL if moved else 0.0
    return moved / then.std


def _categories(pair: _Pair, column: str, then: Categories, now: Categories) -> Iterator[Measure]:
    yield _null_share(pair, column, then.null_share, now.null_share)
    if not then.shares or not now.shares:
        return
    rows_then, rows_now = (share * rows for share, rows in _known_rows(pair, then, now))
    distance, names = total_variation(then.shares, now.shares), len({*then.shares, *now.shares})
    noise = 0.5 * math.sqrt(names * (1 / max(1.0, rows_then) + 1 / max(1.0, rows_now)))
    says = (
        f"{distance:.0%} of the values are others than in the training data of {pair.reference.name} "
        f"({_moved(then.shares, now.shares)})"
    )
    allowed = pair.settings.max_distribution_shift + noise
    yield pair.measure(column, "distribution", distance, allowed, says)
    if not then.is_complete:  # which values are new, nobody knows
        return
    new = {value: share for value, share in now.shares.items() if value not in then.shares}
    says = f"{pair.reference.name} never saw {_listed(new)}"
    yield pair.measure(column, "unknown", sum(new.values()), max(NEW_SHARE, EXPECTED_ROWS / rows_then), says)
    if now.is_complete:
        gone = {value: share for value, share in then.shares.items() if value not in now.shares}
        says = f"{_listed(gone)} of the training data of {pair.reference.name} no longer occur"
        yield pair.measure(column, "gone", sum(gone.values()), max(GONE_SHARE, EXPECTED_ROWS / rows_now), says)


def total_variation(then: Mapping[str, float], now: Mapping[str, float]) -> float:
    """The share of the rows that would have to change their category; rest categories count as one."""
    rest = abs(sum(then.values()) - sum(now.values()))
    return 0.5 * (rest + sum(abs(then.get(name, 0.0) - now.get(name, 0.0)) for name in {*then, *now}))


def _moved(then: Mapping[str, float], now: Mapping[str, float]) -> str:
    """The categories whose share changed most."""
    most = sorted({*then, *now}, key=lambda name: (-abs(then.get(name, 0.0) - now.get(name, 0.0)), name))
    return ", ".join(f"{name!r} {then.get(name, 0.0):.1%} to {now.get(name, 0.0):.1%}" for name in most[:MAX_LISTED])


def _listed(shares: Mapping[str, float]) -> str:
    """Names with their share of the rows, the largest first."""
    most = sorted(shares.items(), key=lambda item: (-item[1], item[0]))
    named = ", ".join(
        f"{name!r} ({share:.2g})" if share < 0.001 else f"{name!r} ({share:.1%})" for name, share in most[:MAX_LISTED]
    )
    more = len(most) - MAX_LISTED
    return f"{named} and {more:,} more" if more > 0 else named


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.4g}"
