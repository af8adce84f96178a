# SPDX-License-Identifier: Apache-2.0
"""What a hub can do to a slice that it carries: with its own signing keys, and nobody's secrets besides."""

from collections.abc import Callable
from dataclasses import replace

from keys.signing import sign_receipt
from protocol.receipts import Detail, Leaf, ReceiptBody, commitment, parse_receipt
from protocol.rows import Row, RowSection, sha256
from protocol.slices import encode_slice, parse_slice
from tests.hub.running import KEYS


def rebuilt(data: bytes, **changes: object) -> bytes:
    """Return a slice with some of its parts exchanged."""
    old = parse_slice(data)
    parts: dict[str, object] = {
        "common": old.common_bytes,
        "position": old.position,
        "row_hashes": old.row_hashes,
        "row": old.row_bytes,
        "wraps_hash": old.wraps_hash,
        "wrap": old.wrap,
        "section_hashes": old.section_hashes,
        "sections": old.sections,
        "sender_sig": old.sender_sig,
        "receipt": old.receipt,
    }
    return encode_slice(**{**parts, **changes})  # type: ignore[arg-type]


def with_receipt(data: bytes) -> bytes:
    """Return the slice with a receipt that the hub signed for it as it is now."""
    unverified = parse_slice(data)
    old = parse_receipt(unverified.receipt).body
    detail = replace(old.detail, digest=unverified.digest, envelope_id=unverified.common.envelope_id)
    return rebuilt(data, receipt=receipt_for(detail, old))


def receipt_for(detail: Detail, like: ReceiptBody, *, at: int | None = None) -> bytes:
    """Return a receipt of the hub's own key for `detail`."""
    leaf = Leaf(like.leaf.at if at is None else at, commitment(like.salt, detail.encode()), like.leaf.entry_id)
    body = replace(like, kind=detail.kind, leaf_bytes=leaf.encode(), detail_bytes=detail.encode())
    return sign_receipt(body.encode(), KEYS.audit)


def flipped(data: bytes, position: int = -1) -> bytes:
    """Return `data` with one bit flipped."""
    broken = bytearray(data)
    broken[position] ^= 1
    return bytes(broken)


def extra_recipient(data: bytes) -> bytes:
    """Insert a row for a stranger into the header."""
    old = parse_slice(data)
    stranger = replace(Row.parse(old.row_bytes), device_id=type(old.row.device_id)(bytes(32))).encode()
    return rebuilt(data, row_hashes=(*old.row_hashes, sha256(stranger)))


def another_section_zero(data: bytes) -> bytes:
    """Cut the own sections to the machine state alone."""
    old = parse_slice(data)
    row = replace(Row.parse(old.row_bytes), sections=(RowSection(0),)).encode()
    return rebuilt(
        data,
        row=row,
        row_hashes=tuple(sha256(row) if hash_ == sha256(old.row_bytes) else hash_ for hash_ in old.row_hashes),
        sections={0: old.sections[0]},
        wrap=old.wrap[: -32 * (len(old.sections) - 1)],
    )


def fresh_header(data: bytes) -> bytes:
    """Put the same inner part under a fresh envelope id."""
    old = parse_slice(data)
    common = replace(old.common, envelope_id=type(old.common.envelope_id)(bytes(16)))
    return rebuilt(data, common=common.encode())


def section(data: bytes, number: int) -> bytes:
    return parse_slice(data).sections[number]


TAMPERINGS: dict[str, Callable[[bytes], bytes]] = {
    "wrap flipped": lambda data: rebuilt(data, wrap=flipped(parse_slice(data).wrap)),
    "kem flipped": lambda data: rebuilt(data, wrap=flipped(parse_slice(data).wrap, 5)),
    "section flipped": lambda data: rebuilt(
        data, sections={**parse_slice(data).sections, 1: flipped(section(data, 1))}
    ),
    "machine state flipped": lambda data: rebuilt(
        data, sections={**parse_slice(data).sections, 0: flipped(section(data, 0))}
    ),
    "sections exchanged": lambda data: rebuilt(
        data, sections={**parse_slice(data).sections, 1: section(data, 2), 2: section(data, 1)}
    ),
    "extra recipient (attack 49)": extra_recipient,
    "fresh header (attack 38)": fresh_header,
    "fewer sections": another_section_zero,
    "sender's signature flipped": lambda data: rebuilt(data, sender_sig=flipped(parse_slice(data).sender_sig)),
    "hash of another's row flipped": lambda data: rebuilt(
        data,
        row_hashes=tuple(
            hash_ if index == parse_slice(data).position else flipped(hash_)
            for index, hash_ in enumerate(parse_slice(data).row_hashes)
        ),
    ),
}
