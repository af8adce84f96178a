# SPDX-License-Identifier: Apache-2.0
"""How much of each agency may wait for its recipients at the hub (HTTP-18).

The bound is for one sending agency, in all and at each recipient's device: a mailbox that one agency has filled still
takes what others send. What is added is counted in memory, and what is collected is not counted at all: only when a
bound seems to be reached is the database asked what really waits, so that keeping it costs the hub next to nothing.
After a start, and of what other hub processes have accepted, this one learns with the first such question.
"""

import asyncio
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from weakref import WeakValueDictionary

from hub.config import LimitsSection
from hub.service.directory import DirectoryLog
from hub.store import mailboxes
from hub.store.engine import Store
from protocol.clockwatch import Clock
from protocol.errors import QuotaReached
from protocol.ids import KeyId
from protocol.limits import SECOND

ASK_EVERY = 30 * SECOND
"""ms after which the database is asked again what waits for a device."""
UNASKED = 8
"""A part of the bound, one by this, that may be added before the database was ever asked."""


@dataclass(slots=True)
class Amount:
    """Messages, and about their bytes."""

    messages: int = 0
    bytes: int = 0

    def add(self, messages: int, size: int) -> None:
        """Add, or take off what is negative."""
        self.messages += messages
        self.bytes += size

    def without(self, other: "Amount") -> "Amount":
        """Return the difference."""
        return Amount(self.messages - other.messages, self.bytes - other.bytes)

    def fits(self, size: int, most: "Amount") -> bool:
        """Tell whether one more message of `size` bytes keeps within `most`."""
        return self.messages < most.messages and self.bytes + size <= most.bytes


class Waiting:
    """What waits, by sending agency and recipient's device."""

    def __init__(self, store: Store, directory: DirectoryLog, limits: LimitsSection, elapsed: Clock) -> None:
        """`elapsed` counts ms."""
        self._store = store
        self._log = directory
        self._elapsed = elapsed
        self._in_all = Amount(limits.waiting_messages, limits.waiting_gigabytes << 30)
        self._for_one = Amount(limits.waiting_messages_per_recipient, limits.waiting_megabytes_per_recipient << 20)
        self._unasked = Amount(self._for_one.messages // UNASKED, self._for_one.bytes // UNASKED)
        self._at: dict[str, dict[KeyId, Amount]] = defaultdict(lambda: defaultdict(Amount))
        self._totals: dict[str, Amount] = defaultdict(Amount)
        self._pending: dict[tuple[str, KeyId], Amount] = defaultdict(Amount)
        self._asked: dict[KeyId, int] = {}
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._counting: WeakValueDictionary[KeyId, asyncio.Lock] = WeakValueDictionary()

    async def take(self, agency: str, sizes: Mapping[KeyId, int]) -> None:
        """Count a message of `agency` by its bytes for each device, or raise QuotaReached and count nothing."""
        if not self.try_take(agency, sizes):
            # One of an agency at a time, which holds up no other: it may have thousands of recipients.
            async with self._asking.setdefault(agency, asyncio.Lock()):
                await self._ask(agency, sizes)
            if not self.try_take(agency, sizes):
                raise _reached()

    def try_take(self, agency: str, sizes: Mapping[KeyId, int]) -> bool:
        """Count it if no bound is reached as far as is known; tell whether it was counted."""
        if self._full(agency, sizes):
            return False
        at, total = self._at[agency], self._totals[agency]
        for device, size in sizes.items():
            at[device].add(1, size)
            total.add(1, size)
            self._pending[agency, device].add(1, size)
        return True

    def settle(self, agency: str, sizes: Mapping[KeyId, int], *, accepted: bool) -> None:
        """Note what became of a message that was taken; one that was not accepted counts no more."""
        at, total = self._at[agency], self._totals[agency]
        for device, size in sizes.items():
            pending = self._pending[agency, device]
            pending.add(-1, -size)
            if not pending.messages:
                del self._pending[agency, device]
            if not accepted:
                at[device].add(-1, -size)
                total.add(-1, -size)

    def _full(self, agency: str, sizes: Mapping[KeyId, int]) -> bool:
        """Tell whether a bound is reached as far as is known."""
        at = self._at[agency]
        return not self._totals[agency].fits(sum(sizes.values()), self._in_all) or any(
            not at[device].fits(size, self._for_one if device in self._asked else self._unasked)
            for device, size in sizes.items()
        )

    async def _ask(self, agency: str, sizes: Mapping[KeyId, int]) -> None:
        """Ask the database about the devices of a message, and about all others if the agency's whole is reached."""
        for device in sizes:
            await self._count(device)
        if not self._totals[agency].fits(sum(sizes.values()), self._in_all):
            for device in list(self._at[agency]):
                await self._count(device)

    async def _count(self, device: KeyId) -> None:
        async with self._counting.setdefault(device, asyncio.Lock()):
            await self._count_alone(device)

    async def _count_alone(self, device: KeyId) -> None:
        now = self._elapsed()
        if now - self._asked.get(device, -ASK_EVERY) < ASK_EVERY:
            return
        # What is on its way may be in the answer or not; it counts, until the next one.
        before = {
            agency: at[device].without(self._pending.get((agency, device), Amount()))
            for agency, at in self._at.items()
            if device in at
        }
        found = await self._store.read(lambda connection: mailboxes.waiting(connection, device))
        self._asked[device] = now
        real: dict[str, Amount] = defaultdict(Amount)
        for sender, messages, size in found:
            entry = self._log.directory.device(sender)
            if entry is not None:
                real[entry.agency].add(messages, size)
        for agency in {*before, *real}:
            old, new = before.get(agency, Amount()), real[agency]
            self._at[agency][device].add(new.messages - old.messages, new.bytes - old.bytes)
            self._totals[agency].add(new.messages - old.messages, new.bytes - old.bytes)


class Room:
    """What one message takes of it; taken once, however often its sender is checked."""

    def __init__(self, waiting: Waiting, agency: str, sizes: Mapping[KeyId, int]) -> None:
        """`sizes` are the bytes for each recipient's device."""
        self._waiting = waiting
        self._agency = agency
        self._sizes = sizes
        self._taken = False

    async def take(self) -> None:
        """Take it if it is not taken yet; raises QuotaReached."""
        if not self._taken:
            await self._waiting.take(self._agency, self._sizes)
            self._taken = True

    def try_take(self) -> bool:
        """Take it if that needs no question to the database, and tell whether it is taken."""
        self._taken = self._taken or self._waiting.try_take(self._agency, self._sizes)
        return self._taken

    def settle(self, accepted: bool) -> None:
        """Keep it, or give it back if it was taken."""
        if self._taken:
            self._waiting.settle(self._agency, self._sizes, accepted=accepted)


def _reached() -> QuotaReached:
    full = QuotaReached()
    full.retry_after = ASK_EVERY // SECOND
    return full
