# SPDX-License-Identifier: Apache-2.0
"""Messages of ours, as composed. A message outlives all its sealings (CON-1)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Row, bindparam, insert, select, update

from connectors.faults import is_desk, named
from connectors.store import awaited, recipients
from connectors.store.engine import Transaction
from connectors.store.recipients import Plan
from connectors.store.sequences import Direction, Line, take_next
from connectors.store.tables import outgoing
from protocol import cbor
from protocol.address import DeskAddress
from protocol.errors import KeystoreError, NotFound
from protocol.ids import MessageId, ThreadId
from protocol.rows import EnvelopeClass, as_desk
from protocol.sections import Actor, Attachment
from protocol.shapes import as_bytes, as_int, as_list, as_map, as_text, as_tuple

_PLACE: Final = "outgoing"
_MAX_STORED: Final = 8 << 20
MAX_ATTACHMENTS: Final = 64
"""Attachments of one message, in all its sections."""


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """A message as composed. `source` is what its sections are decided from again at every sealing (CON-7)."""

    message_id: MessageId
    thread: ThreadId
    klass: EnvelopeClass
    sender_desk: DeskAddress
    payload_type: str
    payload_version: int
    label: str
    actor: Actor
    created_at: int
    deadline: int
    payload: bytes = field(repr=False)
    after: tuple[MessageId, ...] = ()
    participants: tuple[DeskAddress, ...] = ()
    source: bytes = field(default=b"", repr=False)
    notes: bytes = field(default=b"", repr=False)
    """What is kept for the sender's eyes only, such as what the mapping did not understand."""
    attachments: tuple[tuple[int, Attachment], ...] = field(default=(), repr=False)
    """(section's place in the whole message from 1, manifest entry), in the order of each section's manifest."""

    def content(self) -> bytes:
        """Return the stored form of everything that is not a column."""
        fields: dict[int, cbor.Value] = {
            0: self.payload_version,
            1: self.label,
            2: self.actor.value(),
            3: self.payload,
            4: list(self.after),
            5: list(self.participants),
            6: self.source,
            7: self.notes,
        }
        if self.attachments:
            fields[8] = [[section, entry.value()] for section, entry in self.attachments]
        return cbor.encode(fields)


_ADD: Final = insert(outgoing)
_LOAD: Final = select(outgoing).where(outgoing.c.message_id == bindparam("which"))
_AT: Final = select(outgoing).where(outgoing.c.position == bindparam("place"))
_IN_THREAD: Final = (
    select(outgoing)
    .where(outgoing.c.thread == bindparam("of"), outgoing.c.payload_type == bindparam("type"))
    .order_by(outgoing.c.position)
)
_EXTEND: Final = (
    update(outgoing)
    .where(outgoing.c.message_id == bindparam("which"), outgoing.c.deadline < bindparam("until"))
    .values(deadline=bindparam("until"))
)
_NEWEST: Final = (
    select(outgoing)
    .where(outgoing.c.thread == bindparam("of"), outgoing.c.payload_type.in_(bindparam("types", expanding=True)))
    .order_by(outgoing.c.position.desc())
    .limit(1)
)


_FOLLOWING: Final = outgoing.alias("following")
_LATER: Final = (
    select(_FOLLOWING)
    .join(outgoing, outgoing.c.thread == _FOLLOWING.c.thread)
    .where(
        outgoing.c.message_id == bindparam("which"),
        _FOLLOWING.c.position > outgoing.c.position,
        _FOLLOWING.c.payload_type == bindparam("type"),
    )
    .order_by(_FOLLOWING.c.position)
)
_EARLIER: Final = outgoing.alias("earlier")
_FOLLOWED: Final = (
    select(outgoing.c.position)
    .join(_EARLIER, _EARLIER.c.thread == outgoing.c.thread)
    .where(
        _EARLIER.c.message_id == bindparam("which"),
        outgoing.c.payload_type.in_(bindparam("types", expanding=True)),
        outgoing.c.position > _EARLIER.c.position,
    )
    .limit(1)
)


async def add(tx: Transaction, message: OutgoingMessage, plans: Mapping[DeskAddress, Plan]) -> None:
    """Store `message` for the desks of `plans`; each gets the next place in its thread (SEQ-1)."""
    values = {
        "message_id": message.message_id,
        "thread": message.thread,
        "klass": int(message.klass),
        "payload_type": message.payload_type,
        "sender_desk": message.sender_desk,
        "created_at": message.created_at,
        "deadline": message.deadline,
        "sealed": tx.vault.seal(_PLACE, message.message_id, message.content()),
    }
    await tx.connection.execute(_ADD, values)
    for desk, plan in plans.items():
        line = Line.of(Direction.OUT, message.thread, message.sender_desk, desk, message.klass)
        place = await take_next(tx, line, message.message_id)
        await recipients.add(tx, message.message_id, desk, place, plan, message.created_at)
    await awaited.sent(tx, message.message_id, message.payload_type)
    await awaited.answered(tx, message.thread, message.payload_type, message.payload)


async def load(tx: Transaction, message_id: MessageId) -> OutgoingMessage:
    """Return one message of ours, or raise `NotFound`."""
    row = (await tx.connection.execute(_LOAD, {"which": message_id})).one_or_none()
    if row is None:
        raise NotFound
    return read(tx, row)


async def at(tx: Transaction, position: int) -> OutgoingMessage:
    """Return the message of ours at `position`, or raise `NotFound`."""
    row = (await tx.connection.execute(_AT, {"place": position})).one_or_none()
    if row is None:
        raise NotFound
    return read(tx, row)


async def in_thread(tx: Transaction, thread: ThreadId, payload_type: str) -> list[OutgoingMessage]:
    """Return our messages of a type in a thread, oldest first."""
    rows = await tx.connection.execute(_IN_THREAD, {"of": thread, "type": payload_type})
    return [read(tx, row) for row in rows]


async def newest(tx: Transaction, thread: ThreadId, payload_types: Collection[str]) -> OutgoingMessage | None:
    """Return the newest of our messages of these types in a thread, or None."""
    asked = {"of": thread, "types": sorted(payload_types)}
    row = (await tx.connection.execute(_NEWEST, asked)).one_or_none()
    return None if row is None else read(tx, row)


async def is_followed_by(tx: Transaction, message_id: MessageId, payload_types: Collection[str]) -> bool:
    """Tell whether a later message of ours in the thread of this one is of one of these types."""
    return await tx.connection.scalar(_FOLLOWED, {"which": message_id, "types": sorted(payload_types)}) is not None


async def later(tx: Transaction, message_id: MessageId, payload_type: str) -> list[OutgoingMessage]:
    """Return our messages of a type in the thread of this one that came after it, oldest first."""
    rows = await tx.connection.execute(_LATER, {"which": message_id, "type": payload_type})
    return [read(tx, row) for row in rows]


def read(tx: Transaction, row: Row[Any]) -> OutgoingMessage:
    """Return the message of ours of a whole row; `KeystoreError` or `MalformedEnvelope` where it is damaged."""
    if not is_desk(row.sender_desk):
        raise KeystoreError("A stored message names no desk: the store is damaged.")
    stored = cbor.decode(tx.vault.open(_PLACE, row.message_id, row.sealed), limit=_MAX_STORED)
    fields = as_map(stored, 9 if isinstance(stored, dict) and 8 in stored else 8)
    return OutgoingMessage(
        message_id=row.message_id,
        thread=row.thread,
        klass=named(EnvelopeClass, row.klass),
        sender_desk=row.sender_desk,
        payload_type=row.payload_type,
        payload_version=as_int(fields[0]),
        label=as_text(fields[1], most=100),
        actor=Actor.of(fields[2]),
        created_at=row.created_at,
        deadline=row.deadline,
        payload=as_bytes(fields[3]),
        after=tuple(MessageId(as_bytes(item)) for item in as_list(fields[4], most=100)),
        participants=tuple(as_desk(item) for item in as_list(fields[5], most=100)),
        source=as_bytes(fields[6]),
        notes=as_bytes(fields[7]),
        attachments=tuple(
            (as_int(section), Attachment.of(entry))
            for section, entry in (as_tuple(item, 2) for item in as_list(fields.get(8, []), most=MAX_ATTACHMENTS))
        ),
    )


async def extend(tx: Transaction, message_id: MessageId, until: int) -> None:
    """Go on sending a message until `until` (ms UTC), if its deadline is earlier."""
    await tx.connection.execute(_EXTEND, {"which": message_id, "until": until})
