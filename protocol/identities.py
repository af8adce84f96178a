# SPDX-License-Identifier: Apache-2.0
"""Public keys and their ids: typed, so that a key of one use never passes for another (ID-3)."""

from dataclasses import dataclass, field
from enum import IntEnum
from functools import cached_property

from protocol import cbor, labels, limits
from protocol.cbor import Value
from protocol.ids import KeyId
from protocol.rows import sha256
from protocol.shapes import as_bytes, as_tuple


class KeyType(IntEnum):
    """What a key is for; part of what its id hashes."""

    IDENTITY = 1
    DEVICE = 2
    LOG = 3
    PREKEY = 4


def key_id(kind: KeyType, *parts: bytes) -> KeyId:
    """Return the id of a key from its public parts (ID-3)."""
    return KeyId(sha256(labels.KEY_ID + cbor.encode([int(kind), *parts])))


@dataclass(frozen=True)
class IdentityKey:
    """The public half of a root person's, approver's or agency's identity: Ed25519 (32 B) and ML-DSA-65 (1,952 B)."""

    ed25519: bytes
    mldsa65: bytes = field(repr=False)

    @cached_property
    def key_id(self) -> KeyId:
        """The key's id."""
        return key_id(KeyType.IDENTITY, self.ed25519, self.mldsa65)

    def value(self) -> Value:
        """Return the CBOR value."""
        return [self.ed25519, self.mldsa65]

    @classmethod
    def of(cls, value: Value) -> "IdentityKey":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        ed25519, mldsa65 = as_tuple(value, 2)
        return cls(
            as_bytes(ed25519, size=limits.ED25519_PUBLIC),
            as_bytes(mldsa65, size=limits.MLDSA65_PUBLIC),
        )


@dataclass(frozen=True)
class DeviceKey:
    """The public half of a device: signing keys for envelopes and claims, a transport key for requests to the hub."""

    ed25519: bytes
    mldsa65: bytes = field(repr=False)
    transport: bytes

    @cached_property
    def key_id(self) -> KeyId:
        """The key's id."""
        return key_id(KeyType.DEVICE, self.ed25519, self.mldsa65, self.transport)

    def value(self) -> Value:
        """Return the CBOR value."""
        return [self.ed25519, self.mldsa65, self.transport]

    @classmethod
    def of(cls, value: Value) -> "DeviceKey":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        ed25519, mldsa65, transport = as_tuple(value, 3)
        return cls(
            as_bytes(ed25519, size=limits.ED25519_PUBLIC),
            as_bytes(mldsa65, size=limits.MLDSA65_PUBLIC),
            as_bytes(transport, size=limits.ED25519_PUBLIC),
        )


def device_proof_message(agency: str, key: DeviceKey) -> bytes:
    """Return what a device signs, after the label, to prove that it holds its keys (DIR-5)."""
    return cbor.encode([agency, key.value()])


def identity_proof_message(code_id: bytes, agency: str, key: IdentityKey) -> bytes:
    """Return what an agency's identity signs, after the label, in its key request (ENR-3)."""
    return cbor.encode([code_id, agency, key.value()])
