# SPDX-License-Identifier: Apache-2.0
"""The bytes of attachments as rows of a database that several hub processes share, one row for each chunk (ATT-3)."""

import hashlib
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from hub.service.transaction import Change, Finish, Transaction
from hub.service.writer import Writer
from hub.store import blobs
from hub.store.blobfiles import BlobBytes
from hub.store.blobs import BlobKey
from hub.store.engine import Store
from protocol.errors import Conflict, NotFound
from protocol.ids import KeyId
from protocol.limits import BLOB_CHUNK, BLOB_UNCLAIMED

Place = Callable[[KeyId, int], AbstractContextManager[None]]
"""Surrounds what waits for the writer, by device and bytes, and raises to refuse it (HTTP-15)."""


class StoreChunk(Change[int]):
    """Store the chunk that an upload has come to."""

    def __init__(self, key: BlobKey, offset: int, data: bytes) -> None:
        self.weight = len(data)
        self._key = key
        self._offset = offset
        self._data = data

    def apply(self, transaction: Transaction) -> Finish[int]:
        """Store it, unless another process has been faster or the blob has gone; the answer is the blob's stamp."""
        known = blobs.find(transaction.connection, self._key)
        if known is None:
            raise NotFound
        if known.complete or known.received != self._offset:
            raise Conflict("The chunk was sent twice at once. Announce again to see where to go on.")
        blobs.put_chunk(transaction.connection, self._key, self._offset // BLOB_CHUNK, self._data)
        stamp = blobs.touch(transaction.connection, self._key, transaction.now + BLOB_UNCLAIMED)
        return lambda: stamp


class BlobRows(BlobBytes):
    """Rows that go with the row of their blob, in one transaction; nothing is ever left behind."""

    def __init__(self, store: Store, writer: Writer, place: Place) -> None:
        self._store = store
        self._writer = writer
        self._place = place

    async def write(self, key: BlobKey, offset: int, data: bytes) -> int:
        """Store the chunk at `offset`; return the blob's stamp: another process may store another one just then."""
        with self._place(key.sender_device, len(data)):
            return await self._writer.write(StoreChunk(key, offset, data))

    async def read(self, key: BlobKey, offset: int, length: int) -> bytes:
        """Read one chunk, or two if `offset` lies within one."""
        first, last = offset // BLOB_CHUNK, (offset + length - 1) // BLOB_CHUNK
        found = b""
        for place in range(first, last + 1):
            chunk = await self._chunk(key, place)
            if chunk is None:
                raise NotFound
            found += chunk
        start = offset - first * BLOB_CHUNK
        return found[start : start + length]

    async def digest(self, key: BlobKey, size: int) -> bytes:
        """Read chunk after chunk."""
        found = hashlib.sha256()
        for offset in range(0, size, BLOB_CHUNK):
            chunk = await self._chunk(key, offset // BLOB_CHUNK)
            if chunk is None:
                break
            found.update(chunk[: size - offset])
        return found.digest()

    async def delete(self, keys: Iterable[BlobKey]) -> None:
        """Do nothing: the database has deleted them with their blobs."""

    async def keys(self) -> set[BlobKey]:
        """Ask the database."""
        return await self._store.read(blobs.with_chunks)

    async def _chunk(self, key: BlobKey, place: int) -> bytes | None:
        return await self._store.read(lambda connection: blobs.chunk(connection, key, place))
