# SPDX-License-Identifier: Apache-2.0
"""Attachments as bytes: what their ciphertext is bound to, how long it is, and how it is cut for the way (ATT)."""

from protocol import labels
from protocol.ids import ID_SIZE
from protocol.limits import BLOB_CHUNK, MAX_BLOB, MAX_BLOBS
from protocol.padding import ciphertext_size, padded_size

MAX_CIPHERTEXT = ciphertext_size(padded_size(MAX_BLOB))
"""Bytes of the largest attachment's ciphertext."""
MIN_CIPHERTEXT = ciphertext_size(padded_size(0))
"""Bytes of the smallest one's."""


def blob_context(blob_id: bytes, index: int) -> bytes:
    """Return the context of an attachment's stream: its id, and its place in its section's manifest from 0 (ATT-2)."""
    if len(blob_id) != ID_SIZE or not 0 <= index < MAX_BLOBS:
        raise ValueError("an attachment has an id of 16 bytes and one of 64 places")
    return labels.BLOB + blob_id + index.to_bytes(2, "big")


def blob_size(plaintext: int) -> int:
    """Return the bytes of the ciphertext of an attachment of `plaintext` bytes."""
    return ciphertext_size(padded_size(plaintext))


def chunk_size(offset: int, size: int) -> int:
    """Return the bytes of the chunk at `offset` of a ciphertext of `size` bytes, 0 at or past its end (ATT-3)."""
    return max(0, min(BLOB_CHUNK, size - offset))
