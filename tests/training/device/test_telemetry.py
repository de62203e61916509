from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator

import pytest
import torch

from sentinel.errors import TrainingFailed
from sentinel.training.device.telemetry import (
    ASK_SECONDS,
    CardReader,
    HeatWatch,
    combine,
    hottest,
    sampled,
    watched_cards,
)


class Clock:
    """Time that only passes where it is waited for."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.now += seconds


def watch_over(temperatures: list[float | None], clock: Clock, said: list[str], limit: float = 80) -> HeatWatch:
    left: Iterator[float | None] = iter(temperatures)
    return HeatWatch(lambda: next(left), limit, say=said.append, wait=clock.wait, clock=clock)


def test_a_hot_gpu_rests_until_it_is_five_degrees_cooler(caplog: pytest.LogCaptureFixture) -> None:
    clock, said = Clock(), list[str]()
    watch = watch_over([79, 81, 80, 78, 76, 75, 79], clock, said)
    with caplog.at_level(logging.WARNING, "sentinel.training"):
        watch()
        assert (watch.pauses, said) == (0, [])
        clock.wait(ASK_SECONDS)
        watch()
    assert (watch.pauses, watch.seconds) == (1, 4 * ASK_SECONDS)
    assert len(said) == 2 and "81 °C" in said[0] and "pause_above_celsius = 80" in said[0] and "75 °C" in said[1]
    assert [record.message for record in caplog.records] == said
    clock.wait(ASK_SECONDS)
    watch()
    assert watch.pauses == 1


def test_a_step_that_comes_soon_does_not_ask_again() -> None:
    clock = Clock()
    watch = watch_over([50], clock, [])
    for _ in range(20):
        watch()
        clock.wait(ASK_SECONDS / 50)


def test_each_pause_is_counted() -> None:
    clock = Clock()
    watch = watch_over([90, 70, 90, 70], clock, [])
    for _ in range(2):
        watch()
        clock.wait(ASK_SECONDS)
    assert (watch.pauses, watch.seconds) == (2, 2 * ASK_SECONDS)


def test_a_temperature_that_cannot_be_read_stops_nothing() -> None:
    clock, said = Clock(), list[str]()
    watch = watch_over([None, 95, None], clock, said)
    watch()
    assert watch.pauses == 0
    clock.wait(ASK_SECONDS)
    watch()
    assert "can no longer be read" in said[-1]


def refuse(card: int) -> float:
    raise RuntimeError(f"card {card} is not supported")


def test_what_a_card_does_not_measure_is_said_once_and_left_out(caplog: pytest.LogCaptureFixture) -> None:
    read = CardReader([0, 1], {"temperature_celsius": lambda card: 40 + card, "power_watts": refuse})
    for _ in range(3):
        assert read() == {"gpu_0_temperature_celsius": 40, "gpu_1_temperature_celsius": 41}
    assert len([record for record in caplog.records if "power_watts" in record.message]) == 2
    assert hottest(read()) == 41 and hottest({}) is None


def logger_that_ends_after(
    calls: int, reached: threading.Event
) -> tuple[list[tuple[str, float, int]], Callable[..., None]]:
    seen: list[tuple[str, float, int]] = []

    def log(name: str, value: float, step: int) -> None:
        seen.append((name, value, step))
        if len(seen) >= calls:
            reached.set()

    return seen, log


def test_readings_are_logged_again_and_again_until_the_end() -> None:
    reached, before = threading.Event(), threading.active_count()
    seen, log = logger_that_ends_after(6, reached)
    with sampled(lambda: {"a": 1.0, "b": 2.0}, log, every_seconds=0.001):
        assert reached.wait(30)
    assert {name for name, _, _ in seen} == {"a", "b"} and all(step >= 0 for _, _, step in seen)
    assert threading.active_count() == before


def test_a_listener_that_fails_ends_the_sampling_and_not_the_training(caplog: pytest.LogCaptureFixture) -> None:
    failed = threading.Event()

    def log(name: str, value: float, step: int) -> None:
        failed.set()
        raise OSError("the server is gone")

    with sampled(lambda: {"a": 1.0}, log, every_seconds=0.001):
        assert failed.wait(30)
    assert "the server is gone" in caplog.text


def test_watches_are_asked_in_order_and_the_first_refusal_counts() -> None:
    asked: list[str] = []

    def refuse_to_go_on() -> None:
        raise TrainingFailed("The memory is scarce.")

    with pytest.raises(TrainingFailed, match="scarce"):
        combine(lambda: asked.append("first"), refuse_to_go_on, lambda: asked.append("third"))()
    assert asked == ["first"]


def test_a_cpu_has_nothing_to_sample_and_no_temperature() -> None:
    before = threading.active_count()
    with watched_cards([], 30, lambda *_: pytest.fail("there is no card"), lambda _: None) as watch:
        assert threading.active_count() == before
        watch()
    assert (watch.pauses, watch.seconds) == (0, 0.0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_its_library_or_its_driver_a_card_is_left_out_and_training_goes_on() -> None:
    assert CardReader([0])() == {}
