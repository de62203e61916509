"""What time it is for a stream: what becomes knowable later is held back until then.

While the data are of today it is the wall clock's time: a label that is announced for tomorrow waits for tomorrow.
Data of another time (a history sent again, a simulation of the future) bring their own: the moment at which their
latest transaction became knowable, as when they are materialized. It never goes back.
"""

from __future__ import annotations

import time
from collections.abc import Callable

HOUR_US = 3_600_000_000


def wall_clock_us() -> int:
    return time.time_ns() // 1000


class Clock:
    """`end_us`: when the last transaction of the built table became knowable; `longest_us`: the longest window."""

    def __init__(self, end_us: int, longest_us: int, wall_us: Callable[[], int] = wall_clock_us) -> None:
        self._wall_us = wall_us
        self._longest_us = longest_us
        self._latest_us = end_us
        self._is_simulation = end_us > wall_us()
        self._last_us = end_us

    def see(self, known_at_us: int) -> None:
        """A transaction became knowable then."""
        self._latest_us = max(self._latest_us, known_at_us)

    def now_us(self) -> int:
        wall = self._wall_us()
        is_live = not self._is_simulation and wall <= self._latest_us + self._longest_us
        self._last_us = max(self._last_us, wall if is_live else self._latest_us)
        return self._last_us

    def limit_us(self) -> int:
        """No transaction can have happened later: an hour from now, in a simulation a longest window from its last."""
        return self._latest_us + self._longest_us if self._is_simulation else self._wall_us() + HOUR_US
