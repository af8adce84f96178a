# SPDX-License-Identifier: Apache-2.0
"""Audit leaves, receipts and directory heads: what the hub signs (docs/protocol.md section 5, DIR-10)."""

from dataclasses import dataclass, field
from enum import IntEnum

from protocol import cbor, labels, limits
from protocol.address import DeskAddress
from protocol.errors import MalformedEnvelope
from protocol.generations import place_of
from protocol.ids import ID_SIZE, EnvelopeId
from protocol.rows import as_desk, sha256
from protocol.shapes import as_bytes, as_int, as_map, as_text, as_tuple

SALT_SIZE = 32
RESTORED = 3
"""The kind of the leaf that begins a generation; no receipt is ever given of it."""


class ReceiptKind(IntEnum):
    """What happened to the envelope at the hub (AUD-1)."""

    ACCEPTED = 1
    EXPIRED = 2


@dataclass(frozen=True, slots=True)
class Detail:
    """What a leaf commits to: which envelope, and the directory in force (AUD-1). Names no recipient and no subject."""

    kind: ReceiptKind
    envelope_id: EnvelopeId
    digest: bytes
    sender_desk: DeskAddress
    directory_size: int
    directory_root: bytes

    def encode(self) -> bytes:
        """Return the strict encoding."""
        return cbor.encode_sound(
            {
                0: int(self.kind),
                1: self.envelope_id,
                2: self.digest,
                3: self.sender_desk,
                4: self.directory_size,
                5: self.directory_root,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Detail":
        """Read a detail, or raise `MalformedEnvelope`."""
        fields = as_map(cbor.decode(data, limit=1_024), 6)
        return cls(
            kind=ReceiptKind(as_int(fields[0], least=1, most=2)),
            envelope_id=EnvelopeId(as_bytes(fields[1], size=ID_SIZE)),
            digest=as_bytes(fields[2], size=limits.HASH),
            sender_desk=as_desk(fields[3]),
            directory_size=as_int(fields[4]),
            directory_root=as_bytes(fields[5], size=limits.HASH),
        )


@dataclass(frozen=True, slots=True)
class RestoredDetail:
    """What the first leaf of a generation commits to: the restoration's digest, and the directory with it (GEN-2)."""

    digest: bytes
    directory_size: int
    directory_root: bytes

    def encode(self) -> bytes:
        """Return the strict encoding."""
        return cbor.encode({0: RESTORED, 1: self.digest, 2: self.directory_size, 3: self.directory_root})


def commitment(salt: bytes, detail: bytes) -> bytes:
    """Return the commitment to `detail` under a 32-byte salt (AUD-1)."""
    return sha256(labels.AUDIT_COMMITMENT + salt + detail)


@dataclass(frozen=True, slots=True)
class Leaf:
    """One entry of the audit log: a time, a commitment and a random id, about 70 bytes (AUD-1)."""

    at: int
    commitment: bytes
    entry_id: bytes

    def encode(self) -> bytes:
        """Return the strict encoding."""
        return cbor.encode_sound({0: 1, 1: self.at, 2: self.commitment, 3: self.entry_id})

    @classmethod
    def parse(cls, data: bytes) -> "Leaf":
        """Read a leaf, or raise `MalformedEnvelope`."""
        fields = as_map(cbor.decode(data, limit=256), 4)
        as_int(fields[0], least=1, most=1)
        return cls(as_int(fields[1]), as_bytes(fields[2], size=limits.HASH), as_bytes(fields[3], size=ID_SIZE))


@dataclass(frozen=True, slots=True)
class ReceiptBody:
    """What a receipt says: this leaf, at this index, in a tree of this size and root (AUD-5)."""

    kind: ReceiptKind
    origin: str
    index: int
    size: int
    root: bytes
    leaf_bytes: bytes = field(repr=False)
    salt: bytes = field(repr=False)
    detail_bytes: bytes = field(repr=False)

    @property
    def detail(self) -> Detail:
        """The detail that the leaf commits to."""
        return Detail.parse(self.detail_bytes)

    @property
    def place(self) -> int:
        """The leaf's place: its generation, which the origin names, and its index (GEN-3)."""
        _, _, generation = self.origin.partition("/audit/")
        return place_of(int(generation) if generation else 0, self.index)

    @property
    def leaf(self) -> Leaf:
        """The leaf; its `at` is the time of acceptance, in ms UTC."""
        return Leaf.parse(self.leaf_bytes)

    def encode(self) -> bytes:
        """Return the strict encoding."""
        return cbor.encode_sound(
            {
                0: int(self.kind),
                1: self.origin,
                2: self.index,
                3: self.size,
                4: self.root,
                5: self.leaf_bytes,
                6: self.salt,
                7: self.detail_bytes,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "ReceiptBody":
        """Read a body whose leaf opens to its detail, or raise `MalformedEnvelope` (AUD-5)."""
        fields = as_map(cbor.decode(data, limit=limits.MAX_RECEIPT), 8)
        size = as_int(fields[3], least=1)
        body = cls(
            kind=ReceiptKind(as_int(fields[0], least=1, most=2)),
            origin=as_text(fields[1], least=1, most=200),
            index=as_int(fields[2], most=size - 1),
            size=size,
            root=as_bytes(fields[4], size=limits.HASH),
            leaf_bytes=as_bytes(fields[5]),
            salt=as_bytes(fields[6], size=SALT_SIZE),
            detail_bytes=as_bytes(fields[7]),
        )
        if body.leaf.commitment != commitment(body.salt, body.detail_bytes) or body.detail.kind is not body.kind:
            raise MalformedEnvelope("The receipt's leaf does not commit to its detail.")
        return body


@dataclass(frozen=True, slots=True)
class UnverifiedReceipt:
    """A receipt of the right form, its signature not yet checked."""

    body_bytes: bytes = field(repr=False)
    body: ReceiptBody
    signature: bytes = field(repr=False)


def parse_receipt(raw: bytes) -> UnverifiedReceipt:
    """Read a receipt, or raise `MalformedEnvelope`."""
    body_item, signature = as_tuple(cbor.decode(raw, limit=limits.MAX_RECEIPT), 2)
    body_bytes = as_bytes(body_item)
    return UnverifiedReceipt(
        body_bytes, ReceiptBody.parse(body_bytes), as_bytes(signature, size=limits.ED25519_SIGNATURE)
    )


def encode_signed(body_bytes: bytes, signature: bytes) -> bytes:
    """Return `[body, signature]`: the form of receipts and heads."""
    return cbor.encode_sound([body_bytes, signature])


@dataclass(frozen=True, slots=True)
class Head:
    """The size and root of a log at a time, as the hub signs it (DIR-10)."""

    origin: str
    size: int
    root: bytes
    at: int

    def encode(self) -> bytes:
        """Return the strict encoding."""
        return cbor.encode({0: self.origin, 1: self.size, 2: self.root, 3: self.at})

    @classmethod
    def parse(cls, data: bytes) -> "Head":
        """Read a head's body, or raise `MalformedEnvelope`."""
        fields = as_map(cbor.decode(data, limit=1_024), 4)
        return cls(
            as_text(fields[0], least=1, most=200),
            as_int(fields[1]),
            as_bytes(fields[2], size=limits.HASH),
            as_int(fields[3]),
        )


@dataclass(frozen=True, slots=True)
class UnverifiedHead:
    """A head of the right form, its signature not yet checked."""

    body_bytes: bytes = field(repr=False)
    head: Head
    signature: bytes = field(repr=False)


def parse_head(raw: bytes) -> UnverifiedHead:
    """Read a signed head, or raise `MalformedEnvelope`."""
    body_item, signature = as_tuple(cbor.decode(raw, limit=2_048), 2)
    body_bytes = as_bytes(body_item)
    return UnverifiedHead(body_bytes, Head.parse(body_bytes), as_bytes(signature, size=limits.ED25519_SIGNATURE))
