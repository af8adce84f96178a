# SPDX-License-Identifier: Apache-2.0
"""Accepting envelopes: what a hub can check without opening anything, then one durable entry (ENV, HTTP-5)."""

import asyncio
from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial

from hub.service.allowances import Allowances
from hub.service.directory import DirectoryLog
from hub.service.holdings import Holding, Holdings, Share
from hub.service.receipts import Receipts
from hub.service.tally import IN, Tally
from hub.service.transaction import Change, Delivered, Finish, Transaction
from hub.service.waiting import Room, Waiting
from hub.service.writer import Writer
from hub.store import blobs, envelopes
from hub.store.engine import Store
from hub.store.envelopes import Accepted, Entry
from hub.store.mailboxes import SliceParts, bits
from hub.store.trees import Log
from keys.verifying import verify_sender
from protocol.clockwatch import Clock
from protocol.envelope import UnverifiedEnvelope, parse_envelope
from protocol.errors import (
    AttachmentMissing,
    ConsentDenied,
    DirectoryError,
    EnvelopeError,
    EnvelopeIdReused,
    Expired,
    MalformedEnvelope,
    QuotaReached,
    RecipientUnavailable,
    SenderMismatch,
    ThroughcareError,
)
from protocol.frames import ItemKind, parse_batch
from protocol.ids import KeyId
from protocol.limits import CLOCK_SKEW, HASH
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
        self.weight = len(envelope.raw) + READER_WEIGHT * readers_of(envelope)
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


class Submissions:
    """Takes envelopes from devices."""

    def __init__(
        self,
        store: Store,
        writer: Writer,
        directory: DirectoryLog,
        receipts: Receipts,
        clock: Clock,
        tally: Tally,
        allowances: Allowances,
        waiting: Waiting,
        holdings: Holdings,
    ) -> None:
        self._store = store
        self._writer = writer
        self._log = directory
        self._receipts = receipts
        self._clock = clock
        self._tally = tally
        self._allowances = allowances
        self._waiting = waiting
        self._holdings = holdings
        self._under_way: set[asyncio.Task[bytes]] = set()

    async def submit(self, device_id: KeyId, data: bytes) -> bytes:
        """Accept the envelope `data` from an authenticated device and return its receipt, durable (HTTP-5).

        Raises the EnvelopeError or DirectoryError that says what is wrong with it, TooManyRequests, QuotaReached, and
        Unavailable. Whoever goes away meanwhile takes nothing back: what the writer has may be committed, and counts
        until it has answered (HTTP-15, HTTP-18).
        """
        work = asyncio.create_task(self._submit(device_id, data))
        self._under_way.add(work)
        work.add_done_callback(self._is_over)
        return await asyncio.shield(work)

    def _is_over(self, work: asyncio.Task[bytes]) -> None:
        self._under_way.discard(work)
        if not work.cancelled():
            # Counted already; where nobody waits for it any more it is no error that nobody foresaw.
            work.exception()

    async def _submit(self, device_id: KeyId, data: bytes) -> bytes:
        agency = self._log.agency_of(device_id)
        try:
            with self._allowances.submission(agency, len(data)):
                receipt = await self._accept(device_id, agency, data)
        except ThroughcareError as error:
            self._tally.add(IN, error.code)
            raise
        self._tally.add(IN, "accepted")
        return receipt

    def batch(self, device_id: KeyId, data: bytes) -> tuple[bytes, ...]:
        """Return the envelopes of a batch, or raise MalformedEnvelope and charge for bytes that are none (HTTP-14)."""
        try:
            return parse_batch(data)
        except MalformedEnvelope:
            self._allowances.spoiled(self._log.agency_of(device_id), len(data))
            raise

    async def _accept(self, device_id: KeyId, agency: str, data: bytes) -> bytes:
        try:
            return await self._take(device_id, agency, data)
        except (EnvelopeError, DirectoryError, EnvelopeIdReused, QuotaReached):
            # What is wrong with it shows after the work only; honest senders have few of these (HTTP-14).
            self._allowances.refused(agency, len(data))
            raise

    async def _take(self, device_id: KeyId, agency: str, data: bytes) -> bytes:
        envelope = parse_envelope(data)
        if envelope.common.device_id != device_id:
            raise SenderMismatch
        count, lengths = len(envelope.rows), envelope.common.section_lengths
        sizes = {row.device_id: size_of_slice(row, count, lengths) for row in envelope.rows}
        room = Room(self._waiting, agency, sizes)
        readers = readers_of(envelope)
        share = Share(self._holdings, agency, Holding(readers=readers))
        accepted = False
        try:
            with self._allowances.place(agency, READER_WEIGHT * readers) if readers else nullcontext():
                receipt = await self._write(envelope, agency, room, share)
            accepted = True
        finally:
            room.settle(accepted=accepted)
            share.settle(stored=accepted)
        return receipt

    async def _write(self, envelope: UnverifiedEnvelope, agency: str, room: Room, share: Share) -> bytes:
        while True:
            size = self._log.directory.size
            try:
                valid_until = self._check(envelope)
                await room.take()
                await share.take()
            except ThroughcareError as refused:
                if isinstance(refused, DirectoryError | SenderMismatch) and await self._knows_more(agency, size):
                    continue
                # What was accepted once stays accepted, however time and directory have moved on (HTTP-5). Whether it
                # was is asked for only here: while the checks pass, the writer sees it anyway.
                before = await self._accepted_before(envelope, agency)
                if before is None:
                    raise
                check_same(envelope, before)
                if not self._writer.is_guarded(before.entry.size):
                    await self._writer.settle()
                return self._receipts.of(before.entry)
            change = AcceptEnvelope(envelope, directory_size=size, valid_until=valid_until, receipts=self._receipts)
            try:
                return await self._writer.write(change)
            except DirectoryMoved as moved:
                await self._log.reached(moved.size)

    async def _knows_more(self, agency: str, size: int) -> bool:
        """Tell whether another process has appended to the directory what this one had not heard of (HTTP-23)."""
        async with self._allowances.reading(agency):
            await self._log.refresh()
        return self._log.directory.size != size

    async def _accepted_before(self, envelope: UnverifiedEnvelope, agency: str) -> Accepted | None:
        id_ = envelope.common.envelope_id
        async with self._allowances.reading(agency):
            found = await self._store.read(lambda connection: envelopes.accepted(connection, [id_]))
        return found.get(id_)

    def _check(self, envelope: UnverifiedEnvelope) -> int:
        """Check all that needs no key; return until when the answer holds, in ms UTC."""
        now, common, directory = self._clock(), envelope.common, self._log.directory
        if common.created > now + CLOCK_SKEW:
            raise Expired("The envelope is dated over 10 minutes ahead. Check the sender's clock and seal again.")
        if common.expires <= now:
            raise Expired
        device = directory.device_in_force(common.device_id, at=now, size=directory.size)
        desk = directory.desk(common.sender_desk, now)
        if desk is None or desk.device is None or desk.device.key_id != device.key_id:
            raise SenderMismatch("The sending desk is not served by this device.")
        verify_sender(envelope, device.key)
        for row in envelope.rows:
            self._check_row(row, now)
        return min(common.expires, device.not_after)

    def _check_row(self, row: Row, now: int) -> None:
        if any(section.handle is not None for section in row.sections):
            raise ConsentDenied("Handles and tickets are not in force yet; they must be null (ENV-5).")
        desk = self._log.directory.desk(row.desk, now)
        if desk is None or desk.device is None or desk.device.key_id != row.device_id:
            raise RecipientUnavailable(
                "A recipient's desk is not served by the device that the envelope names. Refresh the directory and "
                "seal again."
            )
