# SPDX-License-Identifier: Apache-2.0
"""What is inside the sections: claims with two signatures in section 0, one category and purpose in each other."""

from dataclasses import dataclass, field
from enum import IntEnum

from protocol import cbor, limits
from protocol.address import MAX_ADDRESS, AgencyAddress, DeskAddress, parse_agency
from protocol.cbor import Value
from protocol.errors import InvalidInput, MalformedEnvelope
from protocol.ids import ID_SIZE, KEY_ID_SIZE, KeyId, MessageId, OfficerId, ThreadId
from protocol.rows import as_desk
from protocol.shapes import (
    as_bytes,
    as_int,
    as_list,
    as_map,
    as_optional_bytes,
    as_optional_int,
    as_text,
    as_tuple,
)


class ActorKind(IntEnum):
    """Who acts for the agency: a person, or a program under a name."""

    OFFICER = 1
    SERVICE = 2


@dataclass(frozen=True, slots=True)
class Actor:
    """The officer or service that acts, with the SHA-256 of the delegation statement that allows it (ENV-14)."""

    officer: OfficerId
    kind: ActorKind
    name: str
    delegation: bytes

    def value(self) -> Value:
        """Return the CBOR value."""
        return {0: self.officer, 1: int(self.kind), 2: self.name, 3: self.delegation}

    @classmethod
    def of(cls, value: Value) -> "Actor":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        fields = as_map(value, 4)
        return cls(
            officer=OfficerId(as_bytes(fields[0], size=ID_SIZE)),
            kind=ActorKind(as_int(fields[1], least=1, most=2)),
            name=as_text(fields[2], least=1, most=limits.MAX_NAME),
            delegation=as_bytes(fields[3], size=limits.HASH),
        )


@dataclass(frozen=True, slots=True)
class Claims:
    """What the sending device signs twice (ENV-11, ENV-13); times in ms UTC."""

    header_hash: bytes
    device_id: KeyId
    agency: AgencyAddress
    actor: Actor
    message_id: MessageId
    thread: ThreadId
    after: tuple[MessageId, ...]
    created: int
    not_after: int
    payload_type: str
    payload_version: int
    payload_hash: bytes
    section_hashes: tuple[bytes, ...]
    label: str
    directory: tuple[int, bytes]
    participants: tuple[DeskAddress, ...] = ()

    def encode(self) -> bytes:
        """Return the strict encoding."""
        return cbor.encode(
            {
                0: self.header_hash,
                1: self.device_id,
                2: self.agency,
                3: self.actor.value(),
                4: self.message_id,
                5: self.thread,
                6: list(self.after),
                7: self.created,
                8: self.not_after,
                9: self.payload_type,
                10: self.payload_version,
                11: self.payload_hash,
                12: list(self.section_hashes),
                13: self.label,
                14: list(self.directory),
                15: list(self.participants),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Claims":
        """Read claims, or raise `MalformedEnvelope`."""
        fields = as_map(cbor.decode(data, limit=limits.SECTION_ZERO_EXTRA), 16)
        size, root = as_tuple(fields[14], 2)
        return cls(
            header_hash=as_bytes(fields[0], size=limits.HASH),
            device_id=KeyId(as_bytes(fields[1], size=KEY_ID_SIZE)),
            agency=as_agency(fields[2]),
            actor=Actor.of(fields[3]),
            message_id=MessageId(as_bytes(fields[4], size=ID_SIZE)),
            thread=ThreadId(as_bytes(fields[5], size=ID_SIZE)),
            after=tuple(MessageId(as_bytes(item, size=ID_SIZE)) for item in as_list(fields[6], most=limits.MAX_AFTER)),
            created=as_int(fields[7]),
            not_after=as_int(fields[8]),
            payload_type=as_text(fields[9], least=1, most=limits.MAX_CODE),
            payload_version=as_int(fields[10], least=1, most=65_535),
            payload_hash=as_bytes(fields[11], size=limits.HASH),
            section_hashes=tuple(
                as_bytes(item, size=limits.HASH) for item in as_list(fields[12], most=limits.MAX_SECTIONS - 1)
            ),
            label=as_text(fields[13], least=1, most=limits.MAX_CODE),
            directory=(as_int(size), as_bytes(root, size=limits.HASH)),
            participants=tuple(as_desk(item) for item in as_list(fields[15], most=limits.MAX_PARTICIPANTS)),
        )


def as_agency(value: Value) -> AgencyAddress:
    """Return `value` as an agency's address (ID-2), or raise `MalformedEnvelope`."""
    try:
        return parse_agency(as_text(value, most=MAX_ADDRESS))
    except InvalidInput:
        raise MalformedEnvelope from None


@dataclass(frozen=True, slots=True)
class SectionZero:
    """Claims, their two signatures and the payload that every recipient reads (ENV-11, ENV-12).

    A signature of the wrong size is kept as it came: it is a bad signature, not a malformed envelope.
    """

    claims: bytes = field(repr=False)
    ed25519: bytes = field(repr=False)
    mldsa65: bytes = field(repr=False)
    payload: bytes = field(repr=False)

    def encode(self) -> bytes:
        """Return the strict encoding; `MalformedEnvelope` when it is too large for machine state (ENV-12)."""
        data = cbor.encode({0: self.claims, 1: [self.ed25519, self.mldsa65], 2: self.payload})
        if len(data) - len(self.ed25519) - len(self.mldsa65) > limits.SECTION_ZERO_EXTRA:
            raise MalformedEnvelope("Section 0 carries machine state only; put content into sections of its own.")
        return data

    @classmethod
    def parse(cls, data: bytes) -> "SectionZero":
        """Read section 0's plaintext, or raise `MalformedEnvelope`."""
        most = limits.SECTION_ZERO_EXTRA + limits.ED25519_SIGNATURE + limits.MLDSA65_SIGNATURE
        fields = as_map(cbor.decode(data, limit=most), 3)
        signatures = [as_bytes(item) for item in as_list(fields[1], most=2)]
        zero = cls(
            claims=as_bytes(fields[0]),
            ed25519=signatures[0] if signatures else b"",
            mldsa65=signatures[1] if len(signatures) == 2 else b"",
            payload=as_bytes(fields[2]),
        )
        if len(zero.claims) + len(zero.payload) > limits.SECTION_ZERO_EXTRA:
            raise MalformedEnvelope
        return zero


@dataclass(frozen=True, slots=True)
class Attachment:
    """One entry of a section's manifest (ATT-1); sizes in bytes."""

    blob_id: bytes
    key: bytes = field(repr=False)
    ciphertext_size: int
    ciphertext_hash: bytes
    plaintext_size: int
    media_type: str
    name: str = field(repr=False)

    def value(self) -> Value:
        """Return the CBOR value."""
        return [
            self.blob_id,
            self.key,
            self.ciphertext_size,
            self.ciphertext_hash,
            self.plaintext_size,
            self.media_type,
            self.name,
        ]

    @classmethod
    def of(cls, value: Value) -> "Attachment":
        """Read the CBOR value, or raise `MalformedEnvelope`."""
        blob_id, key, ciphertext_size, ciphertext_hash, plaintext_size, media_type, name = as_tuple(value, 7)
        return cls(
            blob_id=as_bytes(blob_id, size=ID_SIZE),
            key=as_bytes(key, size=32),
            ciphertext_size=as_int(ciphertext_size, least=1),
            ciphertext_hash=as_bytes(ciphertext_hash, size=limits.HASH),
            plaintext_size=as_int(plaintext_size, most=limits.MAX_BLOB),
            media_type=as_text(media_type, least=1, most=limits.MAX_NAME),
            name=as_text(name, least=1, most=limits.MAX_NAME),
        )


@dataclass(frozen=True, slots=True)
class ContentSection:
    """A section's head and body: one data category for one purpose (docs/protocol.md section 3)."""

    category: str
    purpose: str
    label: str
    body: bytes = field(repr=False)
    attachments: tuple[Attachment, ...] = ()
    grant: bytes | None = None
    grant_version: int | None = None

    def encode(self) -> bytes:
        """Return the strict encoding."""
        manifest: list[Value] = [entry.value() for entry in self.attachments]
        return cbor.encode(
            {
                0: self.category,
                1: self.purpose,
                2: self.grant,
                3: self.grant_version,
                4: self.label,
                5: manifest,
                6: self.body,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "ContentSection":
        """Read a section's plaintext, or raise `MalformedEnvelope` (ATT-1: no blob twice)."""
        fields = as_map(cbor.decode(data, limit=limits.MAX_ENVELOPE), 7)
        attachments = tuple(Attachment.of(item) for item in as_list(fields[5], most=limits.MAX_BLOBS))
        if len({entry.blob_id for entry in attachments}) != len(attachments):
            raise MalformedEnvelope("A blob stands twice in a section.")
        section = cls(
            category=as_text(fields[0], least=1, most=limits.MAX_CODE),
            purpose=as_text(fields[1], least=1, most=limits.MAX_CODE),
            grant=as_optional_bytes(fields[2], size=limits.HASH),
            grant_version=as_optional_int(fields[3]),
            label=as_text(fields[4], least=1, most=limits.MAX_CODE),
            attachments=attachments,
            body=as_bytes(fields[6]),
        )
        if (section.grant is None) != (section.grant_version is None):
            raise MalformedEnvelope("A grant needs a version and a version a grant.")
        return section
