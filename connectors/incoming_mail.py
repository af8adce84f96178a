# SPDX-License-Identifier: Apache-2.0
"""Mail as it comes from the hub, and what can be known of whether all that waited there has come (CON-23)."""

import asyncio
from typing import Final

from connectors.hub_client import HubLink
from connectors.parts import Parts
from connectors.timing import Clock
from protocol.errors import ThroughcareError

QUIET_S: Final = 2
"""Seconds without mail on an open link after which what waited at the hub is taken to have come."""
READING_S: Final = 600
"""Seconds after which it is, however much goes on coming."""


class IncomingMail:
    """Takes mail over one link after the other."""

    def __init__(self, parts: Parts, clock: Clock) -> None:
        """`clock` gives ms UTC."""
        self._parts = parts
        self._clock = clock
        self.arrived = asyncio.Event()
        """Set whenever mail has come and is stored."""
        self.drained_at: int | None = None
        """When the mailbox was last seen empty, in ms UTC by a clock known to be right."""
        self._opened_at: float | None = None
        """When the first link was opened, and below when the newest was or mail came last, in the loop's seconds."""
        self._came_at: float | None = None
        self._is_read = False

    @property
    def was_opened(self) -> bool:
        """Whether there was ever a link to the hub."""
        return self._opened_at is not None

    async def collect(self) -> ThroughcareError | None:
        """Open a link, take mail as it comes, acknowledge what is stored; end when the link does.

        Returns what ended a link that worked, None where a better one is worth opening; raises what kept one from
        working.
        """
        connection = self._parts.connection
        served = False
        try:
            async with connection.open() as link:
                self._came_at = asyncio.get_running_loop().time()
                if self._opened_at is None:
                    self._opened_at = self._came_at
                await self._parts.inbox.reconnected()
                # Who comes back may have been restored, and what it lost is to be known soon (GEN-4).
                self._parts.directory.wanted.set()
                await self._acknowledge(link)
                while not connection.worth_reopening:
                    await self.take(link)
                    served = True
        except ThroughcareError as error:
            if not served:
                raise
            return error
        return None

    async def take(self, link: HubLink) -> None:
        """Take the items that come next, and acknowledge them once they are stored."""
        items = await link.receive(await self._parts.inbox.cursor())
        self._parts.connection.reached(link)
        if not items:
            self._is_read = True
            # By another clock it would seem to have been empty when what is awaited was still on its way (CON-23).
            self.drained_at = self._clock() if self._parts.directory.clock_is_sound else self.drained_at
            return
        self._came_at = asyncio.get_running_loop().time()
        await self._parts.inbox.take(items)
        self._parts.work.set()
        self.arrived.set()
        await self._acknowledge(link)

    async def _acknowledge(self, link: HubLink) -> None:
        up_to = await self._parts.inbox.unacknowledged()
        if up_to is not None:
            await link.acknowledge(up_to)
            self._parts.inbox.acknowledged(up_to)

    def is_read(self) -> bool:
        """Tell whether what came while this connector was off has been read, by all that can be known (CON-23).

        A hub says so to who polls. Over a websocket it sends at once what waits; and one with which mail never ends
        must not keep time from going on for ever.
        """
        if self._is_read:
            return True
        now = asyncio.get_running_loop().time()
        if self._opened_at is None or self._came_at is None or not self._parts.connection.connected:
            return False
        self._is_read = now - self._came_at >= QUIET_S or now - self._opened_at >= READING_S
        return self._is_read
