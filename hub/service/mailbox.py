# SPDX-License-Identifier: Apache-2.0
"""Mailboxes: reading by cursor, waking whoever waits, deleting what is acknowledged (HTTP-7, HTTP-8)."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from hub.service.outgoing import charge_of
from hub.service.reads import Reads
from hub.service.receipts import Receipts
from hub.service.tails import Tails
from hub.service.tally import OUT, Tally
from hub.service.transaction import Change, Finish, Transaction
from hub.service.writer import Writer
from hub.store import mailboxes
from hub.store.engine import NAMED, News, Store
from hub.store.mailboxes import StoredItem
from hub.store.trees import Log
from protocol.errors import InvalidInput, ThroughcareError, Unavailable
from protocol.frames import Item, ItemKind
from protocol.generations import first_index, generation_at, last_index, place_of
from protocol.ids import KeyId
from protocol.limits import MAX_DELIVERY
from protocol.receipts import ReceiptKind
from protocol.slices import encode_slice

MAX_WATCHERS = 8
"""Long polls and connections of one device at the same time."""
AT_ONCE = 500
"""Deliveries deleted by one change; a long acknowledgement takes several, and others get their turn between."""
IN_ONE_GROUP = 4_000
"""Deliveries deleted by all changes of a group: it holds up everybody, and 256 changes would delete 128,000."""


class AcknowledgeUpTo(Change[bool]):
    """Delete deliveries of one device up to a leaf index; the answer is whether there are more."""

    def __init__(self, device_id: KeyId, up_to: int, patience_s: float = 0) -> None:
        """`up_to` is an index of the tree as it is stored."""
        self.device_id = device_id
        self.up_to = up_to
        self.patience_s = patience_s

    def apply(self, transaction: Transaction) -> Finish[bool]:
        """Collect what is to be deleted."""
        if self.up_to >= transaction.size(Log.AUDIT):
            raise InvalidInput("Nothing with this index was delivered yet.")
        most = min(AT_ONCE, IN_ONE_GROUP - transaction.removed)
        found = mailboxes.acknowledged(transaction.connection, self.device_id, self.up_to, most) if most else []
        transaction.remove(found)
        return lambda: len(found) == most


class Mailboxes:
    """The mailboxes of all devices; each method takes the device that asks, and shows it nothing else (HTTP-8)."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        receipts: Receipts,
        tally: Tally,
        reads: Reads,
        starts: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        """`starts` gives the leaves that each generation after the first has kept: cursors are places (GEN-3)."""
        self._reads = reads
        self._starts = starts
        self._store = store
        self._writer = writer
        self._receipts = receipts
        self._tally = tally
        self._watchers: dict[KeyId, dict[asyncio.Event, None]] = defaultdict(dict)
        # Beside other processes this one does not see every commit.
        self._tails = None if store.shared else Tails()
        self._heard = 0
        """How many audit leaves there were after the last group that was heard of."""
        self._closing = False
        writer.on_commit(self._wake)

    def _wake(self, transaction: Transaction) -> None:
        # A commit that ran out of memory half-way may have come true without a word.
        missed = transaction.size_before(Log.AUDIT) != self._heard
        self._heard = transaction.size(Log.AUDIT)
        if self._tails is not None and (transaction.purged or missed):
            self._tails.clear()
        if self._tails is not None and missed:
            # Whom it was for is not known.
            self._wake_all()
        # In the order of delivery, never in that of a set: who is woken first must not depend on chance.
        for device, delivered in transaction.delivered.items():
            if device not in self._watchers:
                continue
            if self._tails is not None:
                self._tails.extend(device, delivered, transaction.size_before(Log.AUDIT))
            for event in self._watchers[device]:
                event.set()

    def hear(self, news: News) -> None:
        """Wake whoever waits for something that another process has committed."""
        for device, watchers in self._watchers.items():
            if news.devices is None or device[:NAMED] in news.devices:
                for event in watchers:
                    event.set()

    @contextmanager
    def watch(self, device_id: KeyId) -> Iterator[asyncio.Event]:
        """Give an event that is set whenever something comes for `device_id`, and when the hub stops."""
        watchers = self._watchers[device_id]
        if self._closing or len(watchers) >= MAX_WATCHERS:
            raise Unavailable
        event = asyncio.Event()
        watchers[event] = None
        try:
            yield event
        finally:
            watchers.pop(event, None)
            if not watchers:
                self._watchers.pop(device_id, None)
                if self._tails is not None:
                    self._tails.drop(device_id)

    def close(self) -> None:
        """Send everybody who waits away with what there is."""
        self._closing = True
        self._wake_all()

    def _wake_all(self) -> None:
        for watchers in self._watchers.values():
            for event in watchers:
                event.set()

    async def read(self, device_id: KeyId, cursor: int, most: int, most_bytes: int | None = None) -> list[Item]:
        """Return the items of `device_id` from the place `cursor` on: at most `most`, and about `most_bytes`.

        If they are not given, they are what a page may have now of its agency's room, and never over 4 MiB.
        """
        first, most_bytes = first_index(cursor, self._starts()), most_bytes or self._reads.page(device_id)
        most_bytes = min(most_bytes, MAX_DELIVERY)
        while True:
            found = await self._page(device_id, first, most, most_bytes)
            sound = [stored for stored in found if self._is_sound(stored)]
            if sound or not found:
                break
            # A page of nothing but damaged entries is not the end.
            first = found[-1].entry.index + 1
        items = [self._item(stored) for stored in self._ready(sound)]
        self._tally.add(OUT, "delivered", len(items))
        if items:
            self._reads.charge(device_id, charge_of(items))
        return items

    async def _page(self, device_id: KeyId, first: int, most: int, most_bytes: int) -> list[StoredItem]:
        found = self._tails.read(device_id, first, most, most_bytes) if self._tails is not None else None
        if found is None:
            async with self._reads.turn(device_id):
                found = await self._store.read(
                    lambda connection: mailboxes.page(connection, device_id, first, most, most_bytes)
                )
        return found

    def _ready(self, found: Iterable[StoredItem]) -> list[StoredItem]:
        """Return what of a page may be shown."""
        # What is committed and not guarded yet comes a moment later: whoever waits is woken for it then (AUD-3).
        ready = [stored for stored in found if self._writer.is_guarded(stored.entry.size)]
        if self._store.shared and ready:
            # Its receipt is shown now, whether this process has heard of the commit or not (AUD-8). A log that has one
            # leaf of a group has them all; the size that is stored of the tree may be what a disk has made of it.
            self._writer.expect(Log.AUDIT, max(stored.entry.index for stored in ready) + 1)
        return ready

    def _is_sound(self, stored: StoredItem) -> bool:
        """Tell whether it can be shown: an entry that the disk has damaged keeps nobody from what stands behind it."""
        if not self._receipts.is_sound(stored.entry):
            return False
        if stored.parts is None and stored.entry.kind is not ReceiptKind.EXPIRED:
            self._receipts.tell(stored.entry)
            return False
        return True

    def recheck(self, in_force: Callable[[KeyId], object]) -> None:
        """Wake whoever waits for a device for which `in_force` raises: it is refused at once (HTTP-12)."""
        for device, watchers in self._watchers.items():
            try:
                in_force(device)
            except ThroughcareError:
                for event in watchers:
                    event.set()

    async def wait(
        self, device_id: KeyId, cursor: int, most: int, seconds: float, *, in_force: Callable[[KeyId], object]
    ) -> list[Item]:
        """Return as `read` does, waiting up to `seconds` for the first item.

        Raises what `in_force` raises for a device that ceased to be in force while it waited (HTTP-12).
        """
        if seconds <= 0:
            return await self.read(device_id, cursor, most)
        with self.watch(device_id) as arrived:
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        arrived.clear()
                        items = await self.read(device_id, cursor, most)
                        if items or self._closing:
                            return items
                        await arrived.wait()
                        in_force(device_id)
            except TimeoutError:
                return []

    async def acknowledge(self, device_id: KeyId, up_to: int, patience_s: float = 0) -> None:
        """Delete what `device_id` has stored durably: everything up to the place `up_to` (HTTP-7, GEN-3).

        It may wait `patience_s` seconds for others to share a commit with. Raises InvalidInput for a place that no leaf
        has yet.
        """
        last = last_index(up_to, self._starts())
        while await self._writer.write(AcknowledgeUpTo(device_id, last, patience_s)):
            patience_s = 0
        if self._tails is not None:
            self._tails.forget(device_id, last)

    def acknowledge_soon(self, device_id: KeyId, up_to: int) -> None:
        """Do what `acknowledge` does for the most part, while nobody waits for it or hears of it."""
        with suppress(Unavailable):
            done = self._writer.queue(AcknowledgeUpTo(device_id, last_index(up_to, self._starts())))
            done.add_done_callback(lambda one: one.cancelled() or one.exception())

    def _item(self, stored: StoredItem) -> Item:
        receipt = self._receipts.of(stored.entry)
        place = place_of(generation_at(self._starts(), stored.entry.index), stored.entry.index)
        parts = stored.parts
        if parts is None:
            return Item(place, ItemKind.NOTICE, receipt)
        data = encode_slice(
            common=parts.common,
            position=parts.position,
            row_hashes=parts.row_hashes,
            row=parts.row,
            wraps_hash=parts.wraps_hash,
            wrap=parts.wrap,
            section_hashes=parts.section_hashes,
            sections=parts.sections,
            sender_sig=parts.sender_sig,
            receipt=receipt,
        )
        return Item(place, ItemKind.SLICE, data)
