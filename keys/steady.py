# SPDX-License-Identifier: Apache-2.0
"""What the directory last answered, kept for as long as it cannot change.

Between two statements, and two moments at which a certificate begins or ends, every question has one answer. A hub
asks the same few for each message, and each walks a chain of certificates.
"""

from bisect import bisect_right, insort

from keys.entries import Certificate, DeskEntry, DeviceEntry
from protocol.address import DeskAddress
from protocol.ids import KeyId

_ALWAYS = 1 << 63


class Answers:
    """Desks and devices found in force, at one size of the directory and within one span of time."""

    def __init__(self) -> None:
        self.desks: dict[DeskAddress, DeskEntry] = {}
        self.devices: dict[KeyId, DeviceEntry] = {}
        self._edges: list[int] = []
        self._size = -1
        self._since = self._until = 0

    def note(self, entry: Certificate) -> None:
        """Note when a new certificate begins and ends."""
        insort(self._edges, entry.not_before)
        insort(self._edges, entry.not_after)

    def turn_to(self, at: int, size: int) -> None:
        """Forget what does not hold at `at` (ms UTC) with `size` leaves."""
        if self._since <= at < self._until and size == self._size:
            return
        place = bisect_right(self._edges, at)
        self._since = self._edges[place - 1] if place else -_ALWAYS
        self._until = self._edges[place] if place < len(self._edges) else _ALWAYS
        self._size = size
        self.desks.clear()
        self.devices.clear()
