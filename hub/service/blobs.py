# SPDX-License-Identifier: Apache-2.0
"""Attachments: taken chunk by chunk, checked by length and hash alone, given to whom a row names (ATT-3 to ATT-6).

Bytes are written and synced before the database is told of them, and deleted after it has forgotten them: whatever a
crash leaves behind is a file too much, which the next start removes, and never one too few.
"""

import asyncio
import hmac
from dataclasses import dataclass
from typing import TypeVar
from weakref import WeakValueDictionary

from hub.service.blobrows import Place
from hub.service.directory import DirectoryLog
from hub.service.holdings import Holding, Holdings, Share
from hub.service.reads import Reads
from hub.service.transaction import Change, Finish, Transaction
from hub.service.writer import Writer
from hub.store import blobs
from hub.store.blobfiles import BlobBytes
from hub.store.blobs import BlobKey, StoredBlob
from hub.store.engine import Store
from protocol.blobs import chunk_size
from protocol.clockwatch import Clock
from protocol.errors import Conflict, InvalidInput, NotFound
from protocol.ids import BlobId, EnvelopeId, KeyId
from protocol.limits import BLOB_UNCLAIMED

T = TypeVar("T")

AT_ONCE = 100
"""Blobs deleted by one change."""
BYTES_AT_ONCE = 256 << 20
"""Bytes of them: where they are rows of the database, deleting them takes as long as they are large."""
CLAIMS_AT_ONCE = 500
"""Rows deleted by one change that say who may read a blob; others get their turn between."""

HASHED = 2
"""Attachments of one agency that are hashed at the same time; its mail is read meanwhile."""


class Announce(Change[StoredBlob]):
    """Make room for a blob, or say how far it has come (ATT-3)."""

    def __init__(self, key: BlobKey, agency: str, size: int, sha256: bytes) -> None:
        self._key = key
        self._agency = agency
        self._new = StoredBlob(size, sha256, 0, complete=False)

    def apply(self, transaction: Transaction) -> Finish[StoredBlob]:
        """Add the blob, unless somebody was faster."""
        connection, new = transaction.connection, self._new
        known = blobs.find(connection, self._key)
        if known is None:
            blobs.add(connection, self._key, self._agency, new.size, new.sha256, transaction.now + BLOB_UNCLAIMED)
        return lambda: known or new


class Advance(Change[None]):
    """Note that the first `received` bytes of a blob are durable, and whether that is all and right."""

    def __init__(self, key: BlobKey, received: int, *, complete: bool = False, stamp: int | None = None) -> None:
        """`stamp` is that of the chunk: whatever was stored since is not what was hashed (ATT-3)."""
        self._stamp = stamp
        self._key = key
        self._received = received
        self._complete = complete

    def apply(self, transaction: Transaction) -> Finish[None]:
        """Update the row; raises NotFound when the blob has gone, and Conflict when another process wrote to it."""
        connection, expires = transaction.connection, transaction.now + BLOB_UNCLAIMED
        if not blobs.advance(
            connection, self._key, self._received, expires, complete=self._complete, stamp=self._stamp
        ):
            if self._stamp is None or blobs.find(connection, self._key) is None:
                raise NotFound
            raise Conflict("The chunk was sent twice at once. Announce again to see where to go on.")
        return lambda: None


class Collect(Change[BlobKey | None]):
    """Take a recipient off a blob; the answer is the blob if nobody wants it any more (ATT-5)."""

    def __init__(self, device_id: KeyId, envelope_id: EnvelopeId, blob_id: BlobId) -> None:
        self._which = device_id, envelope_id, blob_id

    def apply(self, transaction: Transaction) -> Finish[BlobKey | None]:
        """Delete the claim, and the row with the last."""
        gone = blobs.collect(transaction.connection, *self._which)
        return lambda: gone


@dataclass(frozen=True, slots=True)
class Dropped:
    """What was deleted for its time: how many rows that say who may read a blob, and which blobs."""

    claims: int
    blobs: list[BlobKey]


class DropExpired(Change[Dropped]):
    """Delete what is past its time, a portion at once: who may read a blob, and then blobs that nobody may (ATT-6)."""

    def apply(self, transaction: Transaction) -> Finish[Dropped]:
        """Delete them; nothing in the answer means that nothing is left."""
        connection, now = transaction.connection, transaction.now
        claims = blobs.drop_claims(connection, now, CLAIMS_AT_ONCE)
        # Not before the last of them has gone: whether a blob has none is asked of each.
        gone = blobs.expired(connection, now, AT_ONCE, BYTES_AT_ONCE) if claims < CLAIMS_AT_ONCE else []
        return lambda: Dropped(claims, gone)


class Blobs:
    """All attachments at this hub; each method takes the device that asks and shows it nothing else."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        log: DirectoryLog,
        files: BlobBytes,
        holdings: Holdings,
        place: Place,
        reads: Reads,
        clock: Clock,
    ) -> None:
        """`holdings` bounds what one agency may have waiting, `place` what of it may wait for the writer."""
        self._reads = reads
        self._store = store
        self._writer = writer
        self._log = log
        self._files = files
        self._holdings = holdings
        self._place = place
        self._clock = clock
        self._locks: WeakValueDictionary[BlobKey, asyncio.Lock] = WeakValueDictionary()
        self._hashing: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def announce(self, device_id: KeyId, blob_id: BlobId, size: int, sha256: bytes) -> StoredBlob:
        """Return how far the blob has come, after making room for a new one.

        Raises Conflict for another size or hash under the same id, QuotaReached, and Unavailable.
        """
        entry = self._log.directory.device(device_id)
        if entry is None:
            raise NotFound
        key = BlobKey(device_id, blob_id)
        known = await self._store.read(lambda connection: blobs.find(connection, key))
        if known is None:
            known = await self._make_room(key, entry.agency, size, sha256)
        if (known.size, known.sha256) != (size, sha256):
            raise Conflict("This attachment was announced with another size or hash; use a fresh id.")
        return known

    async def _make_room(self, key: BlobKey, agency: str, size: int, sha256: bytes) -> StoredBlob:
        change, share = Announce(key, agency, size, sha256), Share(self._holdings, agency, Holding(1, size))
        stored = False
        try:
            with self._place(key.sender_device, change.weight):
                await share.take()
                known = await self._writer.write(change)
            stored = True
        finally:
            share.settle(stored=stored)
        return known

    async def upload(self, device_id: KeyId, blob_id: BlobId, offset: int, data: bytes) -> StoredBlob:
        """Take the chunk at `offset` and return how far the blob has come, durably.

        Raises NotFound for a blob that was not announced, Conflict for a gap, InvalidInput for a chunk of the wrong
        length and for a whole that does not have the announced hash; then the upload begins anew.
        """
        key = BlobKey(device_id, blob_id)
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = await self._store.read(lambda connection: blobs.find(connection, key))
            if known is None:
                raise NotFound
            expected = chunk_size(offset, known.size)
            if not data or len(data) != expected:
                raise InvalidInput("A chunk has 1 MiB, the last one what remains.")
            received = offset + len(data)
            if known.complete or received <= known.received:
                return known
            if offset != known.received:
                raise Conflict("The chunks before this one are missing. Announce again to see where to go on.")
            stamp = await self._files.write(key, offset, data)
            complete = received == known.size
            if complete and not hmac.compare_digest(await self._digest(key, received), known.sha256):
                await self._write(key.sender_device, Advance(key, 0, stamp=stamp))
                raise InvalidInput("The attachment does not have the announced hash. Upload it anew.")
            await self._write(key.sender_device, Advance(key, received, complete=complete, stamp=stamp))
            return StoredBlob(known.size, known.sha256, received, complete)

    async def _digest(self, key: BlobKey, size: int) -> bytes:
        """Return the hash of a blob, that of a large one takes seconds: a few of an agency at a time (HTTP-21)."""
        agency = self._log.agency_of(key.sender_device)
        async with self._hashing.setdefault(agency, asyncio.Semaphore(HASHED)):
            return await self._files.digest(key, size)

    async def read(self, device_id: KeyId, envelope_id: EnvelopeId, blob_id: BlobId, offset: int) -> bytes:
        """Return the chunk at `offset` of a blob that a row addressed to `device_id` names.

        Raises NotFound alike for everything else, and for an offset past the end (ATT-5).
        """
        now = self._clock()
        async with self._reads.turn(device_id):
            found = await self._store.read(
                lambda connection: blobs.readable(connection, device_id, envelope_id, blob_id, now)
            )
            if found is None or offset >= found[1]:
                raise NotFound
            key, size = found
            chunk = await self._files.read(key, offset, chunk_size(offset, size))
        self._reads.charge(device_id, len(chunk))
        return chunk

    async def collect(self, device_id: KeyId, envelope_id: EnvelopeId, blob_id: BlobId) -> None:
        """Note that `device_id` has stored a blob; what is not its own is passed over without a word (HTTP-4)."""
        gone = await self._write(device_id, Collect(device_id, envelope_id, blob_id))
        if gone is not None:
            await self._delete(gone)

    async def expire(self) -> int:
        """Delete all blobs past their time; returns how many."""
        total = 0
        while True:
            dropped = await self._writer.write(DropExpired())
            if not (dropped.claims or dropped.blobs):
                return total
            for key in dropped.blobs:
                await self._delete(key)
            total += len(dropped.blobs)

    async def _write(self, device_id: KeyId, change: Change[T]) -> T:
        """Have a change of `device_id` committed, counted as waiting for the writer meanwhile (HTTP-15)."""
        with self._place(device_id, change.weight):
            return await self._writer.write(change)

    async def _delete(self, key: BlobKey) -> None:
        """Delete a blob's bytes, unless it was announced anew since its row went."""
        async with self._locks.setdefault(key, asyncio.Lock()):
            if await self._store.read(lambda connection: blobs.find(connection, key)) is None:
                await self._files.delete([key])

    async def sweep(self) -> None:
        """Delete bytes that a crash left without a row; called before anything is served."""
        found = await self._files.keys()
        await self._files.delete(found - await self._store.read(blobs.stored))
