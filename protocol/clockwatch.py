# SPDX-License-Identifier: Apache-2.0
"""Tells when a machine's clock cannot be right, so that a wrong hour leaves no trace (AUD-7, CON-23).

One round with a clock that is a year ahead would end, expire and delete what no clock that is set right brings back.
So the clock is compared with the time that has passed by a counter that nobody sets, and where there is one with the
word of somebody outside.
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
    """Compares a clock (ms UTC) with the ms `elapsed` since this was made, or since somebody last told the time."""

    def __init__(self, clock: Clock, elapsed: Clock) -> None:
        self._clock = clock
        self._elapsed = elapsed
        self._offset = clock() - elapsed()
        self.compared = False
        """Whether somebody outside has told the time since the start."""

    def compare(self, told: int) -> None:
        """Take the time (ms UTC) that somebody outside tells now for the one that the clock is to agree with."""
        self._offset, self.compared = told - self._elapsed(), True

    def told(self) -> int:
        """Return what the time (ms UTC) is by what it was at the start, or by what somebody outside told since."""
        return self._elapsed() + self._offset

    def is_sound(self) -> bool:
        """Tell whether the clock agrees, within 10 minutes, with what it was at the start or what was told since."""
        return abs(self._clock() - self.told()) <= CLOCK_SKEW
