# SPDX-License-Identifier: Apache-2.0
"""The bytes of attachments as files in a folder beside the database.

`BlobBytes` is all that the service asks for; a database that several processes share can keep the same bytes as rows.
"""

import asyncio
import hashlib
import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol, TypeVar

from hub.store.blobs import BlobKey
from keys.folderowner import make_folder, open_made
from keys.privatefile import sync_folder
from protocol.disk import is_full, is_short, spares_reserve
from protocol.errors import NotFound, StoreFailed, StoreFull, Unavailable
from protocol.ids import ID_SIZE, KEY_ID_SIZE, BlobId, KeyId

T = TypeVar("T")

_NAME = re.compile(f"[0-9a-f]{{{2 * (KEY_ID_SIZE + ID_SIZE)}}}")
"""The name of a blob's file; whatever else lies in the folder is not ours (ATT-9)."""
_PIECE = 1 << 20
_FAILED = "The disk failed at an attachment. What was not answered with success must be sent again."


class BlobBytes(Protocol):
    """Where the bytes of blobs are kept. What `write` has returned for is durable."""

    async def write(self, key: BlobKey, offset: int, data: bytes) -> int | None:
        """Write `data` at `offset`, over what may be there; raises StoreFull, StoreFailed or Unavailable.

        Returns what `blobs.advance` must find unchanged, where others may write at the same time.
        """

    async def read(self, key: BlobKey, offset: int, length: int) -> bytes:
        """Return `length` bytes at `offset`; raises NotFound when they are gone."""

    async def digest(self, key: BlobKey, size: int) -> bytes:
        """Return the SHA-256 of the first `size` bytes; of fewer, if there are fewer."""

    async def delete(self, keys: Iterable[BlobKey]) -> None:
        """Delete the bytes of blobs; what is not there is no error."""

    async def keys(self) -> set[BlobKey]:
        """Return every blob of which there are bytes."""


class BlobFiles(BlobBytes):
    """One file for each blob, readable by the hub's user only."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, key: BlobKey) -> Path:
        """Return where the bytes of a blob are."""
        return self._folder / (key.sender_device + key.blob_id).hex()

    async def write(self, key: BlobKey, offset: int, data: bytes) -> None:
        """Write `data` at `offset` and sync it."""
        await self._do(self._write, key, offset, data)

    def _write(self, key: BlobKey, offset: int, data: bytes) -> None:
        path = self.path(key)
        if offset == 0:
            make_folder(self._folder, exist_ok=True)
        if not spares_reserve(self._folder, len(data)):
            raise StoreFull
        with os.fdopen(open_made(path, os.O_RDWR), "r+b", buffering=0) as file:
            file.seek(offset)
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
            os.fsync(file.fileno())
        if offset == 0:
            sync_folder(self._folder)

    async def read(self, key: BlobKey, offset: int, length: int) -> bytes:
        """Read `length` bytes at `offset`."""
        return await self._do(self._read, key, offset, length)

    def _read(self, key: BlobKey, offset: int, length: int) -> bytes:
        try:
            with self.path(key).open("rb") as file:
                file.seek(offset)
                return file.read(length)
        except FileNotFoundError:
            raise NotFound from None

    async def digest(self, key: BlobKey, size: int) -> bytes:
        """Read the file once, a piece at a time."""
        return await self._do(self._digest, key, size)

    def _digest(self, key: BlobKey, size: int) -> bytes:
        found = hashlib.sha256()
        try:
            with self.path(key).open("rb") as file:
                while size and (piece := file.read(min(size, _PIECE))):
                    found.update(piece)
                    size -= len(piece)
        except FileNotFoundError:
            return b""
        return found.digest()

    def settle(self, key: BlobKey) -> tuple[int, bytes]:
        """Make what was written durable, and return its size and its SHA-256: 0 and that of nothing for no file."""
        try:
            with self.path(key).open("rb") as file:
                os.fsync(file.fileno())
                return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").digest()
        except FileNotFoundError:
            return 0, hashlib.sha256().digest()

    def settle_folder(self) -> None:
        """Make the files' names durable."""
        if self._folder.is_dir():
            sync_folder(self._folder)

    async def delete(self, keys: Iterable[BlobKey]) -> None:
        """Unlink the files."""
        await self._do(self._delete, list(keys))

    def _delete(self, keys: Iterable[BlobKey]) -> None:
        for key in keys:
            self.path(key).unlink(missing_ok=True)

    async def keys(self) -> set[BlobKey]:
        """List the folder."""
        return await self._do(self._keys)

    def _keys(self) -> set[BlobKey]:
        if not self._folder.is_dir():
            return set()
        # A folder that is a disk of its own has a `lost+found`, and others leave files: none of that is ours to touch.
        ours = (path for path in self._folder.iterdir() if _NAME.fullmatch(path.name) and path.is_file())
        names = [bytes.fromhex(path.name) for path in ours]
        return {BlobKey(KeyId(name[:KEY_ID_SIZE]), BlobId(name[KEY_ID_SIZE:])) for name in names}

    async def _do(self, work: Callable[..., T], *arguments: Any) -> T:
        try:
            return await asyncio.to_thread(work, *arguments)
        except OSError as error:
            if is_full(error):
                raise StoreFull from error
            # A chunk whose sync failed counts for nothing: it is sent anew, and written anew to a file opened anew.
            raise (Unavailable if is_short(error) else StoreFailed(_FAILED)) from error
