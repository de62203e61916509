from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.feature_spec import STATISTICS, Kind
from sentinel.features.online.stream.totals import INT64_MAX
from sentinel.features.online.stream.windows import KeyWindows, Moved, WindowPlan
from sentinel.features.spec import Aggregate, FeatureView

WINDOWS = (timedelta(microseconds=3), timedelta(microseconds=10), timedelta(microseconds=40))
KINDS: tuple[Kind, ...] = ("spending", "labels")


def view_of(kind: Kind) -> FeatureView:
    """Every statistic of the kind over every window."""
    aggregates = tuple(Aggregate("customer", what, window) for what in STATISTICS[kind] for window in WINDOWS)
    return FeatureView("customer", kind, ("customer_id",), aggregates)


def payments_or_labels(fraud: st.SearchStrategy[int | None]) -> st.SearchStrategy[list[Moved]]:
    amount = st.one_of(st.integers(-9, 9), st.sampled_from([INT64_MAX, -INT64_MAX, 3_037_000_500]))
    merchant = st.sampled_from([None, 1, 2, 3, "a"])
    moved = st.builds(Moved, st.integers(0, 60), st.integers(-60, 60), amount, merchant, fraud)
    return st.lists(moved, min_size=1, max_size=40)


def counted(events: list[Moved], kind: Kind) -> tuple[int | None, ...]:
    """The aggregates as of the last event, each counted over again."""
    last = max(event.at_us for event in events)
    found: list[int | None] = []
    for aggregate in view_of(kind).aggregates:
        length = aggregate.window // timedelta(microseconds=1)
        held = [event for event in events if event.at_us > last - length]
        frauds = [event for event in held if event.is_fraud]
        amounts = [event.amount for event in held if kind == "spending" or not event.is_fraud]
        counts: dict[str, int | None] = {
            "count": len(held),
            "sum": max(-INT64_MAX, min(INT64_MAX, sum(amounts))),
            "sum_of_squares": min(INT64_MAX, sum(amount * amount for amount in amounts)),
            "max": max(amounts, default=None),
            "distinct_merchants": len({event.merchant for event in held} - {None}),
            "label_count": len(held),
            "fraud_count": len(frauds),
            "first_fraud_at": min((fraud.happened_us for fraud in frauds), default=None),
            "last_fraud_at": max((fraud.happened_us for fraud in frauds), default=None),
            "last_genuine_at": max((event.happened_us for event in held if not event.is_fraud), default=None),
        }
        found.append(counts[aggregate.statistic.removeprefix("genuine_").removeprefix("amount_")])
    return tuple(found)


def check_in_any_order(events: list[Moved], kind: Kind) -> None:
    windows = KeyWindows(WindowPlan(view_of(kind)), events[0].at_us, events[:1])
    for taken in range(1, len(events) + 1):
        if taken > 1:
            windows.add(events[taken - 1])
        assert windows.last_us == max(event.at_us for event in events[:taken])
        assert windows.values() == counted(events[:taken], kind)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(payments_or_labels(st.none()))
def test_payments_in_any_order_give_what_counting_over_again_gives(events: list[Moved]) -> None:
    check_in_any_order(events, "spending")


@settings(max_examples=300, deadline=None, derandomize=True)
@given(payments_or_labels(st.sampled_from([0, 0, 1])))
def test_labels_in_any_order_give_what_counting_over_again_gives(events: list[Moved]) -> None:
    check_in_any_order(events, "labels")


@settings(max_examples=100, deadline=None, derandomize=True)
@given(payments_or_labels(st.sampled_from([0, 1])), st.sampled_from(KINDS))
def test_windows_loaded_at_once_are_those_that_grew_event_by_event(events: list[Moved], kind: Kind) -> None:
    plan, ordered = WindowPlan(view_of(kind)), sorted(events, key=lambda event: event.at_us)
    last = ordered[-1].at_us
    held = [event for event in ordered if event.at_us > last - plan.longest]
    late = ordered[len(ordered) // 2]
    windows = KeyWindows(plan, last, held)
    assert windows.values() == counted(ordered, kind)
    windows.add(late)
    assert windows.values() == counted([*ordered, late], kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_met_for_long_holds_no_more_than_its_longest_window(kind: Kind) -> None:
    events = [Moved(0, 0, 1, 0, 0)]
    windows = KeyWindows(WindowPlan(view_of(kind)), 0, events)
    for at in range(1, 1000):
        events.append(Moved(at, -at, -at, at % 7, at % 3 == 0))
        windows.add(events[-1])
        assert windows.values() == counted(events[-50:], kind)
    late = Moved(970, -2000, 7, "late", 1)
    windows.add(late)
    assert windows.values() == counted([*events[-50:], late], kind)
    assert len(windows._moments) < 150  # pyright: ignore[reportPrivateUsage]
