# SPDX-License-Identifier: Apache-2.0
"""Counts of what went in and out, by outcome only."""

from collections import Counter

IN = "in"
OUT = "out"


class Tally:
    """How many envelopes were submitted, by error code or `accepted`, and how many items were handed out."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, direction: str, outcome: str, count: int = 1) -> None:
        """Count."""
        self._counts[direction, outcome] += count

    def counts(self) -> dict[tuple[str, str], int]:
        """Return (direction, outcome) and how often."""
        return dict(self._counts)
