# SPDX-License-Identifier: Apache-2.0
"""Everything that is checked without a secret: points, signatures, receipts and heads.

Keys are checked when they enter the directory (`check_*`); signatures are checked with keys that passed.
libsodium refuses what RFC 8032 leaves open: a non-canonical S, a key or R of low order, a second spelling
of a point (ID-4). All failures of a signature say `BadSignature` and nothing more.
"""

from collections.abc import Sequence
from functools import lru_cache

import nacl.bindings
import nacl.exceptions
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PublicKey

from keys.xwing import check_xwing_public
from protocol import labels, limits
from protocol.envelope import UnverifiedEnvelope
from protocol.errors import BadSignature, DirectoryInconsistent, DirectoryStale, SenderMismatch, UntrustedKey
from protocol.generations import generation_at, generation_in
from protocol.identities import DeviceKey, IdentityKey, device_proof_message
from protocol.receipts import Head, ReceiptBody, parse_head, parse_receipt

__all__ = [
    "check_device",
    "check_ed25519_public",
    "check_identity",
    "check_xwing_public",
    "head_generation",
    "verify_device_proof",
    "verify_digest",
    "verify_ed25519",
    "verify_head",
    "verify_hybrid",
    "verify_receipt",
    "verify_sender",
]


def check_ed25519_public(public: bytes) -> None:
    """Raise `UntrustedKey` unless `public` is a canonical point of the prime-order subgroup (ID-4)."""
    if len(public) != limits.ED25519_PUBLIC or not nacl.bindings.crypto_core_ed25519_is_valid_point(public):
        raise UntrustedKey


def check_identity(identity: IdentityKey) -> None:
    """Raise `UntrustedKey` unless both public keys of `identity` are usable (ID-4)."""
    check_ed25519_public(identity.ed25519)
    _mldsa65(identity.mldsa65)


def check_device(device: DeviceKey) -> None:
    """Raise `UntrustedKey` unless all public keys of `device` are usable and no two are the same (ID-4)."""
    check_ed25519_public(device.ed25519)
    check_ed25519_public(device.transport)
    _mldsa65(device.mldsa65)
    if device.ed25519 == device.transport:
        raise UntrustedKey("A device needs a transport key of its own.")


@lru_cache(maxsize=2_048)
def _mldsa65(public: bytes) -> MLDSA65PublicKey:
    try:
        return MLDSA65PublicKey.from_public_bytes(public)
    except ValueError as error:
        raise UntrustedKey from error


def verify_ed25519(public: bytes, label: bytes, data: bytes, signature: bytes) -> None:
    """Raise `BadSignature` unless `signature` (64 bytes) is of `public` over `label || data`."""
    if len(signature) != limits.ED25519_SIGNATURE or len(public) != limits.ED25519_PUBLIC:
        raise BadSignature
    try:
        nacl.bindings.crypto_sign_open(signature + label + data, public)
    except nacl.exceptions.BadSignatureError as error:
        raise BadSignature from error


def verify_hybrid(identity: IdentityKey | DeviceKey, label: bytes, data: bytes, ed25519: bytes, mldsa65: bytes) -> None:
    """Raise `BadSignature` unless both signatures are of `identity` over `label || data` (DIR-1, ENV-11)."""
    verify_ed25519(identity.ed25519, label, data, ed25519)
    if len(mldsa65) != limits.MLDSA65_SIGNATURE:
        raise BadSignature
    try:
        _mldsa65(identity.mldsa65).verify(mldsa65, label + data)
    except (InvalidSignature, UntrustedKey) as error:
        raise BadSignature from error


def verify_digest(device: DeviceKey, digest: bytes, signature: bytes) -> None:
    """Raise `BadSignature` unless `signature` is the device's over an envelope's digest (ENV-8)."""
    verify_ed25519(device.ed25519, b"", digest, signature)


def verify_sender(envelope: UnverifiedEnvelope, device: DeviceKey) -> None:
    """Check the sending device's signature over the whole envelope, as a hub can without opening it (ENV-8).

    Raises `SenderMismatch` if `device` is not the one that the envelope names, `BadSignature` if the signature
    does not verify. Whether the device is in force and serves the sender desk is the directory's to say.
    """
    if device.key_id != envelope.common.device_id:
        raise SenderMismatch
    verify_digest(device, envelope.digest, envelope.sender_sig)


def verify_device_proof(agency: str, device: DeviceKey, proof: tuple[bytes, bytes]) -> None:
    """Raise `BadSignature` unless the device proved that it holds its keys for `agency` (DIR-5)."""
    verify_hybrid(device, labels.DEVICE_PROOF, device_proof_message(agency, device), *proof)


def verify_receipt(raw: bytes, origin: str, key: bytes, starts: Sequence[int] = ()) -> ReceiptBody:
    """Return what a receipt of the audit log `origin` with Ed25519 `key` says (AUD-5, AUD-6).

    `starts` are the leaves kept by each generation after the first, as the replayed directory names them (GEN-4).
    Raises `MalformedEnvelope` for its form, `BadSignature` if it is another log's, not signed by `key`, or of leaves
    that the hub has lost, and `DirectoryStale` for a generation that the directory here does not know.
    """
    receipt = parse_receipt(raw)
    verify_ed25519(key, labels.RECEIPT, receipt.body_bytes, receipt.signature)
    body = receipt.body
    generation = generation_in(origin, body.origin)
    if generation is None:
        raise BadSignature
    if generation > len(starts):
        raise DirectoryStale("The receipt is of a generation of the log that the directory here does not know.")
    if generation != generation_at(starts, body.index):
        raise BadSignature("The receipt is of leaves that the hub had lost when it was restored.")
    return body


def verify_head(raw: bytes, origin: str, key: bytes) -> Head:
    """Return the head of the log `origin` with Ed25519 `key`, of this very generation (DIR-10, GEN-1).

    Raises `MalformedEnvelope` for its form and `DirectoryInconsistent` for a wrong origin, key or signature.
    """
    unverified = parse_head(raw)
    try:
        verify_ed25519(key, labels.HEAD, unverified.body_bytes, unverified.signature)
    except BadSignature as error:
        raise DirectoryInconsistent("The head is not signed by this hub's directory log.") from error
    if unverified.head.origin != origin:
        raise DirectoryInconsistent("The head is of another log.")
    return unverified.head


def head_generation(raw: bytes, origin: str) -> int:
    """Return the generation of the log `origin` that a head says it is of; `DirectoryInconsistent` for another log.

    Nothing is verified yet.
    """
    generation = generation_in(origin, parse_head(raw).head.origin)
    if generation is None:
        raise DirectoryInconsistent("The head is of another log.")
    return generation
