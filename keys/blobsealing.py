# SPDX-License-Identifier: Apache-2.0
"""Sealing an attachment as a stream, in constant memory: each under a key of its own (ATT-2)."""

import hashlib
import secrets
from collections.abc import Iterator

from cryptography.cobblestone import Cobblestone256Encryptor

from keys.secret import Secret
from protocol import limits
from protocol.blobs import blob_context
from protocol.errors import TooLarge
from protocol.ids import BlobId
from protocol.padding import padding_of
from protocol.sections import Attachment

_KEY_SIZE = 32


class BlobSealer(Secret):
    """Turns plaintext, piece by piece, into the ciphertext of one attachment; then `entry` is its manifest entry."""

    __slots__ = ("_blob_id", "_encryptor", "_hash", "_key", "_plain", "_size")

    def __init__(self, blob_id: BlobId, index: int) -> None:
        """Draw a fresh key; `index` is the attachment's place in its section's manifest, from 0."""
        self._blob_id = blob_id
        self._key = secrets.token_bytes(_KEY_SIZE)
        self._encryptor = Cobblestone256Encryptor(self._key, blob_context(blob_id, index))
        self._hash = hashlib.sha256()
        self._plain = 0
        self._size = 0

    def update(self, plaintext: bytes) -> bytes:
        """Return the ciphertext that is ready; `TooLarge` beyond 1 GiB of plaintext."""
        self._plain += len(plaintext)
        if self._plain > limits.MAX_BLOB:
            raise TooLarge("An attachment has at most 1 GiB.")
        return self._out(self._encryptor.update(plaintext))

    def finish(self) -> Iterator[bytes]:
        """Yield the rest of the ciphertext, padded to its bucket (PAD-1); to be consumed whole, once."""
        for piece in padding_of(self._plain):
            yield self._out(self._encryptor.update(piece))
        yield self._out(self._encryptor.finalize())

    def _out(self, ciphertext: bytes) -> bytes:
        self._hash.update(ciphertext)
        self._size += len(ciphertext)
        return ciphertext

    def entry(self, media_type: str, name: str) -> Attachment:
        """Return the manifest entry, which holds the key (ATT-1); only after `finish`."""
        return Attachment(
            blob_id=self._blob_id,
            key=self._key,
            ciphertext_size=self._size,
            ciphertext_hash=self._hash.digest(),
            plaintext_size=self._plain,
            media_type=media_type,
            name=name,
        )
