"""While a GPU trains: what it measures of itself goes to the run's metrics, and a hot one rests.

One thread samples; the loop itself asks for the temperature before a step, at most once a second.
"""

# torch types many of its functions loosely:
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

import torch

_log = logging.getLogger(__name__)

LogMetric = Callable[[str, float, int], None]  # name, value, step
Reader = Callable[[], Mapping[str, float]]  # the measurements of this moment, by the name of their metric
Watch = Callable[[], None]  # called before every step; it may block, or raise TrainingFailed

SAMPLE_SECONDS = 5.0
ASK_SECONDS = 1.0  # between two looks at the temperature
COOLER = 5  # degrees below the limit, where a hot GPU goes on

_MEASURES: Mapping[str, Callable[[int], float]] = {
    "temperature_celsius": lambda card: torch.cuda.temperature(card),
    "power_watts": lambda card: torch.cuda.power_draw(card) / 1000,
    "memory_used_megabytes": lambda card: torch.cuda.device_memory_used(card) / 1e6,
    "utilization_percent": lambda card: torch.cuda.utilization(card),
}


class CardReader:
    """Reads the cards of a training. What a card does not measure is said once, and left out."""

    def __init__(self, cards: Sequence[int], measures: Mapping[str, Callable[[int], float]] = _MEASURES) -> None:
        self._open = {f"gpu_{card}_{name}": (read, card) for card in cards for name, read in measures.items()}

    def __call__(self) -> dict[str, float]:
        found: dict[str, float] = {}
        for name, (read, card) in list(self._open.items()):
            try:
                found[name] = float(read(card))
            except Exception as error:  # the driver's refusals have many classes, and none ends a training
                del self._open[name]
                _log.warning("%s cannot be read, and is left out: %s.", name, error)
        return found


def temperature_of(cards: Sequence[int]) -> Callable[[], float | None]:
    """Asks for the temperature of the hottest of them; None when no card tells."""
    name = "temperature_celsius"
    read = CardReader(cards, {name: _MEASURES[name]})
    return lambda: hottest(read())


def hottest(readings: Mapping[str, float]) -> float | None:
    """The largest temperature among them; None when there is none."""
    return max((value for name, value in readings.items() if name.endswith("temperature_celsius")), default=None)


@contextmanager
def watched_cards(
    cards: Sequence[int],
    limit: float,
    log_metric: LogMetric | None,
    say: Callable[[str], None],
) -> Generator[HeatWatch]:
    """Log what the cards measure during the block; yield the watch over their temperature. On a CPU there are none.

    Every process of a training watches all of its cards, so that all rest at once; the first alone logs.
    """
    watch = HeatWatch(temperature_of(cards), limit, say=say)
    if not cards or log_metric is None:
        yield watch
        return
    with sampled(CardReader(cards), log_metric):
        yield watch


@contextmanager
def sampled(read: Reader, log_metric: LogMetric, every_seconds: float = SAMPLE_SECONDS) -> Generator[None]:
    """Log the readings at once and every so often until the block ends; a step is a second since its beginning."""
    ended = threading.Event()
    thread = threading.Thread(target=_sample, args=(read, log_metric, every_seconds, ended), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _sample(read: Reader, log_metric: LogMetric, every_seconds: float, ended: threading.Event) -> None:
    begun = time.monotonic()
    while True:
        second = int(time.monotonic() - begun)
        try:
            for name, value in read().items():
                log_metric(name, value, second)
        except Exception as error:  # whoever keeps the metrics does not answer
            _log.warning("The GPU's measurements are no longer logged: %s", error)
            return
        if ended.wait(every_seconds):
            return


class HeatWatch:
    """Blocks while the temperature is above `limit`, until it is COOLER degrees below."""

    def __init__(
        self,
        celsius: Callable[[], float | None],
        limit: float,
        *,
        say: Callable[[str], None] = lambda sentence: None,
        wait: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._celsius, self._limit, self._say = celsius, limit, say
        self._wait, self._clock = wait, clock
        self._asked = -ASK_SECONDS + clock()
        self.pauses = 0
        self.seconds = 0.0  # of all pauses

    def __call__(self) -> None:
        if self._clock() - self._asked < ASK_SECONDS:
            return
        self._asked = self._clock()
        found = self._celsius()
        if found is not None and found > self._limit:
            self._rest(found)

    def _rest(self, found: float) -> None:
        begun, goal = self._clock(), self._limit - COOLER
        self.pauses += 1
        self._tell(
            f"The GPU has {found:.0f} °C, more than training.pause_above_celsius = {self._limit:.0f}: "
            f"training rests until it has {goal:.0f} °C."
        )
        while (now := self._after_a_wait()) is not None and now > goal:
            pass
        seconds = self._clock() - begun
        self.seconds += seconds
        reached = "its temperature can no longer be read" if now is None else f"the GPU has {now:.0f} °C"
        self._tell(f"Training goes on after {seconds:.0f} s: {reached}.")

    def _after_a_wait(self) -> float | None:
        self._wait(ASK_SECONDS)
        return self._celsius()

    def _tell(self, sentence: str) -> None:
        _log.warning(sentence)
        self._say(sentence)


def combine(*watches: Watch) -> Watch:
    """One watch that asks all, in order."""

    def every() -> None:
        for watch in watches:
            watch()

    return every
