# SPDX-License-Identifier: Apache-2.0
"""The envelope as it is submitted: parsed strictly, not yet believed (ENV-1 to ENV-6, ENV-18)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from protocol import cbor, limits
from protocol.errors import MalformedEnvelope
from protocol.rows import Common, Row, envelope_digest, header_hash, sha256
from protocol.shapes import as_byte_strings, as_bytes, as_tuple


@dataclass(frozen=True, slots=True)
class UnverifiedEnvelope:
    """An envelope of the right form. Nothing in it is vouched for until its signatures are checked (ENV-18)."""

    raw: bytes = field(repr=False)
    common: Common
    rows: tuple[Row, ...]
    common_bytes: bytes = field(repr=False)
    row_bytes: tuple[bytes, ...] = field(repr=False)
    wraps: tuple[bytes, ...] = field(repr=False)
    sections: tuple[bytes, ...] = field(repr=False)
    sender_sig: bytes = field(repr=False)
    row_hashes: tuple[bytes, ...] = field(init=False, repr=False)
    """SHA-256 of each row, in order."""
    section_hashes: tuple[bytes, ...] = field(init=False, repr=False)
    """SHA-256 of each section's ciphertext, in order."""
    wrap_hashes: tuple[bytes, ...] = field(init=False, repr=False)
    """SHA-256 of each wrap, in order."""
    wraps_hash: bytes = field(init=False, repr=False)
    """SHA-256 of the joined hashes of the wraps."""
    header_hash: bytes = field(init=False, repr=False)
    """H."""
    digest: bytes = field(init=False, repr=False)
    """What `sender_sig` signs."""

    def __post_init__(self) -> None:
        row_hashes = tuple(map(sha256, self.row_bytes))
        section_hashes = tuple(map(sha256, self.sections))
        wrap_hashes = tuple(map(sha256, self.wraps))
        wraps_hash = sha256(b"".join(wrap_hashes))
        header = header_hash(self.common_bytes, row_hashes)
        # Not worked out when first asked for: that takes a lock in Python 3.11.
        note = object.__setattr__
        note(self, "row_hashes", row_hashes)
        note(self, "section_hashes", section_hashes)
        note(self, "wrap_hashes", wrap_hashes)
        note(self, "wraps_hash", wraps_hash)
        note(self, "header_hash", header)
        note(self, "digest", envelope_digest(header, wraps_hash, section_hashes))


def parse_envelope(data: bytes) -> UnverifiedEnvelope:
    """Read an envelope of at most 1 MiB.

    Raises `UnsupportedSuite` for any suite but tc/1 and `MalformedEnvelope` for every other fault of form.
    """
    common_item, row_items, wrap_items, section_items, signature = as_tuple(
        cbor.decode(data, limit=limits.MAX_ENVELOPE), 5
    )
    common_bytes = as_bytes(common_item)
    common = Common.parse(common_bytes)
    row_bytes = as_byte_strings(row_items, most=limits.MAX_ROWS)
    wraps = as_byte_strings(wrap_items, most=limits.MAX_ROWS)
    sections = as_byte_strings(section_items, most=limits.MAX_SECTIONS)
    rows = _parse_rows(row_bytes)
    _check_agreement(common, rows, wraps, sections)
    return UnverifiedEnvelope(
        raw=data,
        common=common,
        rows=rows,
        common_bytes=common_bytes,
        row_bytes=row_bytes,
        wraps=wraps,
        sections=sections,
        sender_sig=as_bytes(signature, size=limits.ED25519_SIGNATURE),
    )


def _check_agreement(
    common: Common, rows: tuple[Row, ...], wraps: tuple[bytes, ...], sections: tuple[bytes, ...]
) -> None:
    if len(wraps) != len(rows):
        raise MalformedEnvelope("Each row needs one wrap.")
    if len({row.device_id for row in rows}) != len(rows):
        raise MalformedEnvelope("A device stands in two rows.")
    for row, wrap in zip(rows, wraps, strict=True):
        if len(wrap) != row.wrap_size:
            raise MalformedEnvelope("A wrap does not have the size its row demands.")
    if tuple(map(len, sections)) != common.section_lengths:
        raise MalformedEnvelope("A section does not have the length that common gives.")
    shown: set[int] = set()
    for row in rows:
        check_row(common, row)
        shown.update(row.numbers)
    # No row shows one that does not exist.
    if len(shown) != len(sections):
        raise MalformedEnvelope("A section is in no row.")


def _parse_rows(row_bytes: Sequence[bytes]) -> tuple[Row, ...]:
    """Read all rows, or raise `MalformedEnvelope` as soon as they name more attachments than may be (ATT-8)."""
    rows, named, blobs = list[Row](), 0, set[bytes]()
    for data in row_bytes:
        row = Row.parse(data)
        if row.blobs:
            named += len(row.blobs)
            blobs.update([blob for blob, _ in row.blobs])
            if len(blobs) > limits.MAX_BLOBS:
                raise MalformedEnvelope("An envelope has at most 64 attachments. Send the others in a further message.")
            if named > limits.MAX_BLOB_READERS:
                raise MalformedEnvelope(
                    "The rows name attachments over 6,400 times. Send fewer, or to fewer desks at once."
                )
        rows.append(row)
    return tuple(rows)


def check_row(common: Common, row: Row) -> None:
    """Raise `MalformedEnvelope` unless `row` can stand under `common` (ENV-4, ENV-6)."""
    if row.numbers[-1] >= len(common.section_lengths):
        raise MalformedEnvelope("A row names a section that does not exist.")
    if row.blobs:
        if common.klass.bare:
            raise MalformedEnvelope("This class has no attachments.")
        if len(row.numbers) == 1:
            raise MalformedEnvelope("An attachment needs a section that lists it.")


def encode_envelope(
    common: bytes, rows: Sequence[bytes], wraps: Sequence[bytes], sections: Sequence[bytes], sender_sig: bytes
) -> bytes:
    """Return the envelope's bytes from its parts; `MalformedEnvelope` above 1 MiB (ENV-2)."""
    data = cbor.encode([common, list(rows), list(wraps), list(sections), sender_sig])
    if len(data) > limits.MAX_ENVELOPE:
        raise MalformedEnvelope("The envelope would be larger than 1 MiB; send large files as attachments.")
    return data
