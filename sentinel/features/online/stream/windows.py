"""The windows of one key, kept so that one more event costs little: running totals instead of sums over again.

Everything is an integer, so that adding one event at a time gives the very value that adding all of them gives.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import NamedTuple

from sentinel.feature_spec import Statistic
from sentinel.features.spec import FeatureView, microseconds

INT64_MAX = 2**63 - 1

_COUNT, _SUM, _SQUARES, _MAX, _MERCHANTS = range(5)
_CODES: dict[Statistic, int] = {
    "count": _COUNT,
    "amount_sum": _SUM,
    "amount_sum_of_squares": _SQUARES,
    "amount_max": _MAX,
    "distinct_merchants": _MERCHANTS,
    "label_count": _COUNT,
    "fraud_count": _SUM,
}
_DEAD_BEFORE_TRIM = 64


class Moved(NamedTuple):
    """An event as one key's windows see it. `value`: an amount, or 1 for a fraud and 0 for none."""

    at_us: int
    value: int
    merchant: int | str | None


class WindowPlan:
    """What a view asks of its windows: for each aggregate its statistic and length, in the view's order."""

    def __init__(self, view: FeatureView) -> None:
        asked: list[tuple[Statistic, int]] = [
            (aggregate.statistic, microseconds(aggregate.window)) for aggregate in view.aggregates
        ]
        self.longest = microseconds(view.ttl)
        self.lengths = sorted({length for _, length in asked})
        self.readings = [(_CODES[what], self.lengths.index(length), length) for what, length in asked]
        statistics = {what for what, _ in asked}
        self.squares = "amount_sum_of_squares" in statistics
        self.largest = "amount_max" in statistics
        self.merchants = "distinct_merchants" in statistics


class KeyWindows:
    """The events of one key that its windows, or those of a later event, can hold. `last_us`: the row's moment."""

    __slots__ = ("_moments", "_peak_moments", "_peaks", "_plan", "_seen", "_squares", "_sums", "last_us")

    def __init__(self, plan: WindowPlan, last_us: int, events: Sequence[Moved] = ()) -> None:
        """`events`: those in the longest window as of `last_us`, by moment."""
        self._plan = plan
        self.last_us = last_us
        self._moments = [at for at, _, _ in events]
        values = [value for _, value, _ in events]
        self._sums = list(accumulate(values, initial=0))  # running: of the first n values
        self._squares = list(accumulate((v * v for v in values), initial=0)) if plan.squares else []
        self._peak_moments: list[int] = []  # of the values that no later one reaches; the values fall
        self._peaks: list[int] = []
        if plan.largest:
            self._find_peaks(events)
        self._seen = {merchant: at for at, _, merchant in events if merchant is not None} if plan.merchants else {}

    def add(self, event: Moved) -> None:
        """Take in one more event. One that came late enters the windows of the row that stands."""
        if event.at_us >= self.last_us:
            self.last_us = event.at_us
            self._append(event)
        elif event.at_us > self.last_us - self._plan.longest:
            self._insert(event)

    def values(self) -> tuple[int | None, ...]:
        """The aggregates as of `last_us`."""
        starts = [bisect_right(self._moments, self.last_us - length) for length in self._plan.lengths]
        if starts[-1] > _DEAD_BEFORE_TRIM and 2 * starts[-1] > len(self._moments):
            dead = starts[-1]
            self._trim(dead)
            starts = [start - dead for start in starts]
        return tuple(self._read(starts))

    def _read(self, starts: list[int]) -> list[int | None]:
        """One pass, for this is what a stream does most. `starts`: the first event in the window of each length."""
        sums, last, end = self._sums, self.last_us, len(self._moments)
        total = sums[-1]
        last_seen = sorted(self._seen.values())
        found: list[int | None] = []
        for what, which, length in self._plan.readings:
            if what == _COUNT:
                found.append(end - starts[which])
            elif what == _SUM:
                value = total - sums[starts[which]]
                found.append(value if -INT64_MAX <= value <= INT64_MAX else INT64_MAX if value > 0 else -INT64_MAX)
            elif what == _MAX:
                first = bisect_right(self._peak_moments, last - length)
                found.append(self._peaks[first] if first < len(self._peaks) else None)
            elif what == _MERCHANTS:
                found.append(len(last_seen) - bisect_right(last_seen, last - length))
            else:
                found.append(min(INT64_MAX, self._squares[-1] - self._squares[starts[which]]))
        return found

    def _find_peaks(self, events: Sequence[Moved]) -> None:
        for at, value, _ in reversed(events):
            if not self._peaks or value > self._peaks[-1]:
                self._peaks.append(value)
                self._peak_moments.append(at)
        self._peaks.reverse()
        self._peak_moments.reverse()

    def _append(self, event: Moved) -> None:
        at, value, merchant = event
        self._moments.append(at)
        self._sums.append(self._sums[-1] + value)
        if self._plan.squares:
            self._squares.append(self._squares[-1] + value * value)
        if self._plan.largest:
            while self._peaks and self._peaks[-1] <= value:
                self._peaks.pop()
                self._peak_moments.pop()
            self._peaks.append(value)
            self._peak_moments.append(at)
        if self._plan.merchants and merchant is not None:
            self._seen[merchant] = at

    def _insert(self, late: Moved) -> None:
        """Begin again with the late event in its place. Merchants keep their last moment, whatever the order."""
        events = [Moved(at, self._sums[n + 1] - self._sums[n], None) for n, at in enumerate(self._moments)]
        events.insert(bisect_right(self._moments, late.at_us), late._replace(merchant=None))
        seen = self._seen
        if late.merchant is not None and self._plan.merchants:
            seen[late.merchant] = max(late.at_us, seen.get(late.merchant, late.at_us))
        self.__init__(self._plan, self.last_us, events)
        self._seen = seen

    def _trim(self, dead: int) -> None:
        """Forget what no window can hold any more; totals are read as differences, so that they may start anywhere."""
        oldest = self._moments[dead - 1]
        del self._moments[:dead], self._sums[:dead]
        if self._plan.squares:
            del self._squares[:dead]
        gone = bisect_right(self._peak_moments, oldest)
        del self._peaks[:gone], self._peak_moments[:gone]
        self._seen = {merchant: at for merchant, at in self._seen.items() if at > oldest}
