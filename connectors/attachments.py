# SPDX-License-Identifier: Apache-2.0
"""Attachments as the local interface offers them: stored before a handover names them, given out once checked."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.attachment_files import PIECE, AttachmentFiles
from connectors.bound import Desks, sees
from connectors.cases.stopped import withheld_here
from connectors.store import attachments, incoming, requests
from connectors.store.attachments import HERE, Expected, Unreadable, out_file
from connectors.store.engine import Store, Transaction
from connectors.store.incoming import IncomingState
from connectors.timing import Clock
from keys.blobsealing import BlobSealer
from protocol import ids
from protocol.address import DeskAddress
from protocol.errors import CannotOpen, Conflict, IllegalTransition, InvalidInput, KeystoreError, NotFound
from protocol.http.handovers import AttachmentStored, NamedAttachment
from protocol.ids import BlobId, MessageId
from protocol.limits import DAY
from protocol.sections import Attachment

OPERATION: Final = "storeAttachment"
UNNAMED_FOR: Final = 7 * DAY
"""How long an attachment waits for a handover that names it."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An attachment that was checked whole: its size, and its plaintext to be read once."""

    size: int
    pieces: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Added:
    """An attachment that is stored, and whether it was before, under the same idempotency key."""

    answer: AttachmentStored
    replayed: bool


class Attachments:
    """The service behind the attachment operations."""

    def __init__(self, store: Store, files: AttachmentFiles, clock: Clock) -> None:
        self._store = store
        self._files = files
        self._clock = clock
        self._storing = set[str]()

    async def add(
        self,
        pieces: AsyncIterator[bytes],
        *,
        name: str,
        media_type: str,
        place: int,
        key: str = "",
        desks: Desks = None,
    ) -> Added:
        """Seal what `pieces` give into a file, in constant memory, and store its key; nothing is left of a failure.

        `place` is the one that it will have in its section, from 0 (ATT-2). With an idempotency `key` the same again
        is the attachment that it was before; it counts for `desks`, to which the caller is bound. Raises `TooLarge`,
        and `IdempotencyKeyReused` for other bytes.
        """
        blob_id = BlobId(ids.new_id())
        file, sealer = out_file(blob_id), BlobSealer(blob_id, place)
        stored_key = requests.request_key(OPERATION, key, desks) if key else None
        said = hashlib.sha256(f"{name}\0{media_type}\0{place}\0".encode())
        self._storing.add(file)
        try:
            async for piece in pieces:
                if key:
                    await asyncio.to_thread(said.update, piece)
                await asyncio.to_thread(lambda data: self._files.append(file, sealer.update(data)), piece)
            rest = sealer.finish()
            while (end := await asyncio.to_thread(next, rest, None)) is not None:
                await asyncio.to_thread(self._files.append, file, end)
            await asyncio.to_thread(self._files.finish, file)
            entry = sealer.entry(media_type, name)
            stored = AttachmentStored(id=blob_id, size=entry.plaintext_size)
            async with self._store.write() as tx:
                before = await requests.answer(tx, stored_key, said.digest()) if stored_key else None
                if before is None:
                    await attachments.add_own(tx, entry, place, self._clock())
                    if stored_key:
                        answer = stored.model_dump_json().encode()
                        await requests.keep(tx, stored_key, said.digest(), answer, self._clock())
            if before is not None:
                self._files.discard(file)
                return Added(AttachmentStored.model_validate_json(before), replayed=True)
        except BaseException:
            self._files.discard(file)
            raise
        finally:
            self._storing.discard(file)
        return Added(stored, replayed=False)

    async def open(
        self,
        message_id: MessageId,
        section: int,
        place: int,
        *,
        sender: DeskAddress | None = None,
        recipient: DeskAddress | None = None,
        desks: Desks = None,
    ) -> Opened:
        """Return an attachment that came, after checking it whole on the disk.

        Raises `NotFound` alike for what does not exist, is not here yet, or came with a message that is held, and
        `Conflict` where several agencies sent under one id until `sender` says which, or where another one came for
        another of our desks until `recipient` says which: sections are numbered for each desk by itself. Raises
        `IllegalTransition` for one in a thread that was entered in error (CON-26), and `KeystoreError` for one that
        the disk has damaged since it came, which hinders no other of its message.
        """
        async with self._store.read() as tx:
            came = [
                one
                for one in await attachments.standing(tx, message_id)
                if sender in (None, one.sender_desk) and sees(desks, one.recipient_desk)
            ]
            if len({one.sender_desk for one in came}) > 1:
                raise Conflict("Several handovers are under this id. Say whose: --sender DESK (?sender=).")
            meant = [
                one
                for one in came
                if (one.section, one.place) == (section, place)
                and recipient in (None, one.recipient_desk)
                and await _delivered(tx, one)
            ]
            withheld = [one for one in meant if await _is_withheld(tx, one)]
        if len({one.recipient_desk for one in meant}) > 1:
            raise Conflict("This came for several desks, for each by its own number. Say which: ?recipient=DESK.")
        if withheld:
            raise IllegalTransition("It came in a thread that was entered in error, and is shown to nobody any more.")
        if any(isinstance(one, Unreadable) for one in meant):
            raise KeystoreError("What is stored of an attachment cannot be read: the store is damaged.")
        found = next((one for one in meant if isinstance(one, Expected) and one.state in HERE), None)
        if found is None:
            raise NotFound
        try:
            await asyncio.to_thread(self._files.check, found.file, found.entry, place, part=False)
        except CannotOpen as error:
            raise KeystoreError("The file of an attachment is not as it came: the store is damaged.") from error
        return Opened(found.entry.plaintext_size, _in_thread(self._files.plaintext(found.file, found.entry, place)))

    async def sweep(self) -> None:
        """Forget what is over or was never named, and delete files that belong to nothing."""
        async with self._store.write() as tx:
            await attachments.drop_own(tx, self._clock() - UNNAMED_FOR)
            wanted = await attachments.files(tx)
            # Inside the transaction, so that nothing is added between the look and the deletion.
            await asyncio.to_thread(self._files.sweep, wanted | self._storing)


async def _delivered(tx: Transaction, one: Expected | Unreadable) -> bool:
    message = await incoming.known(tx, one.message_id, one.sender_desk, one.recipient_desk)
    return message is not None and message.state is IncomingState.DELIVERED


async def _is_withheld(tx: Transaction, one: Expected | Unreadable) -> bool:
    message = await incoming.known(tx, one.message_id, one.sender_desk, one.recipient_desk)
    return message is not None and await withheld_here(tx, message) is not None


async def named(
    tx: Transaction, wanted: Sequence[NamedAttachment], sections: int
) -> tuple[tuple[int, Attachment], ...]:
    """Return (section, entry) of the attachments that a request names, in its order.

    Raises `NotFound` for one that is not here, `Conflict` for one that another handover names, and `InvalidInput`
    for a section that is not there or an order that is not the one that they were stored for.
    """
    found: list[tuple[int, Attachment]] = []
    for one in wanted:
        if one.section > sections:
            raise InvalidInput("An attachment is meant for a section that the package does not have.")
        held = await attachments.own(tx, one.id)
        if held.message_id is not None or any(entry.blob_id == one.id for _, entry in found):
            raise Conflict("An attachment belongs to one handover, once. Store it anew for another.")
        if held.place != sum(section == one.section for section, _ in found):
            raise InvalidInput("Attachments of a section are named in the order of the places they were stored for.")
        found.append((one.section, held.entry))
    return tuple(found)


async def _in_thread(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        for start in range(0, len(piece), PIECE):
            yield piece[start : start + PIECE]
