from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from sentinel.features.online.stream.windows import INT64_MAX, KeyWindows, Moved, WindowPlan
from sentinel.features.spec import Aggregate, FeatureView

WINDOWS = (timedelta(microseconds=3), timedelta(microseconds=10), timedelta(microseconds=40))
STATISTICS = ("count", "amount_sum", "amount_sum_of_squares", "amount_max", "distinct_merchants")
VIEW = FeatureView(
    "customer", "spending", ("customer_id",),
    tuple(Aggregate("customer", what, window) for what in STATISTICS for window in WINDOWS),  # type: ignore[arg-type]
)  # fmt: skip
EVENTS = st.lists(
    st.builds(
        Moved,
        st.integers(0, 60),
        st.one_of(st.integers(-9, 9), st.sampled_from([INT64_MAX, -INT64_MAX, 3_037_000_500])),
        st.sampled_from([None, 1, 2, 3, "a"]),
    ),
    min_size=1,
    max_size=40,
)


def counted(events: list[Moved]) -> tuple[int | None, ...]:
    """The aggregates as of the last event, each counted over again."""
    last = max(event.at_us for event in events)
    found: list[int | None] = []
    for aggregate in VIEW.aggregates:
        length = aggregate.window // timedelta(microseconds=1)
        held = [event for event in events if event.at_us > last - length]
        values = [event.value for event in held]
        found.append(
            {
                "count": len(held),
                "amount_sum": max(-INT64_MAX, min(INT64_MAX, sum(values))),
                "amount_sum_of_squares": min(INT64_MAX, sum(value * value for value in values)),
                "amount_max": max(values),
                "distinct_merchants": len({event.merchant for event in held} - {None}),
            }[aggregate.statistic]
        )
    return tuple(found)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(EVENTS)
def test_events_in_any_order_give_what_counting_over_again_gives(events: list[Moved]) -> None:
    windows = KeyWindows(WindowPlan(VIEW), events[0].at_us, events[:1])
    for taken in range(1, len(events) + 1):
        if taken > 1:
            windows.add(events[taken - 1])
        assert windows.last_us == max(event.at_us for event in events[:taken])
        assert windows.values() == counted(events[:taken])


def test_a_key_met_for_long_holds_no_more_than_its_longest_window() -> None:
    windows = KeyWindows(WindowPlan(VIEW), 0, [Moved(0, 1, 0)])
    events = [Moved(0, 1, 0)]
    for at in range(1, 1000):
        events.append(Moved(at, -at, at % 7))
        windows.add(events[-1])
        assert windows.values() == counted(events[-50:])
    windows.add(Moved(970, 7, "late"))
    assert windows.values() == counted([*events[-50:], Moved(970, 7, "late")])
    assert len(windows._moments) < 150  # pyright: ignore[reportPrivateUsage]
