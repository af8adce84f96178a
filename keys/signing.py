# SPDX-License-Identifier: Apache-2.0
"""Everything that is signed: a label, then bytes, by a key that has one use (DIR-1, ENV-8, ENV-11).

Ed25519 goes through libsodium, which is faster and stricter than the other; ML-DSA-65 through OpenSSL.
"""

import secrets
from collections.abc import Sequence
from typing import TypeAlias

import nacl.bindings
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA65PrivateKey

from keys.secret import Secret
from protocol import labels
from protocol.errors import MalformedEnvelope
from protocol.identities import DeviceKey, IdentityKey, KeyType, device_proof_message, key_id
from protocol.ids import KeyId
from protocol.receipts import Head, encode_signed
from protocol.statements import Body, StatementSignature, encode_statement, parse_statement

SEED_SIZE = 32
_SIGNATURE_SIZE = 64


class Ed25519Signer(Secret):
    """A private Ed25519 key: a log's, or the classical half of another."""

    __slots__ = ("_private", "_public", "_seed")

    def __init__(self, seed: bytes) -> None:
        """Use `from_seed` or `generate`."""
        if len(seed) != SEED_SIZE:
            raise ValueError("an Ed25519 seed has 32 bytes")
        self._seed = seed
        self._public, self._private = nacl.bindings.crypto_sign_seed_keypair(seed)

    @classmethod
    def from_seed(cls, seed: bytes) -> "Ed25519Signer":
        """Return the key of a 32-byte seed."""
        return cls(seed)

    @classmethod
    def generate(cls) -> "Ed25519Signer":
        """Return a new key."""
        return cls(secrets.token_bytes(SEED_SIZE))

    @property
    def seed(self) -> bytes:
        """The 32 bytes to keep."""
        return self._seed

    @property
    def public(self) -> bytes:
        """The 32-byte public key."""
        return self._public

    @property
    def log_key_id(self) -> KeyId:
        """The key id of a log that this key signs for (ID-3, type 3)."""
        return key_id(KeyType.LOG, self._public)

    def sign(self, label: bytes, data: bytes) -> bytes:
        """Return the 64-byte signature over `label || data`."""
        return self.sign_raw(label + data)

    def sign_raw(self, message: bytes) -> bytes:
        """Return the 64-byte signature over `message` as it stands.

        Only for formats that bring their own separation: an envelope's digest, and RFC 9421's signature base,
        which is text and so begins with none of our labels (HTTP-1).
        """
        return nacl.bindings.crypto_sign(message, self._private)[:_SIGNATURE_SIZE]


class HybridSigner(Secret):
    """The private identity of a root person, an approver or an agency: Ed25519 and ML-DSA-65 together."""

    __slots__ = ("_ed25519", "_mldsa65", "_mldsa_seed", "_public")

    def __init__(self, ed_seed: bytes, mldsa_seed: bytes) -> None:
        """Use `from_seeds` or `generate`."""
        self._ed25519 = Ed25519Signer(ed_seed)
        self._mldsa_seed = mldsa_seed
        self._mldsa65 = MLDSA65PrivateKey.from_seed_bytes(mldsa_seed)
        self._public = IdentityKey(self._ed25519.public, self._mldsa65.public_key().public_bytes_raw())

    @classmethod
    def from_seeds(cls, ed_seed: bytes, mldsa_seed: bytes) -> "HybridSigner":
        """Return the identity of two 32-byte seeds."""
        return cls(ed_seed, mldsa_seed)

    @classmethod
    def generate(cls) -> "HybridSigner":
        """Return a new identity."""
        return cls(secrets.token_bytes(SEED_SIZE), secrets.token_bytes(SEED_SIZE))

    @property
    def seeds(self) -> tuple[bytes, bytes]:
        """The Ed25519 and ML-DSA-65 seeds to keep, 32 bytes each."""
        return self._ed25519.seed, self._mldsa_seed

    @property
    def public(self) -> IdentityKey:
        """The public keys."""
        return self._public

    @property
    def key_id(self) -> KeyId:
        """The identity's key id."""
        return self._public.key_id

    def sign(self, label: bytes, data: bytes) -> tuple[bytes, bytes]:
        """Return the Ed25519 (64 B) and ML-DSA-65 (3,309 B) signatures over `label || data`."""
        return self._ed25519.sign(label, data), self._mldsa65.sign(label + data)


class DeviceSigner(Secret):
    """The private keys of a device: hybrid signatures for claims and prekeys, a transport key for requests."""

    __slots__ = ("_ed25519", "_identity", "_public", "_transport")

    def __init__(self, ed_seed: bytes, mldsa_seed: bytes, transport_seed: bytes) -> None:
        """Use `from_seeds` or `generate`."""
        self._identity = HybridSigner(ed_seed, mldsa_seed)
        self._ed25519 = Ed25519Signer(ed_seed)
        self._transport = Ed25519Signer(transport_seed)
        signing = self._identity.public
        self._public = DeviceKey(signing.ed25519, signing.mldsa65, self._transport.public)

    @classmethod
    def from_seeds(cls, ed_seed: bytes, mldsa_seed: bytes, transport_seed: bytes) -> "DeviceSigner":
        """Return the device of three 32-byte seeds."""
        return cls(ed_seed, mldsa_seed, transport_seed)

    @classmethod
    def generate(cls) -> "DeviceSigner":
        """Return a new device."""
        return cls(*(secrets.token_bytes(SEED_SIZE) for _ in range(3)))

    @property
    def seeds(self) -> tuple[bytes, bytes, bytes]:
        """The Ed25519, ML-DSA-65 and transport seeds to keep, 32 bytes each."""
        return *self._identity.seeds, self._transport.seed

    @property
    def public(self) -> DeviceKey:
        """The public keys."""
        return self._public

    @property
    def key_id(self) -> KeyId:
        """The device's key id."""
        return self._public.key_id

    @property
    def transport(self) -> Ed25519Signer:
        """The key that signs requests to the hub (HTTP-1, HTTP-9)."""
        return self._transport

    def sign_hybrid(self, label: bytes, data: bytes) -> tuple[bytes, bytes]:
        """Return the Ed25519 and ML-DSA-65 signatures over `label || data`."""
        return self._identity.sign(label, data)

    def sign_digest(self, digest: bytes) -> bytes:
        """Return the Ed25519 signature over an envelope's 32-byte digest, which carries its label inside (ENV-8)."""
        return self._ed25519.sign_raw(digest)


StatementSigner: TypeAlias = HybridSigner | DeviceSigner


def sign_statement(body: Body, signers: Sequence[StatementSigner]) -> bytes:
    """Return the statement of `body` under the signatures of all `signers` (DIR-1)."""
    body_bytes = body.encode()
    return encode_statement(body_bytes, [_signature(body_bytes, signer) for signer in signers])


def cosign(statement: bytes, signer: StatementSigner) -> bytes:
    """Return `statement` with one more approver's signatures over the same body bytes (DIR-2, ENR-5).

    Raises `MalformedEnvelope` for bytes that are no statement, or one that `signer` signed before.
    """
    parsed = parse_statement(statement)
    if any(signature.signer == signer.key_id for signature in parsed.signatures):
        raise MalformedEnvelope("This signer has signed the statement already.")
    return encode_statement(parsed.body_bytes, [*parsed.signatures, _signature(parsed.body_bytes, signer)])


def _signature(body_bytes: bytes, signer: StatementSigner) -> StatementSignature:
    sign = signer.sign_hybrid if isinstance(signer, DeviceSigner) else signer.sign
    return StatementSignature(signer.key_id, *sign(labels.STATEMENT, body_bytes))


def device_proof(agency: str, device: DeviceSigner) -> tuple[bytes, bytes]:
    """Return the device's proof that it holds its keys and means to serve `agency` (DIR-5)."""
    return device.sign_hybrid(labels.DEVICE_PROOF, device_proof_message(agency, device.public))


def sign_receipt(body_bytes: bytes, log: Ed25519Signer) -> bytes:
    """Return the receipt of `body_bytes`, signed by the audit log's key (AUD-5)."""
    return encode_signed(body_bytes, log.sign(labels.RECEIPT, body_bytes))


def sign_head(head: Head, log: Ed25519Signer) -> bytes:
    """Return `head` signed by its log's key (DIR-10)."""
    body_bytes = head.encode()
    return encode_signed(body_bytes, log.sign(labels.HEAD, body_bytes))
