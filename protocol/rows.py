# SPDX-License-Identifier: Apache-2.0
"""The clear parts of an envelope: `common`, which all recipients see, and a `row` for each of them."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from functools import lru_cache
from typing import ClassVar

from protocol import cbor, labels, limits
from protocol.address import DeskAddress, parse_desk
from protocol.cbor import Value
from protocol.errors import InvalidInput, MalformedEnvelope, UnsupportedSuite
from protocol.ids import ID_SIZE, KEY_ID_SIZE, EnvelopeId, KeyId
from protocol.padding import is_section_length
from protocol.shapes import (
    MAX_NUMBER,
    as_bytes,
    as_int,
    as_list,
    as_map,
    as_optional_bytes,
    as_optional_int,
    as_tuple,
)


class EnvelopeClass(IntEnum):
    """What the hub may know of a message's nature (docs/protocol.md section 3)."""

    REFERRAL = 1
    RECEIPT = 2
    RECORD = 3
    CHAT = 4
    NOTICE = 5

    @property
    def bare(self) -> bool:
        """Tell whether the class has section 0 only (ENV-6) and never waits for a gap (SEQ-3)."""
        return self in _BARE


_CLASSES = {int(klass): klass for klass in EnvelopeClass}
_BARE = (EnvelopeClass.RECEIPT, EnvelopeClass.NOTICE)


_SUITE = ((0, limits.PROTOCOL), (1, limits.SUITE))


def as_desk(value: Value) -> DeskAddress:
    """Return `value` as a desk's address (ID-2), or raise `MalformedEnvelope`."""
    if type(value) is not str:
        raise MalformedEnvelope
    return _desk(value)


@lru_cache(maxsize=4_096)  # the same desks write again and again
def _desk(text: str) -> DeskAddress:
    try:
        return parse_desk(text)
    except InvalidInput:
        raise MalformedEnvelope from None


@dataclass(frozen=True, slots=True)
class Common:
    """What every recipient and the hub see; times in ms UTC, section lengths in bytes of ciphertext."""

    envelope_id: EnvelopeId
    created: int
    expires: int
    sender_desk: DeskAddress
    device_id: KeyId
    klass: EnvelopeClass
    section_lengths: tuple[int, ...]

    def encode(self) -> bytes:
        """Return the strict encoding."""
        return cbor.encode(
            {
                0: limits.PROTOCOL,
                1: limits.SUITE,
                2: self.envelope_id,
                3: self.created,
                4: self.expires,
                5: self.sender_desk,
                6: self.device_id,
                7: int(self.klass),
                8: list(self.section_lengths),
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Common":
        """Read `common`; a foreign suite is told before any other fault (ENV-1, ENV-4, ENV-6, ENV-7)."""
        value = cbor.decode(data, limit=1_024)
        if not isinstance(value, dict):
            raise MalformedEnvelope
        for key, known in _SUITE:
            said = value.get(key)
            if type(said) is not int or said != known:
                raise UnsupportedSuite
        fields = as_map(value, 9)
        klass = _CLASSES.get(as_int(fields[7]))
        if klass is None:
            raise MalformedEnvelope
        lengths = tuple([as_int(item) for item in as_list(fields[8], least=1, most=limits.MAX_SECTIONS)])
        if not all(map(is_section_length, lengths)):
            raise MalformedEnvelope("A section's length is not that of padded content.")
        if klass.bare and len(lengths) != 1:
            raise MalformedEnvelope("This class has section 0 only.")
        created, expires = as_int(fields[3]), as_int(fields[4])
        if not created < expires <= created + limits.MAX_LIFE:
            raise MalformedEnvelope("The envelope must expire after it was made, within 366 days.")
        return cls(
            envelope_id=EnvelopeId(as_bytes(fields[2], size=ID_SIZE)),
            created=created,
            expires=expires,
            sender_desk=as_desk(fields[5]),
            device_id=KeyId(as_bytes(fields[6], size=KEY_ID_SIZE)),
            klass=klass,
            section_lengths=lengths,
        )


@dataclass(frozen=True, slots=True)
class RowSection:
    """One section that a row opens, with the hub's handle and ticket for it (both or neither, ENV-5)."""

    number: int
    handle: bytes | None = None
    ticket: bytes | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """One recipient device of an envelope: what it may open, under which prekey (docs/protocol.md section 3)."""

    salt: bytes
    desk: DeskAddress
    device_id: KeyId
    prekey_epoch: int
    sections: tuple[RowSection, ...]
    box_hash: bytes
    blobs: tuple[tuple[bytes, int], ...] = ()
    due: int | None = None
    answers: EnvelopeId | None = None
    numbers: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """The section numbers, 0 first, ascending."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "numbers", tuple([section.number for section in self.sections]))

    @property
    def wrap_size(self) -> int:
        """The only size, in bytes, that this row's wrap can have (ENV-3)."""
        return limits.WRAP_FIXED + 32 * len(self.sections)

    def encode(self) -> bytes:
        """Return the strict encoding."""
        sections: list[Value] = [[section.number, section.handle, section.ticket] for section in self.sections]
        blobs: list[Value] = [[blob, size] for blob, size in self.blobs]
        return cbor.encode(
            {
                0: self.salt,
                1: self.desk,
                2: self.device_id,
                3: self.prekey_epoch,
                4: sections,
                5: blobs,
                6: self.due,
                7: self.answers,
                8: self.box_hash,
            }
        )

    @classmethod
    def parse(cls, data: bytes) -> "Row":
        """Read a row, or raise `MalformedEnvelope` (ENV-4, ENV-5, ATT-1)."""
        fields = as_map(cbor.decode(data, limit=8_192), 9)
        answers = as_optional_bytes(fields[7], size=ID_SIZE)
        return cls(
            salt=as_bytes(fields[0], size=16),
            desk=as_desk(fields[1]),
            device_id=KeyId(as_bytes(fields[2], size=KEY_ID_SIZE)),
            prekey_epoch=as_int(fields[3], least=1),
            sections=_row_sections(fields[4]),
            blobs=_row_blobs(fields[5]),
            due=as_optional_int(fields[6]),
            answers=None if answers is None else EnvelopeId(answers),
            box_hash=as_bytes(fields[8], size=limits.HASH),
        )


_OPEN_SECTIONS = tuple(map(RowSection, range(limits.MAX_SECTIONS)))
"""The sections without a ticket, which nearly all are: made once."""


def _row_sections(value: Value) -> tuple[RowSection, ...]:
    sections = []
    for item in as_list(value, least=1, most=limits.MAX_SECTIONS):
        number_item, handle, ticket = as_tuple(item, 3)
        number = as_int(number_item, most=limits.MAX_SECTIONS - 1)
        if handle is None and ticket is None:
            sections.append(_OPEN_SECTIONS[number])
        elif handle is None or ticket is None:
            raise MalformedEnvelope("A handle needs a ticket and a ticket a handle.")
        else:
            sections.append(RowSection(number, as_bytes(handle, size=ID_SIZE), as_bytes(ticket, size=ID_SIZE)))
    numbers = [section.number for section in sections]
    if numbers[0] != 0 or sections[0].handle is not None or numbers != sorted(set(numbers)):
        raise MalformedEnvelope("A row names section 0 first, without a ticket, and ascending numbers.")
    return tuple(sections)


def _row_blobs(value: Value) -> tuple[tuple[bytes, int], ...]:
    items = as_list(value, most=limits.MAX_BLOBS)
    if not items:
        return ()
    blobs = []
    for item in items:
        blob, size = as_tuple(item, 2)
        blobs.append((as_bytes(blob, size=ID_SIZE), as_int(size, least=1)))
    if len({blob for blob, _ in blobs}) != len(blobs):
        raise MalformedEnvelope("A blob stands twice in a row.")
    return tuple(blobs)


@dataclass(frozen=True, slots=True)
class Box:
    """A message's place in its thread for one recipient: 40 bytes inside the wrap (SEQ-1).

    The blind keeps the hub from guessing `seq` and the predecessor by their hash.
    """

    seq: int
    previous: bytes | None
    blind: bytes = field(repr=False)

    SIZE: ClassVar[int] = 40

    def encode(self) -> bytes:
        """Return seq(8) || previous(16) || blind(16)."""
        return self.seq.to_bytes(8, "big") + (self.previous or bytes(ID_SIZE)) + self.blind

    @classmethod
    def parse(cls, data: bytes) -> "Box":
        """Read 40 bytes; `MalformedEnvelope` for seq 0, or a predecessor that does not fit the seq."""
        if len(data) != cls.SIZE:
            raise MalformedEnvelope
        seq, previous = int.from_bytes(data[:8], "big"), data[8:24]
        if not 1 <= seq <= MAX_NUMBER or (seq == 1) != (previous == bytes(ID_SIZE)):
            raise MalformedEnvelope
        return cls(seq=seq, previous=None if seq == 1 else previous, blind=data[24:])


def sha256(data: bytes) -> bytes:
    """Return SHA-256 of `data`, 32 bytes."""
    return hashlib.sha256(data).digest()


def header_hash(common: bytes, row_hashes: Sequence[bytes]) -> bytes:
    """Return H, which binds `common` and every row by its hash (docs/protocol.md section 3)."""
    return sha256(labels.HEADER + sha256(common) + b"".join(row_hashes))


def envelope_digest(header: bytes, wraps_hash: bytes, section_hashes: Sequence[bytes]) -> bytes:
    """Return the digest that the sending device signs (ENV-8); `wraps_hash` is SHA-256 of the joined wrap hashes."""
    return sha256(labels.ENVELOPE + header + wraps_hash + b"".join(section_hashes))


def wrap_info(header: bytes, device_id: bytes) -> bytes:
    """Return the HPKE info that ties a wrap to its header and device (ENV-9)."""
    return labels.KEYS + header + device_id


def section_context(header: bytes, number: int) -> bytes:
    """Return the Cobblestone context that ties a section to its header and number (ENV-9)."""
    return labels.SECTION + header + number.to_bytes(2, "big")
