# SPDX-License-Identifier: Apache-2.0
"""Padding to buckets, so that a size tells little (PAD-1, PAD-2), and the sizes of ciphertexts that follow from it."""

from collections.abc import Iterator
from functools import lru_cache

from protocol.errors import CannotOpen

BUCKETS = (8 << 10, 16 << 10, 32 << 10, 64 << 10)
MARK = b"\x80"

_PIECE = 1 << 20
_CHUNK = 16_384
_TAG = 16
_FIXED = 56
"""Cobblestone-256: 56 bytes of salt and commitment, then a tag for each 16 KiB chunk, the last one short."""


def padded_size(size: int) -> int:
    """Return the bucket, in bytes, for a plaintext of `size` bytes and its mark (PAD-1)."""
    length = size + 1
    for bucket in BUCKETS:
        if length <= bucket:
            return bucket
    return _padme(length)


def _padme(length: int) -> int:
    """Padmé (Nikitin and others, PETS 2019): keep the leading bits, at most 12 % growth."""
    exponent = length.bit_length() - 1
    kept = exponent.bit_length()
    mask = (1 << (exponent - kept)) - 1
    return (length + mask) & ~mask


def is_bucket(size: int) -> bool:
    """Tell whether padded plaintext can be `size` bytes long (PAD-1)."""
    return size in BUCKETS or (size > BUCKETS[-1] and _padme(size) == size)


def pad(plaintext: bytes) -> bytes:
    """Return `plaintext`, 0x80 and zeros, filling the smallest bucket (PAD-1)."""
    return (plaintext + MARK).ljust(padded_size(len(plaintext)), b"\0")


def padding_of(size: int) -> Iterator[bytes]:
    """Yield what `pad` puts behind `size` bytes of plaintext, in pieces of at most 1 MiB (PAD-1)."""
    left = padded_size(size) - size
    piece = MARK.ljust(min(left, _PIECE), b"\0")
    while left:
        yield piece
        left -= len(piece)
        piece = bytes(min(left, _PIECE))


def unpad(padded: bytes) -> bytes:
    """Return what was padded; `CannotOpen` for anything that `pad` would not have made (PAD-2)."""
    plaintext, mark, _ = padded.rstrip(b"\0").rpartition(MARK)
    if not mark or pad(plaintext) != padded:
        raise CannotOpen
    return plaintext


def ciphertext_size(size: int) -> int:
    """Return the bytes of a Cobblestone-256 ciphertext of `size` bytes of (padded) plaintext."""
    return size + _FIXED + _TAG * (size // _CHUNK + 1)


@lru_cache(maxsize=1_024)  # most sections have one of few lengths
def is_section_length(length: int) -> bool:
    """Tell whether a section's ciphertext can be `length` bytes long (ENV-4)."""
    chunks, rest = divmod(length - _FIXED - _TAG, _CHUNK + _TAG)
    return chunks >= 0 and rest < _CHUNK and is_bucket(chunks * _CHUNK + rest)
