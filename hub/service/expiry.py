# SPDX-License-Identifier: Apache-2.0
"""What time demands of the store: expired envelopes, and evidence past its time."""

from hub.service.damage import UNREADABLE
from hub.service.transaction import Change, Delivered, Finish, Transaction
from hub.service.writer import Writer
from hub.store import envelopes
from hub.store.engine import Store
from hub.store.envelopes import Due
from hub.store.mailboxes import hashes_in
from hub.store.trees import Log
from protocol.clockwatch import Clock
from protocol.frames import ItemKind
from protocol.limits import DAY
from protocol.receipts import Detail, ReceiptKind
from protocol.rows import Common, envelope_digest, header_hash

AT_ONCE = 100
NOTICE_SIZE = 1_024
"""About the bytes of a notice on the wire."""


class ExpireDue(Change[int]):
    """Purge envelopes past their time and tell their senders, at most 100 at once (HTTP-11).

    The answer is how many; fewer than `AT_ONCE` means that none is left.
    """

    def apply(self, transaction: Transaction) -> Finish[int]:
        """Append a leaf for each, put the notice into the sender's mailbox, delete what is left."""
        # What was collected in this very group must not count as uncollected.
        transaction.settle()
        found = envelopes.due(transaction.connection, transaction.now, AT_ONCE)
        put_off = dict[int, int]()
        for one in found:
            common = _common_of(one)
            if common is None:
                continue
            if common.expires > transaction.now:
                # It is the disk that has put its end forward.
                put_off[one.index] = common.expires
                continue
            entry = transaction.record(
                Detail(
                    kind=ReceiptKind.EXPIRED,
                    envelope_id=common.envelope_id,
                    digest=one.digest,
                    sender_desk=common.sender_desk,
                    directory_size=transaction.size(Log.DIRECTORY),
                    directory_root=transaction.root(Log.DIRECTORY),
                )
            )
            transaction.deliver(
                common.device_id,
                {"kind": ItemKind.NOTICE, "position": 0, "row": None, "wrap": None, "sections": 0},
                Delivered(entry, NOTICE_SIZE),
            )
        if found:
            transaction.purged = True
            envelopes.put_off(transaction.connection, put_off)
            envelopes.purge(transaction.connection, [one.index for one in found if one.index not in put_off])
        return lambda: len(found)


def _common_of(one: Due) -> Common | None:
    """Return the head of an envelope; None unless its digest shows that the disk has damaged nothing of it.

    It goes without a notice then, and holds nothing else up: its sender seals it anew for want of one (CON-13).
    """
    try:
        common = Common.parse(one.common)
        header = header_hash(one.common, hashes_in(one.row_hashes))
        digest = envelope_digest(header, one.wraps_hash, hashes_in(one.section_hashes))
    except UNREADABLE:
        return None
    return common if digest == one.digest else None


class ForgetOld(Change[int]):
    """Delete digests, receipts and replay rows past the retention time; the leaves stay and stay valid (AUD-1)."""

    def __init__(self, days: int) -> None:
        self.days = days

    def apply(self, transaction: Transaction) -> Finish[int]:
        """Delete at most `AT_ONCE` entries; the answer is how many."""
        forgotten = envelopes.forget(transaction.connection, transaction.now - self.days * DAY, AT_ONCE)
        transaction.purged |= forgotten > 0
        return lambda: forgotten


class Expiry:
    """Runs the changes that time demands, in portions, so that submissions get their turn between them."""

    def __init__(self, store: Store, writer: Writer, clock: Clock) -> None:
        self._store = store
        self._writer = writer
        self._clock = clock

    async def expire(self) -> int:
        """Expire all that is due; returns how many envelopes that were."""
        due = await self._store.read(envelopes.next_due)
        if due is None or due > self._clock():
            return 0
        return await self._repeat(ExpireDue())

    async def forget(self, days: int) -> int:
        """Forget all that is older than `days`; returns how many entries that were."""
        return await self._repeat(ForgetOld(days))

    async def _repeat(self, change: Change[int]) -> int:
        total = 0
        while count := await self._writer.write(change):
            total += count
            if count < AT_ONCE:
                break
        return total
