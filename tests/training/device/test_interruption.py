"""A training that is told to end writes a checkpoint between two steps, and hands the signal on."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sentinel.artifacts import FeatureTable
from sentinel.storage import listing
from sentinel.training.data.splits import split
from sentinel.training.device.interruption import Interrupted, put_off
from sentinel.training.fit import fit, unfinished_folder, unfinished_run
from sentinel.training.loop.checkpoint import Checkpoints
from sentinel.training.loop.step import Outcome, Stepper
from tests.training.conftest import SETTINGS, TIMES


class Delivered(BaseException):
    """What the handler of these tests makes of a signal."""


@pytest.fixture
def handled(request: pytest.FixtureRequest) -> Any:
    def deliver(number: int, frame: object) -> None:
        raise Delivered(number)

    before = {number: signal.signal(number, deliver) for number in (signal.SIGINT, signal.SIGTERM)}
    yield deliver
    for number, handler in before.items():
        signal.signal(number, handler)


def test_signal_waits_for_the_watch_and_is_delivered_at_the_end(handled: Callable[..., None]) -> None:
    said: list[str] = []
    with pytest.raises(Delivered), put_off() as watch:
        watch()
        signal.raise_signal(signal.SIGTERM)
        said.append("the step was finished")
        with pytest.raises(Interrupted):
            watch()
    assert said and signal.getsignal(signal.SIGTERM) is handled


def test_second_signal_is_not_put_off(handled: Callable[..., None]) -> None:
    said: list[str] = []
    with pytest.raises(Delivered), put_off():
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
        said.append("never")
    assert not said


@pytest.mark.usefixtures("handled")
def test_ignored_signal_stays_ignored() -> None:
    """As Ctrl-C is for what a shell runs in the background."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with put_off() as watch:
        signal.raise_signal(signal.SIGINT)
        watch()


@pytest.mark.usefixtures("handled")
def test_interrupted_training_goes_on_from_the_step_that_it_ended_before(
    home: Path, table: FeatureTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    splits = split(table, TIMES, home=home, out=home / "interrupted-splits")
    step, out = Stepper.step, home / "interrupted"

    def signalled(self: Stepper, number: int, batch: Any) -> Outcome:
        if number == 11:
            signal.raise_signal(signal.SIGTERM)
        return step(self, number, batch)

    monkeypatch.setattr(Stepper, "step", signalled)
    with pytest.raises(Delivered):
        fit(table, splits, SETTINGS, run_id="first", home=home, out=out)
    monkeypatch.setattr(Stepper, "step", step)
    assert unfinished_run(out) == "first"
    found = Checkpoints(unfinished_folder(out) / "checkpoints", {})._read_pointer()  # pyright: ignore[reportPrivateUsage]
    assert found and found["numbers"]["position"]["step"] == 12
    fit(table, splits, SETTINGS, run_id="first", home=home, out=out)
    fit(table, splits, SETTINGS, run_id="first", home=home, out=home / "not-interrupted")
    one, other = listing(out), listing(home / "not-interrupted")
    assert one["weights.safetensors"] == other["weights.safetensors"]
