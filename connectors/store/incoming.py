# SPDX-License-Identifier: Apache-2.0
"""Verified messages of others, each with one effect however often it comes (ENV-19, CON-3)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Row, and_, bindparam, delete, exists, func, insert, literal_column, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.faults import is_desk, named
from connectors.store.engine import Transaction
from connectors.store.sequences import MAIN, Direction, Line
from connectors.store.tables import BARE, incoming, replay, sequence
from connectors.store.threadtables import awaited
from protocol import cbor, limits
from protocol.address import AgencyAddress, DeskAddress
from protocol.errors import NotFound
from protocol.ids import ID_SIZE, EnvelopeId, KeyId, MessageId, ThreadId
from protocol.rows import EnvelopeClass
from protocol.sections import Actor, as_agency
from protocol.shapes import as_bytes, as_int, as_list, as_map, as_text, as_tuple

_PLACE: Final = "incoming"
_SLICE_PLACE: Final = "incoming slice"
_MAX_STORED: Final = 8 << 20


class IncomingState(StrEnum):
    """Whether a message has its effect or waits for the one before it (SEQ-1)."""

    DELIVERED = "delivered"
    HELD = "held"


@dataclass(frozen=True, slots=True)
class ReceivedSection:
    """One section as opened."""

    number: int
    category: str
    purpose: str
    label: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """A message as verified and stored; times in ms UTC."""

    message_id: MessageId
    thread: ThreadId
    klass: EnvelopeClass
    payload_type: str
    payload_version: int
    sender_desk: DeskAddress
    recipient_desk: DeskAddress
    agency: AgencyAddress
    device_id: KeyId
    actor: Actor
    envelope_id: EnvelopeId
    digest: bytes
    seq: int
    previous: MessageId | None
    state: IncomingState
    label: str
    leaf_index: int
    accepted_at: int
    received_at: int
    marks: tuple[str, ...]
    payload: bytes = field(repr=False)
    sections: tuple[ReceivedSection, ...] = field(repr=False)
    position: int = 0
    after: tuple[MessageId, ...] = ()
    """What its sender had of us when it was composed, as its claims say."""

    def content(self) -> bytes:
        """Return the stored form of everything that is not a column."""
        sections: list[cbor.Value] = [[s.number, s.category, s.purpose, s.label, s.body] for s in self.sections]
        fields: dict[int, cbor.Value] = {
            0: self.payload_version,
            1: self.agency,
            2: self.device_id,
            3: self.actor.value(),
            4: self.label,
            5: list(self.marks),
            6: self.payload,
            7: sections,
        }
        if self.after:
            fields[8] = list(self.after)
        return cbor.encode(fields)


@dataclass(frozen=True, slots=True)
class Came:
    """What is known of a message that came without opening what it holds; `leaf_index` is its place in the log."""

    sender_desk: DeskAddress
    recipient_desk: DeskAddress
    thread: ThreadId
    payload_type: str
    leaf_index: int


_SEEN: Final = select(replay.c.envelope_id).where(replay.c.envelope_id.in_(bindparam("which", expanding=True)))
_MARK_SEEN: Final = (
    upsert(replay).on_conflict_do_nothing(index_elements=replay.primary_key).returning(replay.c.received_at)
)
_KNOWN: Final = select(incoming).where(
    incoming.c.message_id == bindparam("which"),
    incoming.c.sender_desk == bindparam("sender"),
    incoming.c.recipient_desk == bindparam("recipient"),
)
_ADD: Final = insert(incoming)
_ON_LINE: Final = and_(
    incoming.c.thread == bindparam("of"),
    incoming.c.sender_desk == bindparam("sender"),
    incoming.c.recipient_desk == bindparam("recipient"),
    incoming.c.state == IncomingState.HELD,
)
_HELD_OF: Final = select(
    func.count().label("messages"), func.coalesce(func.sum(func.length(incoming.c.sealed_slice)), 0).label("size")
).where(
    # As the index has it, which a parameter would not let SQLite see.
    incoming.c.state == literal_column("'held'"),
    incoming.c.sender_desk.endswith(bindparam("of")),
)
_HELD: Final = select(incoming).where(_ON_LINE, incoming.c.seq == bindparam("number"))
_WAITING: Final = select(incoming.c.seq, incoming.c.previous).where(
    _ON_LINE, incoming.c.seq.between(bindparam("number"), bindparam("number") + 1)
)
_GAP_CLOSED: Final = select(sequence.c.thread, sequence.c.sender_desk, sequence.c.recipient_desk).where(
    sequence.c.direction == Direction.IN,
    sequence.c.lane == MAIN,
    # From the lines to the messages: there are fewer lines, and an index finds what may wait on each.
    exists().where(
        incoming.c.thread == sequence.c.thread,
        incoming.c.sender_desk == sequence.c.sender_desk,
        incoming.c.recipient_desk == sequence.c.recipient_desk,
        incoming.c.seq == sequence.c.next_seq,
        incoming.c.state == IncomingState.HELD,
    ),
)
_FIND: Final = (
    select(incoming)
    .where(incoming.c.message_id == bindparam("which"), incoming.c.payload_type == bindparam("type"))
    .order_by(incoming.c.position)
)
_UNDER: Final = (
    select(
        incoming.c.sender_desk,
        incoming.c.recipient_desk,
        incoming.c.thread,
        incoming.c.payload_type,
        incoming.c.leaf_index,
    )
    .where(incoming.c.message_id == bindparam("which"))
    .order_by(incoming.c.position)
)
_IN_THREAD: Final = (
    select(incoming)
    .where(
        incoming.c.thread == bindparam("of"),
        incoming.c.payload_type == bindparam("type"),
        incoming.c.state == IncomingState.DELIVERED,
    )
    .order_by(incoming.c.leaf_index)
)
_NEWEST: Final = select(incoming).order_by(incoming.c.leaf_index.desc()).limit(1)
_AT: Final = incoming.c.position == bindparam("place")
_LOAD: Final = select(incoming).where(_AT)
_SLICE: Final = select(incoming.c.sealed_slice).where(_AT)
_RELEASE: Final = update(incoming).where(_AT).values(state=IncomingState.DELIVERED)
_HOLDS_BEFORE: Final = select(exists().where(_ON_LINE, incoming.c.seq < bindparam("number")))
_REMOVE: Final = delete(incoming).where(_AT)
_FORGET: Final = delete(awaited).where(awaited.c.ours == 0, awaited.c.position == bindparam("place"))


async def seen(tx: Transaction, envelope_ids: Sequence[EnvelopeId]) -> set[EnvelopeId]:
    """Return which of these envelopes were verified here before, by whichever process (ENV-19)."""
    return set(await tx.connection.scalars(_SEEN, {"which": envelope_ids}))


async def mark_seen(tx: Transaction, envelope_id: EnvelopeId, now: int) -> bool:
    """Put a verified envelope id into the replay cache; False if another process did so first."""
    values = {"envelope_id": envelope_id, "received_at": now}
    return await tx.connection.scalar(_MARK_SEEN, values) is not None


async def known(
    tx: Transaction, message_id: MessageId, sender: DeskAddress, recipient: DeskAddress
) -> ReceivedMessage | None:
    """Return the message of that id between these desks if it has had its effect or is held, else None.

    The desks belong to the question: an agency that repeats another's message_id must not suppress it.
    """
    values = {"which": message_id, "sender": sender, "recipient": recipient}
    row = (await tx.connection.execute(_KNOWN, values)).one_or_none()
    return None if row is None else read(tx, row)


async def add(tx: Transaction, message: ReceivedMessage, raw_slice: bytes) -> None:
    """Store a verified message and the bytes that prove it."""
    row = _row(message.message_id, message.sender_desk, message.recipient_desk)
    values = {
        "sender_desk": message.sender_desk,
        "recipient_desk": message.recipient_desk,
        "message_id": message.message_id,
        "thread": message.thread,
        "klass": int(message.klass),
        "payload_type": message.payload_type,
        "envelope_id": message.envelope_id,
        "digest": message.digest,
        "seq": message.seq,
        "previous": message.previous,
        "state": message.state,
        "leaf_index": message.leaf_index,
        "accepted_at": message.accepted_at,
        "received_at": message.received_at,
        "sealed": tx.vault.seal(_PLACE, row, message.content()),
        "sealed_slice": tx.vault.seal(_SLICE_PLACE, row, raw_slice),
    }
    await tx.connection.execute(_ADD, values)


async def held(tx: Transaction, line: Line, seq: int) -> ReceivedMessage | None:
    """Return the message that waits at `seq` of `line`, or None."""
    row = (await tx.connection.execute(_HELD, _at_seq(line, seq))).one_or_none()
    return None if row is None else read(tx, row)


async def held_of(tx: Transaction, agency: AgencyAddress) -> tuple[int, int]:
    """Return how many messages of `agency` wait for earlier ones, and how many bytes their slices have."""
    row = (await tx.connection.execute(_HELD_OF, {"of": f".{agency}"})).one()
    return row.messages, row.size


async def waiting(tx: Transaction, line: Line, seq: int) -> dict[int, MessageId | None]:
    """Return which of `seq` and the place after it messages of `line` wait at, each with the one that it follows."""
    rows = await tx.connection.execute(_WAITING, _at_seq(line, seq))
    return {row.seq: row.previous for row in rows}


async def holds_before(tx: Transaction, line: Line, seq: int) -> bool:
    """Tell whether a message waits on `line` before the place `seq`."""
    return bool(await tx.connection.scalar(_HOLDS_BEFORE, _at_seq(line, seq)))


async def gap_closed(tx: Transaction) -> list[Line]:
    """Return the lines on which a message is held although what came before it has had its effect."""
    rows = await tx.connection.execute(_GAP_CLOSED)
    return [Line(Direction.IN, row.thread, row.sender_desk, row.recipient_desk, MAIN) for row in rows]


async def release(tx: Transaction, message: ReceivedMessage) -> None:
    """Let a held message have its effect: the gap before it has closed."""
    await tx.connection.execute(_RELEASE, {"place": message.position})


async def remove(tx: Transaction, message: ReceivedMessage) -> bytes:
    """Take out a held message that turned out to stand on a fork; returns its slice for the quarantine (SEQ-2)."""
    raw = await slice_of(tx, message)
    await tx.connection.execute(_REMOVE, {"place": message.position})
    await tx.connection.execute(_FORGET, {"place": message.position})
    return raw


async def slice_of(tx: Transaction, message: ReceivedMessage) -> bytes:
    """Return the bytes that a message came in, its acceptance receipt among them."""
    sealed = (await tx.connection.execute(_SLICE, {"place": message.position})).scalar_one()
    return tx.vault.open(_SLICE_PLACE, _row(message.message_id, message.sender_desk, message.recipient_desk), sealed)


async def newest(tx: Transaction) -> ReceivedMessage | None:
    """Return the message that stands last in the hub's log, or None."""
    row = (await tx.connection.execute(_NEWEST)).one_or_none()
    return None if row is None else read(tx, row)


async def find(tx: Transaction, message_id: MessageId, payload_type: str) -> list[ReceivedMessage]:
    """Return the messages of that id and type, one for each of our desks and each sender that used the id."""
    rows = await tx.connection.execute(_FIND, {"which": message_id, "type": payload_type})
    return [read(tx, row) for row in rows]


async def under(tx: Transaction, message_id: MessageId) -> list[Came]:
    """Return what came under an id, of whatever kind: senders choose ids, so it can be of several of them (CON-9).

    What names no sender any more, for the disk has damaged it, cannot be told apart and is left out.
    """
    came = [Came(*row) for row in await tx.connection.execute(_UNDER, {"which": message_id})]
    return [one for one in came if is_desk(one.sender_desk)]


async def in_thread(tx: Transaction, thread: ThreadId, payload_type: str) -> list[ReceivedMessage]:
    """Return the messages of a type in a thread that have their effect, oldest first."""
    rows = await tx.connection.execute(_IN_THREAD, {"of": thread, "type": payload_type})
    return [read(tx, row) for row in rows]


async def at(tx: Transaction, position: int) -> ReceivedMessage:
    """Return the message at `position`, or raise `NotFound`."""
    row = (await tx.connection.execute(_LOAD, {"place": position})).one_or_none()
    if row is None:
        raise NotFound
    return read(tx, row)


async def counts(tx: Transaction) -> dict[IncomingState, int]:
    """Return how many messages with content (no receipts) stand in each state."""
    rows = await tx.connection.execute(
        select(incoming.c.state, func.count()).where(incoming.c.klass.not_in(BARE)).group_by(incoming.c.state)
    )
    found = {row[0]: row[1] for row in rows}
    return {state: found.get(state, 0) for state in IncomingState}


def _at_seq(line: Line, seq: int) -> dict[str, object]:
    return {"of": line.thread, "sender": line.sender, "recipient": line.recipient, "number": seq}


def read(tx: Transaction, row: Row[Any]) -> ReceivedMessage:
    """Return the message of another's of a whole row; `KeystoreError` or `MalformedEnvelope` where it is damaged."""
    place = _row(row.message_id, row.sender_desk, row.recipient_desk)
    stored = cbor.decode(tx.vault.open(_PLACE, place, row.sealed), limit=_MAX_STORED)
    fields = as_map(stored, 9 if isinstance(stored, dict) and 8 in stored else 8)
    after = as_list(fields.get(8, []), most=limits.MAX_AFTER)
    return ReceivedMessage(
        message_id=row.message_id,
        thread=row.thread,
        klass=named(EnvelopeClass, row.klass),
        payload_type=row.payload_type,
        payload_version=as_int(fields[0]),
        sender_desk=row.sender_desk,
        recipient_desk=row.recipient_desk,
        agency=as_agency(fields[1]),
        device_id=KeyId(as_bytes(fields[2])),
        actor=Actor.of(fields[3]),
        envelope_id=row.envelope_id,
        digest=row.digest,
        seq=row.seq,
        previous=row.previous,
        state=named(IncomingState, row.state),
        label=as_text(fields[4], most=limits.MAX_CODE),
        leaf_index=row.leaf_index,
        accepted_at=row.accepted_at,
        received_at=row.received_at,
        marks=tuple(as_text(item, most=limits.MAX_CODE) for item in as_list(fields[5], most=10)),
        payload=as_bytes(fields[6]),
        sections=tuple(_section(item) for item in as_list(fields[7], most=limits.MAX_SECTIONS)),
        position=row.position,
        after=tuple(MessageId(as_bytes(one, size=ID_SIZE)) for one in after),
    )


def _section(value: cbor.Value) -> ReceivedSection:
    number, category, purpose, label, body = as_tuple(value, 5)
    return ReceivedSection(
        number=as_int(number),
        category=as_text(category, most=limits.MAX_CODE),
        purpose=as_text(purpose, most=limits.MAX_CODE),
        label=as_text(label, most=limits.MAX_CODE),
        body=as_bytes(body),
    )


def _row(message_id: MessageId, sender: DeskAddress, recipient: DeskAddress) -> bytes:
    return cbor.encode([message_id, sender, recipient])
