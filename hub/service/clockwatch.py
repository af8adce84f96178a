# SPDX-License-Identifier: Apache-2.0
"""Tells when the machine's clock cannot be right, so that a wrong hour leaves no trace (AUD-7).

The log's time never goes back, and what has expired is deleted: one round with a clock that is a year ahead
would purge every envelope and refuse all others for that year. So the clock is compared with the time that has
passed since the start by a counter that nobody sets. A hub that was switched off for weeks starts normally.
"""

import sys
import time
from collections.abc import Callable

from protocol.limits import CLOCK_SKEW

Clock = Callable[[], int]


def machine_time() -> int:
    """Return ms since some moment in the past, which go on while the machine sleeps and which nobody can set."""
    if sys.platform == "win32":
        return time.monotonic_ns() // 1_000_000
    counter: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime_ns(counter) // 1_000_000


class ClockWatch:
    """Compares a clock (ms UTC) with the ms `elapsed` since this was made."""

    def __init__(self, clock: Clock, elapsed: Clock) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._offset = clock() - elapsed()

    def is_sound(self) -> bool:
        """Tell whether the clock has moved as time has, within 10 minutes."""
        return abs(self._clock() - self._elapsed() - self._offset) <= CLOCK_SKEW
