# SPDX-License-Identifier: Apache-2.0
"""Attachments in the store: ours until their handover is over, others' from the message until they are kept (ATT-7)."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Row, and_, bindparam, delete, exists, func, insert, or_, select, update

from connectors.faults import DAMAGED, desk_of_row, named
from connectors.store.engine import Transaction
from connectors.store.recipients import FINAL_STATES
from connectors.store.tables import attachment_in, attachment_out, recipient
from keys.opening import VerifiedMessage
from protocol import cbor
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.errors import NotFound, SequenceError
from protocol.ids import EnvelopeId, MessageId
from protocol.sections import Attachment

_OUT: Final = "attachment out"
_IN: Final = "attachment in"
_MAX_STORED: Final = 4_096


class FetchState(StrEnum):
    """How far another agency's attachment has come here."""

    WAITING = "waiting"
    """Named by a verified message; its bytes are still to be fetched."""
    STORED = "stored"
    """Fetched and checked whole; the hub is still to be told."""
    KEPT = "kept"
    FAILED = "failed"
    """The bytes were not those that were signed for, or the hub has none; the sender was told (CON-4)."""


HERE: Final = (FetchState.STORED, FetchState.KEPT)


@dataclass(frozen=True, slots=True)
class OwnAttachment:
    """An attachment of ours: its manifest entry, and for which place of its section it was sealed (ATT-2)."""

    entry: Attachment = field(repr=False)
    place: int
    message_id: MessageId | None


@dataclass(frozen=True, slots=True)
class Expected:
    """An attachment that came with a message, by the sealing that names it."""

    position: int
    message_id: MessageId
    sender_desk: DeskAddress
    recipient_desk: DeskAddress
    section: int
    place: int
    envelope_id: EnvelopeId
    digest: bytes
    state: FetchState
    tries: int
    entry: Attachment = field(repr=False)

    @property
    def agency(self) -> AgencyAddress:
        """The agency that sent it."""
        return agency_of(desk_of_row(self.sender_desk))

    @property
    def file(self) -> str:
        """The name of the file with its ciphertext."""
        return in_file(self.position, self.entry.blob_id)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """An attachment that came and of which the disk has damaged the row: what stands in clear of it (CON-28)."""

    position: int
    message_id: MessageId
    sender_desk: DeskAddress
    recipient_desk: DeskAddress
    section: int
    place: int


def in_file(position: int, blob_id: bytes) -> str:
    """Return the name of the file for one that came."""
    return f"in-{position}-{blob_id.hex()}"


def out_file(blob_id: bytes) -> str:
    """Return the name of the file for one of ours."""
    return f"out-{blob_id.hex()}"


_ADD_OWN: Final = insert(attachment_out)
_OWN: Final = select(attachment_out).where(attachment_out.c.blob_id == bindparam("which"))
_KEPT: Final = select(attachment_out.c.blob_id).where(attachment_out.c.blob_id.in_(bindparam("which", expanding=True)))
_CLAIM: Final = update(attachment_out).where(attachment_out.c.blob_id.in_(bindparam("which", expanding=True)))
_UNDER_WAY: Final = exists().where(
    recipient.c.message_id == attachment_out.c.message_id, recipient.c.state.not_in(FINAL_STATES)
)
_DROP_OWN: Final = delete(attachment_out).where(
    or_(
        and_(attachment_out.c.message_id.is_(None), attachment_out.c.created_at < bindparam("before")),
        and_(attachment_out.c.message_id.is_not(None), ~_UNDER_WAY),
    )
)
_EXPECT: Final = insert(attachment_in)
_UNFINISHED: Final = attachment_in.c.state.in_((FetchState.WAITING, FetchState.STORED))
_EXPECTED: Final = select(attachment_in).order_by(attachment_in.c.position)
_TURN: Final = (
    select(
        attachment_in.c.position,
        func.row_number()
        .over(partition_by=attachment_in.c.sender_desk, order_by=attachment_in.c.position)
        .label("place"),
    )
    .where(_UNFINISHED, attachment_in.c.next_try_at <= bindparam("now"))
    .subquery()
)
_DUE: Final = _EXPECTED.where(
    attachment_in.c.position.in_(select(_TURN.c.position).where(_TURN.c.place <= bindparam("most")))
)
"""The first of each desk that are due: what else is due is neither opened nor told from one another."""
_FAILING: Final = _EXPECTED.where(_UNFINISHED, attachment_in.c.tries > 0)
_NEXT_DUE: Final = select(func.min(attachment_in.c.next_try_at)).where(_UNFINISHED)
_OF_MESSAGE: Final = _EXPECTED.where(attachment_in.c.message_id == bindparam("of"))
_NOT_HERE: Final = select(attachment_in.c.position).where(
    attachment_in.c.message_id == bindparam("of"),
    attachment_in.c.recipient_desk == bindparam("recipient"),
    attachment_in.c.state.not_in(HERE),
)
_WAITED_FOR: Final = select(exists(_NOT_HERE.where(attachment_in.c.sender_desk == bindparam("sender"))))
_OF_SEALING: Final = select(exists(_NOT_HERE.where(attachment_in.c.envelope_id == bindparam("sealing"))))
_OF_AGENCY: Final = select(attachment_in.c.position, attachment_in.c.blob_id).where(
    attachment_in.c.sender_desk.like(bindparam("of"))
)
_AT: Final = attachment_in.c.position == bindparam("which")
_CURRENT: Final = select(attachment_in.c.envelope_id, attachment_in.c.state).where(_AT)
_CHANGE: Final = update(attachment_in).where(_AT)
_COLLECTED: Final = _CHANGE.where(
    attachment_in.c.envelope_id == bindparam("sealing"), attachment_in.c.state == FetchState.STORED
).values(state=FetchState.KEPT, tries=0)
_DROP: Final = delete(attachment_in).where(
    attachment_in.c.message_id == bindparam("of"),
    attachment_in.c.sender_desk == bindparam("sender"),
    attachment_in.c.recipient_desk == bindparam("recipient"),
)


async def add_own(tx: Transaction, entry: Attachment, place: int, now: int) -> None:
    """Store an attachment that no handover names yet."""
    values = {
        "blob_id": entry.blob_id,
        "place": place,
        "created_at": now,
        "sealed": tx.vault.seal(_OUT, entry.blob_id, cbor.encode(entry.value())),
    }
    await tx.connection.execute(_ADD_OWN, values)


async def own(tx: Transaction, blob_id: bytes) -> OwnAttachment:
    """Return an attachment of ours, or raise `NotFound`."""
    row = (await tx.connection.execute(_OWN, {"which": blob_id})).one_or_none()
    if row is None:
        raise NotFound("There is no such attachment here. Store it first; after seven days unused it is deleted.")
    entry = Attachment.of(cbor.decode(tx.vault.open(_OUT, row.blob_id, row.sealed), limit=_MAX_STORED))
    return OwnAttachment(entry, row.place, row.message_id)


async def kept(tx: Transaction, blob_ids: Collection[bytes]) -> bool:
    """Tell whether all these attachments of ours are still stored here."""
    found = await tx.connection.scalars(_KEPT, {"which": list(blob_ids)})
    return set(found) == set(blob_ids)


async def claim(tx: Transaction, blob_ids: Collection[bytes], message_id: MessageId) -> None:
    """Note which message names these attachments."""
    await tx.connection.execute(_CLAIM, {"which": list(blob_ids), "message_id": message_id})


async def drop_own(tx: Transaction, before: int) -> None:
    """Forget attachments of ours that are over with at all their desks, or unnamed and older than `before`."""
    await tx.connection.execute(_DROP_OWN, {"before": before})


async def expect(tx: Transaction, message: VerifiedMessage, now: int) -> None:
    """Note what a message names that is taken in for the first time (ATT-7)."""
    rows = [
        {
            "message_id": message.message_id,
            "sender_desk": message.sender_desk,
            "recipient_desk": message.recipient_desk,
            "section": number,
            "place": place,
            "blob_id": entry.blob_id,
            "sealed": tx.vault.seal(_IN, message.message_id, cbor.encode(entry.value())),
            **_anew(message, FetchState.WAITING, now),
        }
        for number, section in message.sections.items()
        for place, entry in enumerate(section.attachments)
    ]
    if rows:
        await tx.connection.execute(_EXPECT, rows)


async def expect_again(tx: Transaction, message: VerifiedMessage, now: int) -> bool:
    """Note that a known message was sealed anew; tell whether all that it names is here already (ATT-7).

    Sections may be numbered otherwise in another sealing, so attachments are known by their blobs. Raises
    `SequenceError` for one that the first sealing did not name just so (SEQ-5). One whose row the disk has damaged is
    taken from this sealing, which its sender has signed as well, and fetched anew.
    """
    rows = {
        row.blob_id: row
        for row in await tx.connection.execute(_OF_MESSAGE, {"of": message.message_id})
        if (row.sender_desk, row.recipient_desk) == (message.sender_desk, message.recipient_desk)
    }
    complete = True
    for section in message.sections.values():
        for place, entry in enumerate(section.attachments):
            row = rows.get(entry.blob_id)
            first = next(iter(readable(tx, (row,))), None) if row is not None else None
            if row is None or row.place != place or (first is not None and first.entry != entry):
                raise SequenceError("A message came again under its id with another attachment.")
            if first is None:
                await _set(tx, row.position, sealed=tx.vault.seal(_IN, message.message_id, cbor.encode(entry.value())))
            # What is here is not fetched again, but this envelope's recipient has to collect it too.
            here = first is not None and first.state in HERE
            complete &= here
            await _set(tx, row.position, **_anew(message, FetchState.STORED if here else FetchState.WAITING, now))
    return complete


def _anew(message: VerifiedMessage, state: FetchState, now: int) -> dict[str, object]:
    return {
        "envelope_id": message.envelope_id,
        "digest": message.digest,
        "state": state,
        "tries": 0,
        "next_try_at": now,
    }


async def due(tx: Transaction, now: int, most: int) -> tuple[dict[AgencyAddress, list[Expected]], list[int]]:
    """Return what is to be fetched or collected now, at most `most` of each agency, the longest waiting first.

    Beside it come the positions of what is due and damaged: it is to be put off, or it would fill each turn (CON-8).
    """
    found: dict[AgencyAddress, list[Expected]] = {}
    damaged: list[int] = []
    for row in await tx.connection.execute(_DUE, {"now": now, "most": most}):
        of_agency = found.setdefault(agency_of(desk_of_row(row.sender_desk)), [])
        if len(of_agency) < most:
            whole = readable(tx, (row,))
            of_agency += whole
            if not whole:
                damaged.append(row.position)
    return found, damaged


async def put_off(tx: Transaction, positions: Collection[int], until: int) -> None:
    """Look at attachments again at `until`, ms UTC, whatever is wrong with them."""
    await tx.connection.execute(_CHANGE, [{"which": one, "next_try_at": until} for one in positions])


async def failing(tx: Transaction) -> list[Expected]:
    """Return what could not be fetched or collected at the last try."""
    return readable(tx, await tx.connection.execute(_FAILING))


async def next_due(tx: Transaction) -> int | None:
    """Return when the next is to be fetched or collected, in ms UTC, or None."""
    at: int | None = await tx.connection.scalar(_NEXT_DUE)
    return at


async def of_message(tx: Transaction, message_id: MessageId) -> list[Expected]:
    """Return every attachment that came under that message id and whose row can be read."""
    return readable(tx, await tx.connection.execute(_OF_MESSAGE, {"of": message_id}))


async def standing(tx: Transaction, message_id: MessageId) -> list[Expected | Unreadable]:
    """Return every attachment that came under that message id: one that is damaged hides no other (CON-28)."""
    found: list[Expected | Unreadable] = []
    for row in await tx.connection.execute(_OF_MESSAGE, {"of": message_id}):
        clear = row.position, row.message_id, row.sender_desk, row.recipient_desk, row.section, row.place
        found += readable(tx, (row,)) or [Unreadable(*clear)]
    return found


async def complete(tx: Transaction, message_id: MessageId, sender: DeskAddress, recipient_desk: DeskAddress) -> bool:
    """Tell whether everything is here that came with a message of these desks (ATT-7)."""
    between = {"of": message_id, "sender": sender, "recipient": recipient_desk}
    return not await tx.connection.scalar(_WAITED_FOR, between)


async def sealing_complete(tx: Transaction, one: Expected) -> bool:
    """Tell whether everything is here that the sealing names by which `one` came, for its desk (ATT-7)."""
    named = {"of": one.message_id, "sealing": one.envelope_id, "recipient": one.recipient_desk}
    return not await tx.connection.scalar(_OF_SEALING, named)


async def current(tx: Transaction, one: Expected) -> bool:
    """Tell whether `one` still waits for the bytes that it waited for when it was read."""
    row = (await tx.connection.execute(_CURRENT, {"which": one.position})).one_or_none()
    return row is not None and (row.envelope_id, row.state) == (one.envelope_id, one.state)


async def got_on(tx: Transaction, one: Expected) -> None:
    """Note that some of it came: it has not failed over and over (CON-2)."""
    await _set(tx, one.position, tries=0)


async def move(tx: Transaction, one: Expected, state: FetchState) -> None:
    """Note how far it has come."""
    await _set(tx, one.position, state=state, tries=0)


async def collected(tx: Transaction, one: Expected) -> None:
    """Note that the hub knows that one is here, unless another sealing has named it since."""
    await tx.connection.execute(_COLLECTED, {"which": one.position, "sealing": one.envelope_id})


async def postpone(tx: Transaction, one: Expected, until: int) -> None:
    """Try again at `until` (CON-2)."""
    await _set(tx, one.position, tries=one.tries + 1, next_try_at=until)


async def drop(tx: Transaction, message_id: MessageId, sender: DeskAddress, recipient_desk: DeskAddress) -> None:
    """Forget what came with a message that was taken out again."""
    await tx.connection.execute(_DROP, {"of": message_id, "sender": sender, "recipient": recipient_desk})


async def files(tx: Transaction) -> set[str]:
    """Return the name of every file that belongs to an attachment."""
    ours = await tx.connection.execute(select(attachment_out.c.blob_id))
    theirs = await tx.connection.execute(select(attachment_in.c.position, attachment_in.c.blob_id))
    return {out_file(row.blob_id) for row in ours} | {in_file(row.position, row.blob_id) for row in theirs}


async def files_of(tx: Transaction, agency: AgencyAddress) -> set[str]:
    """Return the name of every file that came from a desk of `agency`, or is to come (ATT-11)."""
    return {
        in_file(row.position, row.blob_id) for row in await tx.connection.execute(_OF_AGENCY, {"of": f"%.{agency}"})
    }


async def _set(tx: Transaction, position: int, **values: object) -> None:
    await tx.connection.execute(_CHANGE, {"which": position, **values})


def readable(tx: Transaction, rows: Iterable[Row[Any]]) -> list[Expected]:
    """Return those of these rows that the disk has not damaged."""
    found = []
    for row in rows:
        try:
            found.append(_expected(tx, row))
        except DAMAGED:
            continue  # its message is named as damaged; the others are fetched (CON-8)
    return found


def _expected(tx: Transaction, row: Row[Any]) -> Expected:
    return Expected(
        position=row.position,
        message_id=row.message_id,
        sender_desk=row.sender_desk,
        recipient_desk=row.recipient_desk,
        section=row.section,
        place=row.place,
        envelope_id=row.envelope_id,
        digest=row.digest,
        state=named(FetchState, row.state),
        tries=row.tries,
        entry=Attachment.of(cbor.decode(tx.vault.open(_IN, row.message_id, row.sealed), limit=_MAX_STORED)),
    )
