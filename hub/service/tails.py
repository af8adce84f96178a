# SPDX-License-Identifier: Apache-2.0
"""The newest items of mailboxes that somebody watches, kept from their commit so that they need not be read back.

A tail is complete from its `start` on: whoever has read everything below finds the rest here, in order. It is dropped
rather than allowed to grow, and the mailbox is read from the database again. Only where this process alone writes to
the database does it see every commit; elsewhere there are no tails.
"""

from collections import deque
from collections.abc import Iterable

from hub.service.transaction import Delivered
from hub.store.mailboxes import StoredItem
from protocol.ids import KeyId

ONE_TAIL = 1 << 20
"""Bytes that the tail of one device may hold."""
ALL_TAILS = 32 << 20
"""Bytes that all tails together may hold."""


class _Tail:
    def __init__(self, start: int) -> None:
        self.start = start
        self.bytes = 0
        self.items: deque[tuple[StoredItem, int]] = deque()


class Tails:
    """The tails of all devices that are watched."""

    def __init__(self) -> None:
        self._tails: dict[KeyId, _Tail] = {}
        self.bytes = 0
        """How many bytes all of them hold."""

    def extend(self, device: KeyId, delivered: Iterable[Delivered], start: int) -> None:
        """Add what a group delivered to `device`, all of it, when the log had `start` leaves before the group."""
        tail = self._tails.get(device)
        if tail is None:
            tail = self._tails[device] = _Tail(start)
        for one in delivered:
            tail.items.append((one.item(), one.size))
            tail.bytes += one.size
            self.bytes += one.size
        if tail.bytes > ONE_TAIL:
            self.drop(device)
        while self.bytes > ALL_TAILS:
            # The longest, which somebody does not read on: who keeps up is not to be sent to the database for it.
            self.drop(max(self._tails, key=lambda one: self._tails[one].bytes))

    def read(self, device: KeyId, cursor: int, most: int, most_bytes: int) -> list[StoredItem] | None:
        """Return the items from leaf index `cursor` on, or None if only the database can tell.

        At most `most` items and `most_bytes` bytes, but always the first item, whatever its size.
        """
        tail = self._tails.get(device)
        if tail is None or cursor < tail.start:
            return None
        self.forget(device, cursor - 1)
        found: list[StoredItem] = []
        for item, size in tail.items:
            most_bytes -= size
            if len(found) == most or (found and most_bytes < 0):
                break
            found.append(item)
        return found

    def forget(self, device: KeyId, up_to: int) -> None:
        """Drop the items of `device` up to leaf index `up_to`, which nobody asks for any more."""
        tail = self._tails.get(device)
        if tail is None or up_to < tail.start:
            return
        while tail.items and tail.items[0][0].entry.index <= up_to:
            _, size = tail.items.popleft()
            tail.bytes -= size
            self.bytes -= size
        tail.start = up_to + 1

    def drop(self, device: KeyId) -> None:
        """Drop the whole tail of `device`."""
        tail = self._tails.pop(device, None)
        if tail is not None:
            self.bytes -= tail.bytes

    def clear(self) -> None:
        """Drop every tail."""
        self._tails.clear()
        self.bytes = 0
