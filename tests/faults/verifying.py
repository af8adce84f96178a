# SPDX-License-Identifier: Apache-2.0
"""A second reader of receipts and trees, written from docs/protocol.md alone.

It shares no line with the packages under test, and takes its signatures from another library than theirs: an
error that they make on both sides shows here.
"""

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

_RECEIPT = b"tc/1 receipt\0"
_COMMITMENT = b"hub-audit/1"
_BREAK_OFF = "the receipt is cut short"


class Forged(Exception):
    """A receipt that proves nothing; says why."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What a verified receipt says: this envelope is this leaf of a tree with this root."""

    envelope_id: bytes
    index: int
    size: int
    root: bytes
    leaf: bytes = field(repr=False)


def proof_of(receipt: bytes, origin: str, audit_key: bytes) -> Proof:
    """Return what `receipt` proves, or raise `Forged`."""
    body_bytes, signature = _items(_whole(receipt), 2)
    try:
        Ed25519PublicKey.from_public_bytes(audit_key).verify(_bytes(signature), _RECEIPT + _bytes(body_bytes))
    except InvalidSignature:
        raise Forged("the signature is wrong") from None
    body = _whole(_bytes(body_bytes))
    if not isinstance(body, dict) or body[1] != origin:
        raise Forged("it is of another log")
    leaf, detail = _whole(_bytes(body[5])), _whole(_bytes(body[7]))
    if not isinstance(leaf, dict) or not isinstance(detail, dict):
        raise Forged("leaf and detail are not maps")
    if leaf[2] != hashlib.sha256(_COMMITMENT + _bytes(body[6]) + _bytes(body[7])).digest():
        raise Forged("the leaf does not commit to the detail")
    index, size = body[2], body[3]
    if not (isinstance(index, int) and isinstance(size, int) and 0 <= index < size):
        raise Forged("its index is not in its tree")
    return Proof(_bytes(detail[1]), index, size, _bytes(body[4]), _bytes(body[5]))


def roots_of(leaves: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the root of the empty tree, then that of the first leaf, of the first two and so on (RFC 9162)."""
    peaks: list[tuple[int, bytes]] = []
    yield hashlib.sha256(b"").digest()
    for leaf in leaves:
        height, node = 0, hashlib.sha256(b"\0" + leaf).digest()
        while peaks and peaks[-1][0] == height:
            node = _join(peaks.pop()[1], node)
            height += 1
        peaks.append((height, node))
        root = peaks[-1][1]
        for _, peak in reversed(peaks[:-1]):
            root = _join(peak, root)
        yield root


def _join(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def _whole(data: bytes) -> object:
    value, end = _read(data, 0)
    if end != len(data):
        raise Forged("bytes follow the end")
    return value


def _read(data: bytes, at: int) -> tuple[object, int]:
    """Read the CBOR value (RFC 8949) at `at`: what receipts are made of, and no more."""
    if at >= len(data):
        raise Forged(_BREAK_OFF)
    major, number = data[at] >> 5, data[at] & 31
    at += 1
    if number >= 24:
        width = {24: 1, 25: 2, 26: 4, 27: 8}.get(number, 0)
        if not width or at + width > len(data):
            raise Forged(_BREAK_OFF)
        number = int.from_bytes(data[at : at + width])
        at += width
    if major == 0:
        return number, at
    if major in (2, 3):
        text = data[at : at + number]
        if len(text) != number:
            raise Forged(_BREAK_OFF)
        return (text if major == 2 else text.decode()), at + number
    if major not in (4, 5):
        raise Forged("receipts hold nothing of this kind")
    values = []
    for _ in range(number * (major - 3)):
        value, at = _read(data, at)
        values.append(value)
    return (values if major == 4 else dict(zip(values[::2], values[1::2], strict=True))), at


def _items(value: object, count: int) -> list[object]:
    if not isinstance(value, list) or len(value) != count:
        raise Forged("it does not have its parts")
    return value


def _bytes(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise Forged("bytes are expected")
    return value
