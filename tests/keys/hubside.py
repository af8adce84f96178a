# SPDX-License-Identifier: Apache-2.0
"""What a hub does with an envelope, reduced to its signatures: receipts and slices, honest or not; and a reader."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from keys.opening import VerifiedMessage, open_slice
from keys.signing import Ed25519Signer, sign_receipt
from protocol.envelope import UnverifiedEnvelope, parse_envelope
from protocol.errors import CannotOpen
from protocol.receipts import Detail, Leaf, ReceiptBody, ReceiptKind, commitment
from protocol.slices import UnverifiedSlice, encode_slice, parse_slice, slice_of
from protocol.tree import leaf_hash
from tests.keys.world import AUDIT_KEY, AUDIT_ORIGIN, NOW, Cast, Member, World, seed


def receipt_for(
    envelope: UnverifiedEnvelope | UnverifiedSlice,
    world: World,
    *,
    at: int = NOW + 1_000,
    kind: ReceiptKind = ReceiptKind.ACCEPTED,
    directory: tuple[int, bytes] | None = None,
    origin: str = AUDIT_ORIGIN,
    key: Ed25519Signer = AUDIT_KEY,
) -> bytes:
    """Return the acceptance receipt of `envelope` as the only leaf of an audit log."""
    size, root = directory or (world.directory.size, world.directory.root)
    detail = Detail(
        kind=kind,
        envelope_id=envelope.common.envelope_id,
        digest=envelope.digest,
        sender_desk=envelope.common.sender_desk,
        directory_size=size,
        directory_root=root,
    ).encode()
    salt = seed("receipt salt")
    leaf = Leaf(at, commitment(salt, detail), seed("entry")[:16]).encode()
    body = ReceiptBody(kind, origin, 0, 1, leaf_hash(leaf), leaf, salt, detail)
    return sign_receipt(body.encode(), key)


def deliver(envelope: bytes, position: int, world: World, *, at: int = NOW + 1_000) -> bytes:
    """Return the slice that an honest hub sends to row `position`."""
    parsed = parse_envelope(envelope)
    return slice_of(parsed, position, receipt_for(parsed, world, at=at))


def encode_parts(unverified: UnverifiedSlice) -> bytes:
    """Return the bytes of a slice from its parts, whatever they are."""
    return encode_slice(
        common=unverified.common_bytes,
        position=unverified.position,
        row_hashes=unverified.row_hashes,
        row=unverified.row_bytes,
        wraps_hash=unverified.wraps_hash,
        wrap=unverified.wrap,
        section_hashes=unverified.section_hashes,
        sections=unverified.sections,
        sender_sig=unverified.sender_sig,
        receipt=unverified.receipt,
    )


def tamper(raw_slice: bytes, world: World, **changes: object) -> bytes:
    """Return a slice with parts exchanged, by a hub that signs a receipt for the result."""
    changed = parse_slice(encode_parts(replace(parse_slice(raw_slice), **changes)))  # type: ignore[arg-type]
    return encode_parts(replace(changed, receipt=receipt_for(changed, world)))


def open_as(
    one: Member, world: World, raw_slice: bytes, *, seen: Callable[[bytes], bool] = lambda _: False
) -> VerifiedMessage:
    """Open `raw_slice` at the connector of `one`."""
    return open_slice(
        raw_slice,
        own_device=one.device.key_id,
        prekey=one.prekeys.get,
        directory=world.directory,
        audit_origin=AUDIT_ORIGIN,
        audit_key=AUDIT_KEY.public,
        seen=seen,
    )


def cannot_open(cast: Cast, one: Member, raw_slice: bytes) -> None:
    """Assert that opening says exactly what every failure to open says (attack 26)."""
    with pytest.raises(CannotOpen) as caught:
        open_as(one, cast.world, raw_slice)
    assert type(caught.value) is CannotOpen
    assert str(caught.value) == str(CannotOpen()) == "The envelope cannot be opened."
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
