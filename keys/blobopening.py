# SPDX-License-Identifier: Apache-2.0
"""Opening an attachment's stream, in constant memory. Only connectors may import this module.

The cipher gives out plaintext before the last check. Whoever opens keeps all of it in a file or buffer of its own,
and lets go of it only when `finish` has returned (ATT-2).
"""

import hashlib
import hmac

from cryptography.cobblestone import Cobblestone256Decryptor
from cryptography.exceptions import InvalidTag

from keys.secret import Secret
from protocol.blobs import blob_context, blob_size
from protocol.errors import CannotOpen
from protocol.padding import MARK
from protocol.sections import Attachment


class BlobOpener(Secret):
    """Turns the ciphertext of one attachment back into its plaintext; every failure is the same `CannotOpen`."""

    __slots__ = ("_decryptor", "_entry", "_hash", "_plain", "_size")

    def __init__(self, entry: Attachment, index: int) -> None:
        """`entry` stands at `index`, from 0, in the manifest of a verified section."""
        if entry.ciphertext_size != blob_size(entry.plaintext_size):
            raise CannotOpen
        self._entry = entry
        self._decryptor = Cobblestone256Decryptor(entry.key, blob_context(entry.blob_id, index))
        self._hash = hashlib.sha256()
        self._size = 0
        self._plain = 0

    def update(self, ciphertext: bytes) -> bytes:
        """Return the plaintext that this piece completes, without padding; not to be believed before `finish`."""
        self._size += len(ciphertext)
        if self._size > self._entry.ciphertext_size:
            raise CannotOpen
        self._hash.update(ciphertext)
        try:
            return self._unpadded(self._decryptor.update(ciphertext))
        except (InvalidTag, ValueError):
            raise CannotOpen from None

    def finish(self) -> bytes:
        """Return the last plaintext once size, hash, commitment, every tag and the padding have been found right."""
        try:
            rest = self._unpadded(self._decryptor.finalize())
        except (InvalidTag, ValueError):
            raise CannotOpen from None
        if self._size != self._entry.ciphertext_size:
            raise CannotOpen
        if not hmac.compare_digest(self._hash.digest(), self._entry.ciphertext_hash):
            raise CannotOpen
        return rest

    def _unpadded(self, padded: bytes) -> bytes:
        """Cut off what lies behind the plaintext's end, and check it: one 0x80, then zeros (PAD-2).

        That the bucket is the right one follows from the sizes, which are checked first and last.
        """
        end = self._entry.plaintext_size
        start, self._plain = self._plain, self._plain + len(padded)
        if self._plain <= end:
            return padded
        kept = max(0, end - start)
        padding = padded[kept:]
        first = MARK if start <= end else b""
        if not padding.startswith(first) or padding.count(0, len(first)) != len(padding) - len(first):
            raise CannotOpen
        return padded[:kept]
