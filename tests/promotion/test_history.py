"""What served when, and why, from the chain alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from sentinel.errors import DecisionRefused
from sentinel.promotion.history import parse_moment, served_at

START = datetime(2026, 3, 1, tzinfo=UTC)
NOW = datetime(2026, 4, 1, tzinfo=UTC)


def entry(hours: float, outcome: str, before: str | None, after: str | None, **more: str) -> dict:
    return {
        "outcome": outcome, "decided_at": (START + timedelta(hours=hours)).isoformat(timespec="seconds"),
        "champion_before": before, "champion_after": after, "version": after or "", "release": "a" * 64,
        "decided_by": "run 1", "reason": "Every gate passed.", **more,
    }  # fmt: skip


CHAIN = [
    entry(1, "promoted", None, "1"),
    entry(2, "rejected", "1", "1"),
    entry(48, "promoted", "1", "2", decided_by="reviewer Bob", reason="Finds more."),
    entry(62, "rolled_back", "2", "1", decided_by="eve", reason="False alarms."),
    entry(70, "put_back", "3", "1", put_back_from="3", reason="Version 3 was made champion by hand."),
]


@pytest.mark.parametrize(
    ("hours", "told"),
    [
        (0.5, "no version served."),
        (1, "version 1 served (release aaaaaaaaaaaaaaaa), promoted by run 1"),
        (47.9, "version 1 served"),
        (
            62 - 1 / 3600,
            "version 2 served (release aaaaaaaaaaaaaaaa), promoted by reviewer Bob at 2026-03-03T00:00:00+00:00",
        ),
        (62, "version 1 served (release aaaaaaaaaaaaaaaa), rolled back by eve"),
        (65, "somebody set version 3 by hand"),
        (71, "put back by run 1"),
    ],
)
def test_what_served_at_a_moment(hours: float, told: str) -> None:
    served = served_at(CHAIN, START + timedelta(hours=hours), NOW)
    assert told in served.sentence
    assert served.as_dict()["sentence"] == served.sentence


def test_champion_that_was_taken_away_served_no_longer() -> None:
    chain = [*CHAIN, entry(80, "put_back", "3", None, put_back_from="3", reason="None holds.")]
    assert "no version served, since the champion was taken away" in served_at(chain, NOW, NOW).sentence


def test_future_is_refused() -> None:
    with pytest.raises(DecisionRefused, match="has not come yet"):
        served_at(CHAIN, NOW + timedelta(minutes=1), NOW)


@pytest.mark.parametrize(
    "text",
    [
        "2026-03-03 14:05", "2026-03-03T14:05:00Z", "2026-03-03 15:05+01:00", "2026-03-03 14:05 UTC",
        " 2026-03-03 15:05 Europe/Berlin ", "2026-03-03 09:05 America/New_York",
    ],
)  # fmt: skip
def test_moment_with_and_without_its_zone(text: str) -> None:
    assert parse_moment(text) == datetime(2026, 3, 3, 14, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "2026-03-03 14:05 Nowhere/Land", "14:05", "[bold]", "9" * 400]
)
def test_what_is_no_moment_is_a_sentence(text: str) -> None:
    with pytest.raises(DecisionRefused, match="is no moment"):
        parse_moment(text)


@given(some.text(max_size=30))
def test_any_text_is_a_moment_or_a_sentence(text: str) -> None:
    try:
        assert parse_moment(text).tzinfo is UTC
    except DecisionRefused as refusal:
        assert "is no moment" in str(refusal)


@given(some.lists(some.integers(0, 1000), max_size=6), some.integers(-5, 1005))
def test_the_last_decision_before_a_moment_says_what_served(times: list[int], asked: int) -> None:
    ordered = sorted(times)
    chain = [entry(hours, "promoted", str(number), str(number + 1)) for number, hours in enumerate(ordered)]
    served = served_at(chain, START + timedelta(hours=asked), START + timedelta(days=99))
    assert (served.entry["champion_after"] if served.entry else "0") == str(sum(hours <= asked for hours in ordered))
