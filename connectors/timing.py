# SPDX-License-Identifier: Apache-2.0
"""The time, and how long to wait before another try: both are handed in, so that tests can skip weeks."""

import secrets
import time
from collections.abc import Callable
from typing import Final, TypeAlias

from protocol.limits import DAY, HOUR, MINUTE, SECOND

Clock: TypeAlias = Callable[[], int]
"""Returns the time in ms UTC."""
Chance: TypeAlias = Callable[[], float]
"""Returns a random number from 0 up to 1."""

FIRST_PAUSE: Final = SECOND
LONGEST_PAUSE: Final = HOUR
"""CON-24: what `pause` and `patience` give at most, and what anybody is believed to ask for (Retry-After)."""
LONGEST_SEALING_PAUSE: Final = 2 * DAY
"""CON-24: what `refused_pause` and `reseal_pause` give together at most, for a message that was sealed often."""
LONGEST_TELLING_PAUSE: Final = DAY
"""CON-24: the longest between two tries to tell an address of an event (EVT-5)."""

FREE_SEALS: Final = 4
"""SEQ-6: sealings of a message for one desk that need not wait for one another."""
MOST_SEALS: Final = 24
"""SEQ-6: sealings of a message for one desk in all; six are what 180 days with envelopes of 30 days need."""

_DOUBLINGS: Final = 12


def system_clock() -> int:
    """Return the machine's time in ms UTC."""
    return time.time_ns() // 1_000_000


def system_chance() -> float:
    """Return a random number from 0 up to 1."""
    return secrets.SystemRandom().random()


def pause(tries: int, chance: Chance = system_chance) -> int:
    """Return how many ms to wait after `tries` failures: doubling from a second to an hour (CON-2).

    Half of it is chance, so that a hundred connectors do not all come back to a restarted hub at once.
    """
    longest = min(LONGEST_PAUSE, FIRST_PAUSE << min(tries, _DOUBLINGS))
    return longest // 2 + int(chance() * (longest - longest // 2))


def patience(age: int, chance: Chance = system_chance) -> int:
    """Return how many ms to wait for what others must do first, after `age` ms of waiting: growing with the age."""
    longest = min(LONGEST_PAUSE, max(5 * SECOND, age // 4))
    return longest // 2 + int(chance() * (longest - longest // 2))


def reseal_pause(seals: int, chance: Chance = system_chance) -> int:
    """Return how many ms to wait before a message that was sealed `seals` times for a desk is sealed anew (SEQ-6).

    The first few are for what happens in practice: an expired envelope, a new device. From then on five minutes,
    doubling to a day: whoever makes a desk move to and fro, or answers falsely, gains nothing by it.
    """
    if seals <= FREE_SEALS:
        return 0
    longest = min(DAY, 5 * MINUTE << min(seals - FREE_SEALS - 1, _DOUBLINGS))
    return longest // 2 + int(chance() * (longest - longest // 2))


def refused_pause(seals: int, chance: Chance = system_chance) -> int:
    """Return how many ms to wait after the hub refused the sealing numbered `seals` because the directory moved on.

    It is a limit only: a newer directory ends it at once for the first few sealings.
    """
    longest = min(DAY, 5 * MINUTE << min(max(seals - 1, 0), _DOUBLINGS))
    return longest // 2 + int(chance() * (longest - longest // 2))
