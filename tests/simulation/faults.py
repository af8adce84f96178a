# SPDX-License-Identifier: Apache-2.0
"""Every fault by its name, and the chance that decides when one happens.

For each seed some of the points are switched on; a point that is on happens with its own probability each time
that the simulated world passes it. So most seeds see few kinds of faults, often, rather than all of them, rarely.
"""

import random
from collections import Counter

POINTS = {
    # The network between a connector and the hub.
    "connection-refused": 0.04,
    "connection-slow": 0.05,
    "connection-silent": 0.02,
    "request-cut": 0.03,
    "answer-cut": 0.03,
    "request-twice": 0.04,
    "partition": 0.12,
    # The hub's machine.
    "hub-killed-before-commit": 0.02,
    "hub-killed-after-commit": 0.02,
    "hub-killed-after-guard": 0.02,
    "hub-killed-after-sign": 0.02,
    "hub-guard-fails": 0.02,
    "hub-disk-full": 0.10,
    "hub-stopped": 0.08,
    "hub-clock-jumps": 0.06,
    "hub-clock-wrong-at-start": 0.25,
    # An agency's machine.
    "connector-killed-before-commit": 0.01,
    "connector-killed-after-commit": 0.01,
    "connector-killed": 0.10,
    "connector-disk-full": 0.10,
    "connector-clock-wrong": 0.08,
    "connector-offline": 0.08,
    "store-slow": 0.05,
    # What happens to agencies.
    "device-replaced": 0.05,
    "device-lost": 0.04,
    "device-revoked": 0.04,
    # A hub that lies. In these seeds only its operator is the adversary; the machines may fail as well.
    "lie-damaged": 0.15,
    "lie-dropped": 0.10,
    "lie-repeated": 0.15,
    "lie-reordered": 0.15,
    "lie-spliced": 0.15,
    "lie-swapped": 0.15,
    "lie-withheld": 0.15,
    "lie-older-directory": 0.05,
}
"""Probabilities each time that a point is passed, in a seed in which it is on."""

LIES = frozenset(name for name in POINTS if name.startswith("lie-"))
SHARE_ON = 0.4
SHARE_OF_LIES = 0.6
SHARE_LYING = 0.25
"""Seeds in which the hub is malicious."""


class Faults:
    """Decides for one seed which faults happen, and counts them."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(f"faults {seed}")
        self.lying = self._chance.random() < SHARE_LYING
        self.on = {name for name in POINTS if self._is_on(name)}
        self.active = True
        self.counts: Counter[str] = Counter()

    def _is_on(self, name: str) -> bool:
        if name in LIES:
            return self.lying and self._chance.random() < SHARE_OF_LIES
        return self._chance.random() < SHARE_ON

    def happens(self, name: str) -> bool:
        """Tell whether the fault `name` happens here and now; it is counted if so."""
        probability = POINTS[name]
        if not self.active or name not in self.on or self._chance.random() >= probability:
            return False
        self.counts[name] += 1
        return True

    def seconds(self, least: float, most: float) -> float:
        """Return a duration."""
        return self._chance.uniform(least, most)

    def number(self, below: int) -> int:
        """Return a whole number from 0 up to `below`."""
        return self._chance.randrange(below)
