# SPDX-License-Identifier: Apache-2.0
"""How many attachments of each agency are at the hub, how large, and for how many readers (ATT-6).

What is added is counted in memory, and what goes is not counted at all: only when a bound seems to be reached is the
database asked what is really there, and not by the writer, so that keeping the bounds holds nobody up. A process asks
before it takes the first of an agency after its start, and now and then where others write to the same database.
"""

import asyncio
from collections import defaultdict
from dataclasses import dataclass
from weakref import WeakValueDictionary

from hub.config import LimitsSection
from hub.store import blobs
from hub.store.engine import Store
from protocol.clockwatch import Clock
from protocol.errors import QuotaReached
from protocol.limits import SECOND

ASK_EVERY = 30 * SECOND
"""ms after which the database is asked again what an agency has."""


@dataclass(frozen=True, slots=True)
class Holding:
    """Attachments, their bytes, and how often a recipient's device may still read one of them."""

    count: int = 0
    bytes: int = 0
    readers: int = 0

    def __add__(self, other: "Holding") -> "Holding":
        return Holding(self.count + other.count, self.bytes + other.bytes, self.readers + other.readers)

    def __sub__(self, other: "Holding") -> "Holding":
        return Holding(self.count - other.count, self.bytes - other.bytes, self.readers - other.readers)

    def within(self, most: "Holding") -> bool:
        """Tell whether none of the three is more than in `most`."""
        return self.count <= most.count and self.bytes <= most.bytes and self.readers <= most.readers


class Holdings:
    """What all agencies have here, by the agency's address."""

    def __init__(self, store: Store, limits: LimitsSection, most_bytes: int, elapsed: Clock) -> None:
        """`most_bytes` is what the attachments of one agency may have; `elapsed` counts ms."""
        self._store = store
        self._elapsed = elapsed
        self._most = Holding(limits.waiting_attachments, most_bytes, limits.waiting_attachment_readers)
        self._held: dict[str, Holding] = defaultdict(Holding)
        self._pending: dict[str, Holding] = defaultdict(Holding)
        self._asked: dict[str, int] = {}
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def take(self, agency: str, more: Holding) -> None:
        """Count `more`, which is about to be stored, or raise QuotaReached and count nothing."""
        if self._is_to_be_asked(agency, more):
            async with self._asking.setdefault(agency, asyncio.Lock()):
                if self._is_to_be_asked(agency, more):
                    await self._ask(agency)
        if not (self._held[agency] + more).within(self._most):
            full = QuotaReached()
            full.retry_after = ASK_EVERY // SECOND
            raise full
        self._held[agency] += more
        self._pending[agency] += more

    def settle(self, agency: str, more: Holding, *, stored: bool) -> None:
        """Note what became of something that was taken; what was not stored counts no more."""
        pending = self._pending[agency] - more
        if pending == Holding():
            del self._pending[agency]
        else:
            self._pending[agency] = pending
        if not stored:
            self._held[agency] -= more

    def _is_to_be_asked(self, agency: str, more: Holding) -> bool:
        asked = self._asked.get(agency)
        if asked is None:
            return True
        if self._elapsed() < asked + ASK_EVERY:
            return False
        return self._store.shared or not (self._held[agency] + more).within(self._most)

    async def _ask(self, agency: str) -> None:
        now = self._elapsed()
        # What is on its way may be in the answer or not; it counts, until the next one.
        before = self._held[agency] - self._pending.get(agency, Holding())
        found = Holding(*await self._store.read(lambda connection: blobs.held(connection, agency)))
        self._held[agency] += found - before
        self._asked[agency] = now


class Share:
    """What one change takes of it; taken once, however often its caller is checked."""

    def __init__(self, holdings: Holdings, agency: str, more: Holding) -> None:
        self._holdings = holdings
        self._agency = agency
        self._more = more
        self._taken = False

    async def take(self) -> None:
        """Take it if it is not taken yet, or nothing of nothing; raises QuotaReached."""
        if not self._taken and self._more != Holding():
            await self._holdings.take(self._agency, self._more)
            self._taken = True

    def try_take(self) -> bool:
        """Take it if there is nothing of it, and tell so; of anything else the database may have to be asked."""
        return self._taken or self._more == Holding()

    def settle(self, stored: bool) -> None:
        """Keep it, or give it back if it was taken."""
        if self._taken:
            self._holdings.settle(self._agency, self._more, stored=stored)
