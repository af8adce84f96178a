# SPDX-License-Identifier: Apache-2.0
"""The slice: the part of an envelope that one recipient is sent, with the hashes of the rest (ENV-15)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from protocol import cbor, limits
from protocol.cbor import Value
from protocol.envelope import UnverifiedEnvelope, check_row
from protocol.errors import MalformedEnvelope
from protocol.rows import Common, Row, envelope_digest, header_hash, sha256
from protocol.shapes import as_bytes, as_int, as_list, as_map, as_tuple


@dataclass(frozen=True)
class UnverifiedSlice:
    """A slice of the right form, its hashes computed from what it holds. Nothing in it is vouched for yet (ENV-18)."""

    common: Common
    common_bytes: bytes = field(repr=False)
    position: int
    row_hashes: tuple[bytes, ...] = field(repr=False)
    row: Row
    row_bytes: bytes = field(repr=False)
    wraps_hash: bytes = field(repr=False)
    wrap: bytes = field(repr=False)
    section_hashes: tuple[bytes, ...] = field(repr=False)
    sections: Mapping[int, bytes] = field(repr=False)
    sender_sig: bytes = field(repr=False)
    receipt: bytes = field(repr=False)

    @cached_property
    def header_hash(self) -> bytes:
        """H, with this row's own hash computed, not taken."""
        return header_hash(self.common_bytes, self.row_hashes)

    @cached_property
    def digest(self) -> bytes:
        """What `sender_sig` signs."""
        return envelope_digest(self.header_hash, self.wraps_hash, self.section_hashes)


def encode_slice(
    *,
    common: bytes,
    position: int,
    row_hashes: Sequence[bytes],
    row: bytes,
    wraps_hash: bytes,
    wrap: bytes,
    section_hashes: Sequence[bytes],
    sections: Mapping[int, bytes],
    sender_sig: bytes,
    receipt: bytes,
) -> bytes:
    """Return a slice's bytes.

    `row_hashes` are those of all rows in order, the recipient's own (at `position`) included and left out on the wire;
    `section_hashes` are those of all sections, of which the ones in `sections` are left out.
    """
    others: list[Value] = [*row_hashes[:position], *row_hashes[position + 1 :]]
    hidden: list[Value] = [value for index, value in enumerate(section_hashes) if index not in sections]
    own: list[Value] = [[number, sections[number]] for number in sorted(sections)]
    return cbor.encode_sound(
        {
            0: common,
            1: position,
            2: others,
            3: row,
            4: wraps_hash,
            5: wrap,
            6: hidden,
            7: own,
            8: sender_sig,
            9: receipt,
        }
    )


def slice_of(envelope: UnverifiedEnvelope, position: int, receipt: bytes) -> bytes:
    """Return the slice of `envelope` for the recipient in row `position`."""
    return encode_slice(
        common=envelope.common_bytes,
        position=position,
        row_hashes=envelope.row_hashes,
        row=envelope.row_bytes[position],
        wraps_hash=envelope.wraps_hash,
        wrap=envelope.wraps[position],
        section_hashes=envelope.section_hashes,
        sections={number: envelope.sections[number] for number in envelope.rows[position].numbers},
        sender_sig=envelope.sender_sig,
        receipt=receipt,
    )


def parse_slice(data: bytes) -> UnverifiedSlice:
    """Read a slice; `UnsupportedSuite` or `MalformedEnvelope` for any fault of form (ENV-1 to ENV-6, ENV-15)."""
    fields = as_map(cbor.decode(data, limit=limits.MAX_SLICE), 10)
    common_bytes = as_bytes(fields[0])
    common = Common.parse(common_bytes)
    row_bytes = as_bytes(fields[3])
    row = Row.parse(row_bytes)
    check_row(common, row)
    sections = _own_sections(fields[7], common, row)
    wrap = as_bytes(fields[5])
    if len(wrap) != row.wrap_size:
        raise MalformedEnvelope("A wrap does not have the size its row demands.")
    others = _hashes(fields[2], limits.MAX_ROWS - 1)
    position = as_int(fields[1], most=len(others))
    return UnverifiedSlice(
        common=common,
        common_bytes=common_bytes,
        position=position,
        row_hashes=(*others[:position], sha256(row_bytes), *others[position:]),
        row=row,
        row_bytes=row_bytes,
        wraps_hash=as_bytes(fields[4], size=limits.HASH),
        wrap=wrap,
        section_hashes=_section_hashes(fields[6], common, sections),
        sections=sections,
        sender_sig=as_bytes(fields[8], size=limits.ED25519_SIGNATURE),
        receipt=as_bytes(fields[9], most=limits.MAX_RECEIPT),
    )


def _hashes(value: Value, most: int) -> tuple[bytes, ...]:
    return tuple(as_bytes(item, size=limits.HASH) for item in as_list(value, most=most))


def _own_sections(value: Value, common: Common, row: Row) -> dict[int, bytes]:
    sections: dict[int, bytes] = {}
    for item in as_list(value, least=1, most=limits.MAX_SECTIONS):
        number, ciphertext = as_tuple(item, 2)
        sections[as_int(number)] = as_bytes(ciphertext)
    if tuple(sections) != row.numbers or len(as_list(value, most=limits.MAX_SECTIONS)) != len(sections):
        raise MalformedEnvelope("A slice holds the sections of its row, no more and no fewer.")
    if any(len(ciphertext) != common.section_lengths[number] for number, ciphertext in sections.items()):
        raise MalformedEnvelope("A section does not have the length that common gives.")
    return sections


def _section_hashes(value: Value, common: Common, sections: Mapping[int, bytes]) -> tuple[bytes, ...]:
    hidden = iter(_hashes(value, limits.MAX_SECTIONS))
    try:
        hashes = tuple(
            sha256(sections[number]) if number in sections else next(hidden)
            for number in range(len(common.section_lengths))
        )
    except (StopIteration, RuntimeError):
        raise MalformedEnvelope("A slice gives the hash of every section that it does not hold.") from None
    if next(hidden, None) is not None:
        raise MalformedEnvelope("A slice gives the hash of every section that it does not hold.")
    return hashes
