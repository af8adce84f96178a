# SPDX-License-Identifier: Apache-2.0
"""One durable entry for a checked envelope, and what it weighs (AUD-1, AUD-3, HTTP-5)."""

from collections.abc import Sequence
from functools import partial

from hub.service.receipts import Receipts
from hub.service.transaction import Change, Delivered, Finish, Transaction
from hub.store import blobs, envelopes
from hub.store.envelopes import Accepted, Entry
from hub.store.mailboxes import SliceParts, bits
from hub.store.trees import Log
from protocol.envelope import UnverifiedEnvelope
from protocol.errors import AttachmentMissing, EnvelopeIdReused, Expired, ThroughcareError
from protocol.frames import ItemKind
from protocol.ids import KeyId
from protocol.limits import HASH
from protocol.receipts import Detail, ReceiptKind
from protocol.rows import Row

SLICE_FIXED = 4_096
"""About the bytes of a slice without its sections and the hashes of the rest."""
HASH_ON_WIRE = HASH + 2
READER_WEIGHT = 256
"""Bytes that each attachment in a row counts for: the writer stores who may read it."""


def readers_of(envelope: UnverifiedEnvelope) -> int:
    """Return how often the rows of `envelope` name an attachment."""
    return sum([len(row.blobs) for row in envelope.rows])


def weight_of(readers: int) -> int:
    """Return about how many bytes the writer stores for so many `readers` of attachments."""
    return READER_WEIGHT * readers


def sizes_of(envelope: UnverifiedEnvelope) -> dict[KeyId, int]:
    """Return about how many bytes the slice of each recipient's device has."""
    count, lengths = len(envelope.rows), envelope.common.section_lengths
    return {row.device_id: size_of_slice(row, count, lengths) for row in envelope.rows}


def size_of_slice(row: Row, rows: int, lengths: Sequence[int]) -> int:
    """Return about how many bytes the slice of `row` has, of an envelope of so many `rows` and section `lengths`."""
    fixed = SLICE_FIXED + HASH_ON_WIRE * (rows + len(lengths))
    return fixed + sum(lengths[number] for number in row.numbers)


class DirectoryMoved(ThroughcareError):
    """The directory grew between check and commit; the envelope is checked again, and nobody is told."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size


class AcceptEnvelope(Change[bytes]):
    """Store a checked envelope with its audit leaf; the answer is its receipt (AUD-1, AUD-3)."""

    def __init__(
        self, envelope: UnverifiedEnvelope, *, directory_size: int, valid_until: int, receipts: Receipts
    ) -> None:
        """It was checked against the first `directory_size` statements and holds until `valid_until`, ms UTC."""
        self.envelope = envelope
        self.envelope_id = envelope.common.envelope_id
        self.weight = len(envelope.raw) + weight_of(readers_of(envelope))
        self._directory_size = directory_size
        self._valid_until = valid_until
        self._receipts = receipts

    def apply(self, transaction: Transaction) -> Finish[bytes]:
        """Append the leaf and the rows, or find the envelope accepted before."""
        envelope, known = self.envelope, transaction.known.get(self.envelope.common.envelope_id)
        if known is not None:
            check_same(envelope, known)
            return lambda: self._receipts.of(known.entry)
        if transaction.size(Log.DIRECTORY) != self._directory_size:
            raise DirectoryMoved(transaction.size(Log.DIRECTORY))
        if transaction.now >= self._valid_until:
            raise Expired
        self._check_blobs(transaction)
        entry = transaction.record(
            Detail(
                kind=ReceiptKind.ACCEPTED,
                envelope_id=envelope.common.envelope_id,
                digest=envelope.digest,
                sender_desk=envelope.common.sender_desk,
                directory_size=transaction.size(Log.DIRECTORY),
                directory_root=transaction.root(Log.DIRECTORY),
            )
        )
        self._store(transaction, entry)
        transaction.known[envelope.common.envelope_id] = Accepted(envelope.digest, envelope.sender_sig, entry)
        return lambda: self._receipts.of(entry)

    def _check_blobs(self, transaction: Transaction) -> None:
        """Raise AttachmentMissing unless every blob of every row is here whole, from this device (ATT-4)."""
        named = {(blob_id, size) for row in self.envelope.rows for blob_id, size in row.blobs}
        if named and not blobs.all_complete(transaction.connection, self.envelope.common.device_id, named):
            raise AttachmentMissing

    def _store(self, transaction: Transaction, entry: Entry) -> None:
        envelope, index = self.envelope, entry.index
        transaction.insert(
            envelopes.NEW_ENVELOPES,
            {
                "idx": index,
                "envelope_id": envelope.common.envelope_id,
                "digest": envelope.digest,
                "sender_sig": envelope.sender_sig,
                "sender_device": envelope.common.device_id,
                "common": envelope.common_bytes,
                "row_hashes": b"".join(envelope.row_hashes),
                "wraps_hash": envelope.wraps_hash,
                "wrap_hashes": b"".join(envelope.wrap_hashes),
                "section_hashes": b"".join(envelope.section_hashes),
                "accepted_at": transaction.now,
                "purge_at": envelope.common.expires,
            },
        )
        for number, section in enumerate(envelope.sections):
            transaction.insert(envelopes.NEW_SECTIONS, {"idx": index, "number": number, "bytes": section})
        lengths = envelope.common.section_lengths
        for position, row in enumerate(envelope.rows):
            transaction.deliver(
                row.device_id,
                {
                    "kind": ItemKind.SLICE,
                    "position": position,
                    "row": envelope.row_bytes[position],
                    "wrap": envelope.wraps[position],
                    "sections": bits(row.numbers),
                },
                Delivered(
                    entry,
                    size_of_slice(row, len(envelope.rows), lengths),
                    partial(_parts, envelope, position),
                ),
            )
        blobs.claim(transaction.connection, envelope, index)


def _parts(envelope: UnverifiedEnvelope, position: int) -> SliceParts:
    return SliceParts(
        common=envelope.common_bytes,
        position=position,
        row_hashes=envelope.row_hashes,
        row=envelope.row_bytes[position],
        wraps_hash=envelope.wraps_hash,
        wrap=envelope.wraps[position],
        section_hashes=envelope.section_hashes,
        sections={number: envelope.sections[number] for number in envelope.rows[position].numbers},
        sender_sig=envelope.sender_sig,
    )


def check_same(envelope: UnverifiedEnvelope, known: Accepted) -> None:
    """Raise EnvelopeIdReused unless these are the bytes that were accepted under the id (HTTP-5)."""
    if (known.digest, known.sender_sig) != (envelope.digest, envelope.sender_sig):
        raise EnvelopeIdReused
