"""The windows of one key, kept so that one more event costs little: running totals instead of sums over again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from operator import attrgetter
from typing import NamedTuple

from sentinel.feature_spec import Statistic
from sentinel.features.online.stream.totals import Kept, Totals
from sentinel.features.spec import FeatureView, microseconds

_COUNT, _SUM, _SQUARES, _LARGEST, _EARLIEST, _MERCHANTS = range(6)
_DEAD_BEFORE_TRIM = 64


class Moved(NamedTuple):
    """An event as one key's windows see it: a payment or, in a view of labels, the label of one."""

    at_us: int
    happened_us: int
    amount: int
    merchant: int | str | None
    is_fraud: int | None


Value = Callable[[Moved], int | None]


_amount: Value = attrgetter("amount")
_fraud: Value = attrgetter("is_fraud")


def _genuine_amount(event: Moved) -> int | None:
    return None if event.is_fraud else event.amount


def _fraud_moment(event: Moved) -> int | None:
    return event.happened_us if event.is_fraud else None


def _genuine_moment(event: Moved) -> int | None:
    return None if event.is_fraud else event.happened_us


def _before_fraud(event: Moved) -> int | None:
    """The earliest moment is the largest when all are negated."""
    return -event.happened_us if event.is_fraud else None


# How a statistic is read, and from the totals of which value; None: from the events or the merchants themselves.
_READINGS: dict[Statistic, tuple[int, Value | None]] = {
    "count": (_COUNT, None),
    "amount_sum": (_SUM, _amount),
    "amount_sum_of_squares": (_SQUARES, _amount),
    "amount_max": (_LARGEST, _amount),
    "distinct_merchants": (_MERCHANTS, None),
    "label_count": (_COUNT, None),
    "fraud_count": (_SUM, _fraud),
    "first_fraud_at": (_EARLIEST, _before_fraud),
    "last_fraud_at": (_LARGEST, _fraud_moment),
    "last_genuine_at": (_LARGEST, _genuine_moment),
    "genuine_amount_sum": (_SUM, _genuine_amount),
    "genuine_amount_sum_of_squares": (_SQUARES, _genuine_amount),
    "genuine_amount_max": (_LARGEST, _genuine_amount),
}


class WindowPlan:
    """What a view asks of its windows, for each aggregate, in the view's order.

    `values`: what is totalled, and how; `readings`: how, from which totals, place in `lengths`, length.
    """

    def __init__(self, view: FeatureView) -> None:
        asked = [(*_READINGS[aggregate.statistic], microseconds(aggregate.window)) for aggregate in view.aggregates]
        self.longest = microseconds(view.ttl)
        self.lengths = sorted({length for _, _, length in asked})
        totalled = list(dict.fromkeys(value for _, value, _ in asked if value is not None))
        self.values = [(value, _kept({how for how, read, _ in asked if read is value})) for value in totalled]
        self.readings = [
            (how, 0 if value is None else totalled.index(value), self.lengths.index(length), length)
            for how, value, length in asked
        ]
        self.merchants = any(how == _MERCHANTS for how, _, _ in asked)


def _kept(read: set[int]) -> Kept:
    return Kept(sums=_SUM in read, squares=_SQUARES in read, peaks=bool(read & {_LARGEST, _EARLIEST}))


class KeyWindows:
    """The events of one key that its windows, or those of a later event, can hold. `last_us`: the row's moment."""

    __slots__ = ("_moments", "_plan", "_seen", "_totals", "last_us")

    def __init__(self, plan: WindowPlan, last_us: int, events: Sequence[Moved] = ()) -> None:
        """`events`: those in the longest window as of `last_us`, by moment."""
        self._plan = plan
        self.last_us = last_us
        self._moments = [event.at_us for event in events]
        self._totals = [Totals(kept, self._moments, [value(event) for event in events]) for value, kept in plan.values]
        self._seen: dict[int | str, int] = {}
        if plan.merchants:
            self._seen = {event.merchant: event.at_us for event in events if event.merchant is not None}

    def add(self, event: Moved) -> None:
        """Take in one more event. One that came late enters the windows of the row that stands."""
        at = event.at_us
        if at >= self.last_us:
            self.last_us = at
            self._moments.append(at)
            for totals, (value, _) in zip(self._totals, self._plan.values, strict=True):
                totals.append(at, value(event))
        elif at > self.last_us - self._plan.longest:
            place = bisect_right(self._moments, at)
            self._moments.insert(place, at)
            for totals, (value, _) in zip(self._totals, self._plan.values, strict=True):
                totals.insert(place, at, value(event))
        else:
            return
        if self._plan.merchants and event.merchant is not None:
            self._seen[event.merchant] = max(at, self._seen.get(event.merchant, at))

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
        totals, last, end = self._totals, self.last_us, len(self._moments)
        last_seen = sorted(self._seen.values())
        found: list[int | None] = []
        for how, of, which, length in self._plan.readings:
            if how == _COUNT:
                found.append(end - starts[which])
            elif how == _SUM:
                found.append(totals[of].sum_from(starts[which]))
            elif how == _SQUARES:
                found.append(totals[of].squares_from(starts[which]))
            elif how == _LARGEST:
                found.append(totals[of].largest_after(last - length))
            elif how == _EARLIEST:
                negated = totals[of].largest_after(last - length)
                found.append(None if negated is None else -negated)
            else:
                found.append(len(last_seen) - bisect_right(last_seen, last - length))
        return found

    def _trim(self, dead: int) -> None:
        """Forget what no window can hold any more."""
        oldest = self._moments[dead - 1]
        del self._moments[:dead]
        for totals in self._totals:
            totals.forget(dead, oldest)
        self._seen = {merchant: at for merchant, at in self._seen.items() if at > oldest}
