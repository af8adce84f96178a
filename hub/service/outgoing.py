# SPDX-License-Identifier: Apache-2.0
"""What one agency reads and is being sent: so much in a minute, and so much at the same time (HTTP-14, HTTP-21).

A page of a mailbox is made before it is known how large it is, so it is charged for afterwards: the next one waits for
what was used too much. What is on its way is counted until the other side has taken it.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from protocol.frames import Item
from protocol.limits import MAX_DESKS

AT_ONCE = 64 << 20
"""Bytes of answers and deliveries that the hub holds for one agency until they are taken."""
BODIES_AT_ONCE = 32 << 20
"""Bytes of bodies that come, held for one agency; what is on its way to it takes no room of theirs."""
READERS = 2
"""Pages and pieces that are read for one agency at the same time: a database has three readers or five connections, and
others must always find one of them soon."""
FOR_DELIVERIES = 4
"""The part of that, one by this, which no answer takes: mail that is pushed finds room beside slow downloads."""
PARTS = MAX_DESKS // 2
"""Parts of what is left of that room, of which a page has one: half of an agency's desks may take nothing of two pages,
and an eighth of it is left for the others."""
LEAST_PAGE = 64 << 10
"""Bytes of a page that is worth reading."""
LEAST_ITEM = 32 << 10
"""Bytes that even the smallest message of a mailbox counts for in a minute: each is read, put together and signed."""


def charge_of(items: Sequence[Item]) -> int:
    """Return what a page of a mailbox counts for in a minute."""
    return sum([max(LEAST_ITEM, len(item.data)) for item in items])


class Outgoing:
    """What the hub holds for one agency."""

    def __init__(self, wait: Callable[[], float]) -> None:
        """`wait` tells for how many seconds the agency has used up its minute."""
        self._wait = wait
        self._held = 0
        self._coming = 0
        self._freed = asyncio.Event()
        self.pages = asyncio.Semaphore(READERS)
        """What surrounds the room for a page and its reading: who waits for a turn holds no room meanwhile."""

    def try_take(self, size: int) -> bool:
        """Count an answer of `size` bytes, if it fits; a single larger piece may pass alone."""
        if self._held and self._held + size > AT_ONCE - AT_ONCE // FOR_DELIVERIES:
            return False
        self._held += size
        return True

    def try_come(self, size: int) -> bool:
        """Count a body of `size` bytes that comes, if it fits; a single larger one may pass alone."""
        if self._coming and self._coming + size > BODIES_AT_ONCE:
            return False
        self._coming += size
        return True

    def came(self, size: int) -> None:
        """Count it no more."""
        self._coming -= size

    def page(self, held: int) -> int:
        """Return how many bytes a page may have for who holds `held` bytes already; 0 if those are a share.

        That is a part of what is left: however many take nothing of what they are sent, the next one gets its mail. Who
        holds less than that may have one more, so that it is read while the other is sent.
        """
        left = AT_ONCE - self._held
        most = max(LEAST_PAGE, left // PARTS)
        return most if held < most <= left else 0

    async def room(self, held: Callable[[], int]) -> None:
        """Wait for the minute's share, and for a page's room beside what is `held` then."""
        if (seconds := self._wait()) > 0:
            await asyncio.sleep(seconds)
        while not self.page(held()):
            self._freed.clear()
            await self._freed.wait()

    def give(self, size: int) -> None:
        """Count `size` bytes no more."""
        self._held -= size
        self._freed.set()


class Pages:
    """What of it one websocket has."""

    def __init__(self, outgoing: Outgoing) -> None:
        self._outgoing = outgoing
        self._held = 0

    async def read(self, reading: Callable[[int], Awaitable[list[Item]]]) -> tuple[list[Item], int]:
        """Return the next page of a mailbox, once there is room for one, and its bytes: those stay counted.

        `reading` is told how many bytes it may have; a single larger item may pass.
        """
        while True:
            # Before the turn: who has its share must keep nobody else from reading.
            await self._outgoing.room(lambda: self._held)
            async with self._outgoing.pages:
                if most := self._outgoing.page(self._held):
                    return await self._read(most, reading)

    async def _read(self, most: int, reading: Callable[[int], Awaitable[list[Item]]]) -> tuple[list[Item], int]:
        self.give(-most)
        size = 0
        try:
            items = await reading(most)
            size = sum([len(item.data) for item in items])
        finally:
            self.give(most - size)
        return items, size

    def give(self, size: int) -> None:
        """Note that `size` bytes are sent."""
        self._held -= size
        self._outgoing.give(size)

    def close(self) -> None:
        """Give back whatever is left."""
        self.give(self._held)
