# SPDX-License-Identifier: Apache-2.0
"""Carries attachments between this connector's disk and the hub, chunk by chunk, going on where it broke off.

Uploads come before the envelope that names them (ATT-4). Downloads come after the message and hold up nothing; only
when the last of a message's attachments is here and checked is the message answered as opened (ATT-7).
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from connectors.attachment_files import AttachmentFiles
from connectors.cases.threads import Threads
from connectors.faults import DAMAGED
from connectors.hub_client import BlobLink
from connectors.logs import Log
from connectors.outbox import Outbox
from connectors.receipts import CANNOT_OPEN, OPENED, report
from connectors.store import attachments, attempts, incoming, moves, outgoing
from connectors.store.attachments import Expected, FetchState, OwnAttachment, out_file
from connectors.store.attempts import ReadyEnvelope
from connectors.store.engine import Store, Transaction
from connectors.store.incoming import IncomingState
from connectors.store.recipients import Plan
from connectors.timing import Chance, Clock, pause, system_chance
from protocol.address import AgencyAddress
from protocol.blobs import chunk_size
from protocol.disk import is_full, is_short
from protocol.envelope import parse_envelope
from protocol.errors import (
    AttachmentMissing,
    CannotOpen,
    InvalidInput,
    NotFound,
    OurError,
    StoreFailed,
    StoreFull,
    ThroughcareError,
    Unavailable,
    UnexpectedAnswer,
)
from protocol.http.problems import is_permanent
from protocol.limits import BLOB_CHUNK, HOUR, SECOND
from protocol.sections import Actor, Attachment

T = TypeVar("T")

TURN_BYTES: Final = 8 * BLOB_CHUNK
"""Bytes that are fetched of one agency before it is the next one's turn (ATT-11)."""
TURN_MOST: Final = 64
"""Attachments that are looked at in one turn."""


def _of_disk(error: OSError) -> OurError:
    """Return what the disk says of one file in our words: that file waits, and holds up no other (ATT-10, CON-8)."""
    if is_full(error):
        return StoreFull()
    return Unavailable() if is_short(error) else StoreFailed("A file of an attachment cannot be read or written.")


def _wait(tries: int, error: ThroughcareError, chance: Chance) -> int:
    """Return how many ms to wait after `tries` failures, but no less than the hub asks for."""
    return max(pause(tries, chance), (error.retry_after or 0) * SECOND)


@dataclass(slots=True)
class Headway:
    """How far one go came: whoever gets on has not failed over and over, and waits like the first time (CON-2)."""

    chunks: int = 0
    size: int = 0
    """Bytes of its chunks."""

    def note(self, chunk: bytes) -> None:
        """Count a chunk that came or went."""
        self.chunks += 1
        self.size += len(chunk)

    def tries(self, before: int) -> int:
        """Return how many goes in a row came to nothing, if there were `before` of them before this one."""
        return 0 if self.chunks else before


class Uploads:
    """Brings the attachments of sealed envelopes to the hub. `step` may be called at any time."""

    def __init__(
        self,
        store: Store,
        files: AttachmentFiles,
        hub: BlobLink,
        outbox: Outbox,
        clock: Clock,
        log: Log,
        *,
        chance: Chance = system_chance,
    ) -> None:
        self._store = store
        self._files = files
        self._hub = hub
        self._outbox = outbox
        self._clock = clock
        self._log = log
        self._chance = chance

    async def step(self) -> int:
        """Upload what one envelope names, after which it may be sent; returns how many envelopes were looked at."""
        async with self._store.read() as tx:
            waiting = await attempts.uploading(tx, self._clock())
        for envelope in waiting:
            if not envelope.raw:
                await self._outbox.replace_damaged(envelope.envelope_id)
                continue
            headway = Headway()
            try:
                await self._upload(envelope, headway)
            except ThroughcareError as error:
                await self._failed(envelope, headway.tries(envelope.tries), error)
            else:
                tries = headway.tries(envelope.tries)
                async with self._store.write() as tx:
                    await attempts.uploaded(tx, envelope.envelope_id, tries=tries, now=self._clock())
        return len(waiting)

    async def _failed(self, envelope: ReadyEnvelope, tries: int, error: ThroughcareError) -> None:
        self._log.event("envelope-refused", code=error.code, part="attachments")
        if is_permanent(error):
            await self._outbox.give_up(envelope.envelope_id, error)
            return
        until = self._clock() + _wait(tries, error, self._chance)
        async with self._store.write() as tx:
            await attempts.postpone(tx, envelope.envelope_id, tries=tries + 1, until=until, error=error.code)

    async def _upload(self, envelope: ReadyEnvelope, headway: Headway) -> None:
        for blob_id in sorted({blob for row in parse_envelope(envelope.raw).rows for blob, _ in row.blobs}):
            async with self._store.read() as tx:
                try:
                    own = await attachments.own(tx, blob_id)
                except NotFound:
                    raise AttachmentMissing("An attachment of this handover is not on this machine any more.") from None
                except DAMAGED:
                    raise AttachmentMissing("What is stored of an attachment cannot be read any more.") from None
            try:
                await self._upload_one(own.entry, headway)
            except InvalidInput:
                await self._find_whole(own)
                raise

    async def _find_whole(self, own: OwnAttachment) -> None:
        """Raise `AttachmentMissing` where the hub refused what the disk has damaged: the file is not as it was sealed.

        The hub compares the whole only (ATT-3); nobody is told that his request was wrong, which it was not (CON-28).
        """
        try:
            await asyncio.to_thread(self._files.check, out_file(own.entry.blob_id), own.entry, own.place, part=False)
        except CannotOpen:
            raise AttachmentMissing("An attachment of this handover is damaged on this machine.") from None
        except OSError as error:
            raise _of_disk(error) from error

    async def _upload_one(self, entry: Attachment, headway: Headway) -> None:
        progress = await self._hub.announce(entry)
        while not progress.complete:
            before = progress.received
            length = chunk_size(before, entry.ciphertext_size)
            try:
                chunk = await asyncio.to_thread(self._files.read, out_file(entry.blob_id), before, length)
            except FileNotFoundError:
                chunk = b""
            except OSError as error:
                raise _of_disk(error) from error
            if len(chunk) != length:
                raise AttachmentMissing("An attachment of this handover is not whole on this machine any more.")
            progress = await self._hub.upload(entry.blob_id, before, chunk)
            if progress.received <= before:
                raise UnexpectedAnswer
            headway.note(chunk)


@dataclass(frozen=True, slots=True)
class Answering:
    """Who answers for messages, and for how long a receipt is worth sending, in ms."""

    service: Actor
    receipt_life: int


class Downloads:
    """Fetches what verified messages name. `step` may be called at any time."""

    def __init__(
        self,
        store: Store,
        files: AttachmentFiles,
        hub: BlobLink,
        answering: Answering,
        threads: Threads,
        clock: Clock,
        log: Log,
        *,
        chance: Chance = system_chance,
    ) -> None:
        """`threads` is told of each A1 (LIF-5)."""
        self._store = store
        self._files = files
        self._hub = hub
        self._answering = answering
        self._threads = threads
        self._clock = clock
        self._log = log
        self._chance = chance
        self._taken: dict[AgencyAddress, int] = {}
        self._counted: set[AgencyAddress] = set()

    async def step(self) -> int:
        """Fetch and collect what is due, of each agency for one turn; returns how many attachments were looked at.

        What came meanwhile joins with the next step, so nobody's wait for the end of another agency's (ATT-11).
        """
        self._counted.clear()
        async with self._store.read() as tx:
            due, damaged = await attachments.due(tx, self._clock(), TURN_MOST)
        if damaged:
            async with self._store.write() as tx:
                await attachments.put_off(tx, damaged, self._clock() + HOUR)
        looked_at = 0
        for of_agency in due.values():
            left = TURN_BYTES
            for one in of_agency:
                left -= await self._carry(one, left)
                looked_at += 1
                if left <= 0:
                    break
        return looked_at

    async def _carry(self, one: Expected, most: int) -> int:
        """Fetch about `most` bytes of one, and collect it when it is whole; returns how many bytes came."""
        headway = Headway()
        try:
            if one.state is FetchState.WAITING and not await self._fetch(one, headway, most):
                if one.tries:
                    async with self._store.write() as tx:
                        await attachments.got_on(tx, one)
                return headway.size
            await self._hub.collect(one.envelope_id, one.entry.blob_id)
        except (StoreFull, StoreFailed) as error:
            # It begins anew, and not soon: however far it came, the disk is no better for trying.
            await self._postpone(one, error)
        except OurError as error:
            await self._postpone(replace(one, tries=headway.tries(one.tries)), error)
        except ThroughcareError as error:
            # The hub answers otherwise than it should: that may pass too, and nothing is given up silently.
            await self._postpone(replace(one, tries=headway.tries(one.tries)), error)
        else:
            await self._collected(one)
        return headway.size

    async def next_due(self) -> int | None:
        """Return when there is something to fetch or collect next, in ms UTC, or None."""
        async with self._store.read() as tx:
            return await attachments.next_due(tx)

    async def _postpone(self, one: Expected, error: ThroughcareError) -> None:
        self._log.event("part-failed", part="attachments", code=error.code)
        async with self._store.write() as tx:
            await attachments.postpone(tx, one, self._clock() + _wait(one.tries, error, self._chance))

    async def _fetch(self, one: Expected, headway: Headway, most: int) -> bool:
        """Fetch, check and store one attachment, or about `most` bytes of it; tells whether it is over with.

        What is not what was signed for leaves no file (ATT-2).
        """
        try:
            if not await self._download(one, headway, most):
                return False
            await self._on_disk(one, lambda: self._files.check(one.file, one.entry, one.place, part=True))
        except (CannotOpen, NotFound) as error:
            self._log.event("item-quarantined", code=error.code, part="attachments")
            await self._on_disk(one, lambda: self._files.discard(one.file))
            await self._move(one, FetchState.FAILED)
            return True
        await self._on_disk(one, lambda: self._files.finish(one.file))
        await self._move(one, FetchState.STORED)
        return True

    async def _download(self, one: Expected, headway: Headway, most: int) -> bool:
        """Fetch about `most` bytes of what is missing; tells whether it is whole."""
        size = one.entry.ciphertext_size
        have = await self._on_disk(one, lambda: self._files.part_size(one.file))
        if have == 0:
            await self._find_share(one)
        # What does not fit as a whole is not begun: it would take the room of what does, and of the mail.
        await self._on_disk(one, lambda: self._files.find_room(size - have))
        while have < size and headway.size < most:
            chunk = await self._hub.read(one.envelope_id, one.entry.blob_id, have)
            if len(chunk) != chunk_size(have, size):
                raise CannotOpen
            await self._on_disk(one, partial(self._files.append, one.file, chunk))
            have += len(chunk)
            headway.note(chunk)
            if one.agency in self._taken:
                self._taken[one.agency] += len(chunk)
        return have >= size

    async def _find_share(self, one: Expected) -> None:
        """Raise `StoreFull` unless there is room for all of it within its agency's share (ATT-11).

        What an agency's files take is counted at the first and added up then: counting reads all that it ever sent.
        What is deleted meanwhile is seen before it is told that there is no room, once in a turn.
        """
        if one.agency in self._taken and await self._has_share(one):
            return
        if one.agency not in self._counted:
            async with self._store.read() as tx:
                names = await attachments.files_of(tx, one.agency)
            self._taken[one.agency] = await self._on_disk(one, lambda: self._files.taken(names))
            self._counted.add(one.agency)
            if await self._has_share(one):
                return
        raise StoreFull("An agency's attachments would take the others' room. The operator must free space.")

    async def _has_share(self, one: Expected) -> bool:
        size, taken = one.entry.ciphertext_size, self._taken[one.agency]
        return await self._on_disk(one, lambda: self._files.has_share(size, taken))

    async def _on_disk(self, one: Expected, work: Callable[[], T]) -> T:
        """Do `work` on one's file; a part that finds no room, or that the disk has spoiled, is thrown away."""
        try:
            return await asyncio.to_thread(work)
        except (OSError, StoreFull) as error:
            told = _of_disk(error) if isinstance(error, OSError) else error
            if not isinstance(told, Unavailable):
                with suppress(OSError):
                    await asyncio.to_thread(self._files.discard, one.file)
            raise told from error

    async def _move(self, one: Expected, state: FetchState) -> None:
        """Store what became of it; with the last of a message the message is answered, a failure at once (CON-4)."""
        async with self._store.write() as tx:
            if not await attachments.current(tx, one):
                return
            await attachments.move(tx, one, state)
            if state is FetchState.FAILED:
                await self._answer(tx, one, CANNOT_OPEN)
            elif await attachments.sealing_complete(tx, one):
                await self._answer(tx, one, OPENED)

    async def _answer(self, tx: Transaction, one: Expected, payload_type: str) -> None:
        message = await incoming.known(tx, one.message_id, one.sender_desk, one.recipient_desk)
        if message is None or (payload_type == OPENED and message.state is IncomingState.HELD):
            # What waits for a gap is answered when it is released.
            return
        now = self._clock()
        answer = report(
            payload_type,
            digest=one.digest,
            message_id=one.message_id,
            thread=message.thread,
            sender=one.recipient_desk,
            actor=self._answering.service,
            now=now,
            deadline=now + self._answering.receipt_life,
            first=message if payload_type == OPENED else None,
            late=payload_type == OPENED and await moves.came_late(tx, message.thread, one.message_id),
        )
        await outgoing.add(tx, answer, {one.sender_desk: Plan()})
        if payload_type == OPENED:
            await self._threads.answered(tx, answer, one.message_id)

    async def _collected(self, one: Expected) -> None:
        async with self._store.write() as tx:
            await attachments.collected(tx, one)
