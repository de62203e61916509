"""Running totals and peaks of one value of a key's events, from which every window's sum and largest are read.

Everything is an integer, so that adding one event at a time gives the very value that adding all of them gives.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

INT64_MAX = 2**63 - 1


class Kept(NamedTuple):
    """What is kept of a value, as some statistic reads it."""

    sums: bool
    squares: bool
    peaks: bool


class Totals:
    """Of the events of one key, in the order of their moments. An event that lacks the value has None.

    A window is read from the place of its first event, or from the moment before which it does not reach.
    """

    __slots__ = ("_kept", "_peak_moments", "_peaks", "_squares", "_sums")

    def __init__(self, kept: Kept, moments: Sequence[int], values: Sequence[int | None]) -> None:
        self._kept = kept
        numbers = [value or 0 for value in values] if kept.sums or kept.squares else []
        self._sums = list(accumulate(numbers, initial=0))  # of the first n values
        self._squares = list(accumulate((number * number for number in numbers), initial=0)) if kept.squares else []
        self._peaks: list[int] = []  # the values that no later one reaches: they fall
        self._peak_moments: list[int] = []
        if kept.peaks:
            self._find_peaks(moments, values)

    def sum_from(self, first: int) -> int:
        """As an int64 column holds it."""
        value = self._sums[-1] - self._sums[first]
        return value if -INT64_MAX <= value <= INT64_MAX else INT64_MAX if value > 0 else -INT64_MAX

    def squares_from(self, first: int) -> int:
        return min(INT64_MAX, self._squares[-1] - self._squares[first])

    def largest_after(self, moment: int) -> int | None:
        first = bisect_right(self._peak_moments, moment)
        return self._peaks[first] if first < len(self._peaks) else None

    def append(self, at: int, value: int | None) -> None:
        kept = self._kept
        if kept.sums:
            self._sums.append(self._sums[-1] + (value or 0))
        if kept.squares:
            self._squares.append(self._squares[-1] + (value * value if value else 0))
        if kept.peaks and value is not None:
            while self._peaks and self._peaks[-1] <= value:
                self._peaks.pop()
                self._peak_moments.pop()
            self._peaks.append(value)
            self._peak_moments.append(at)

    def insert(self, place: int, at: int, value: int | None) -> None:
        """A value that came late, before the event that stands at `place`."""
        if self._kept.sums:
            self._sums[place:] = [self._sums[place], *(total + (value or 0) for total in self._sums[place:])]
        if self._kept.squares:
            square = value * value if value else 0
            self._squares[place:] = [self._squares[place], *(total + square for total in self._squares[place:])]
        if self._kept.peaks and value is not None:
            self._insert_peak(at, value)

    def forget(self, events: int, until: int) -> None:
        """Drop the first events, those up to a moment. Totals are read as differences, so they may start anywhere."""
        if self._kept.sums:
            del self._sums[:events]
        if self._kept.squares:
            del self._squares[:events]
        gone = bisect_right(self._peak_moments, until)
        del self._peaks[:gone], self._peak_moments[:gone]

    def _find_peaks(self, moments: Sequence[int], values: Sequence[int | None]) -> None:
        for at, value in zip(reversed(moments), reversed(values), strict=True):
            if value is not None and (not self._peaks or value > self._peaks[-1]):
                self._peaks.append(value)
                self._peak_moments.append(at)
        self._peaks.reverse()
        self._peak_moments.reverse()

    def _insert_peak(self, at: int, value: int) -> None:
        """It is one unless a later value reaches it; the earlier ones that it reaches are none any more."""
        after = bisect_right(self._peak_moments, at)
        if after < len(self._peaks) and self._peaks[after] >= value:
            return
        before = after
        while before and self._peaks[before - 1] <= value:
            before -= 1
        self._peaks[before:after], self._peak_moments[before:after] = [value], [at]
