# SPDX-License-Identifier: Apache-2.0
"""Messages of ours and how far each has come at each desk. A message outlives all its sealings (CON-1)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, func, insert, select, update

from connectors.store.engine import Transaction
from connectors.store.sequences import Direction, Line, take_next
from connectors.store.tables import outgoing, recipient
from protocol import cbor
from protocol.address import DeskAddress
from protocol.errors import NotFound
from protocol.ids import EnvelopeId, MessageId, ThreadId
from protocol.rows import EnvelopeClass, as_desk
from protocol.sections import Actor
from protocol.shapes import as_bytes, as_int, as_list, as_map, as_text, as_tuple

_PLACE: Final = "outgoing"
_PLAN_PLACE: Final = "recipient"
_MAX_STORED: Final = 8 << 20


class RecipientState(StrEnum):
    """How far a message has come at one desk."""

    QUEUED = "queued"
    """To be sealed: for the first time, or anew (SEQ-4)."""
    SEALED = "sealed"
    """Sealed bytes are stored and being sent."""
    ACCEPTED = "accepted"
    OPENED = "opened"
    FAILED = "failed"
    EXPIRED = "expired"


OPEN_STATES: Final = (RecipientState.QUEUED, RecipientState.SEALED)
FINAL_STATES: Final = (RecipientState.OPENED, RecipientState.FAILED, RecipientState.EXPIRED)
"""Nothing follows these, except that a late A1 turns a failure into a success: it proves what happened."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What one desk gets: (section number, category), and what is withheld: (category, reason) (CON-7)."""

    going: tuple[tuple[int, str], ...] = ()
    withheld: tuple[tuple[str, str], ...] = ()

    def encode(self) -> bytes:
        """Return the stored form."""
        return cbor.encode([[list(item) for item in self.going], [list(item) for item in self.withheld]])

    @classmethod
    def parse(cls, data: bytes) -> "Plan":
        """Read the stored form."""
        going, withheld = as_tuple(cbor.decode(data, limit=65_536), 2)
        return cls(
            tuple((as_int(n), as_text(c, most=100)) for n, c in (as_tuple(i, 2) for i in as_list(going, most=100))),
            tuple(
                (as_text(c, most=100), as_text(r, most=200))
                for c, r in (as_tuple(i, 2) for i in as_list(withheld, most=100))
            ),
        )


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

    def content(self) -> bytes:
        """Return the stored form of everything that is not a column."""
        return cbor.encode(
            {
                0: self.payload_version,
                1: self.label,
                2: self.actor.value(),
                3: self.payload,
                4: list(self.after),
                5: list(self.participants),
                6: self.source,
                7: self.notes,
            }
        )


@dataclass(frozen=True, slots=True)
class RecipientRow:
    """One desk of one message; times in ms UTC."""

    message_id: MessageId
    desk: DeskAddress
    seq: int
    previous: MessageId | None
    state: RecipientState
    seals: int
    complaints: int
    next_try_at: int
    envelope_id: EnvelopeId | None
    error: str | None
    accepted_at: int | None
    opened_at: int | None
    plan: Plan


async def add(tx: Transaction, message: OutgoingMessage, plans: Mapping[DeskAddress, Plan]) -> None:
    """Store `message` for the desks of `plans`; each gets the next place in its thread (SEQ-1)."""
    await tx.connection.execute(
        insert(outgoing).values(
            message_id=message.message_id,
            thread=message.thread,
            klass=int(message.klass),
            payload_type=message.payload_type,
            sender_desk=message.sender_desk,
            created_at=message.created_at,
            deadline=message.deadline,
            sealed=tx.vault.seal(_PLACE, message.message_id, message.content()),
        )
    )
    for desk, plan in plans.items():
        line = Line.of(Direction.OUT, message.thread, message.sender_desk, desk, message.klass)
        place = await take_next(tx, line, message.message_id)
        await tx.connection.execute(
            insert(recipient).values(
                message_id=message.message_id,
                desk=desk,
                seq=place.seq,
                previous=place.last,
                state=RecipientState.QUEUED,
                seals=0,
                complaints=0,
                next_try_at=message.created_at,
                sealed=tx.vault.seal(_PLAN_PLACE, _row(message.message_id, desk), plan.encode()),
            )
        )


async def load(tx: Transaction, message_id: MessageId) -> OutgoingMessage:
    """Return one message of ours, or raise `NotFound`."""
    return await _load(tx, outgoing.c.message_id == message_id)


async def at(tx: Transaction, position: int) -> OutgoingMessage:
    """Return the message of ours at `position`, or raise `NotFound`."""
    return await _load(tx, outgoing.c.position == position)


async def _load(tx: Transaction, condition: ColumnElement[bool]) -> OutgoingMessage:
    row = (await tx.connection.execute(select(outgoing).where(condition))).one_or_none()
    if row is None:
        raise NotFound
    fields = as_map(cbor.decode(tx.vault.open(_PLACE, row.message_id, row.sealed), limit=_MAX_STORED), 8)
    return OutgoingMessage(
        message_id=row.message_id,
        thread=row.thread,
        klass=EnvelopeClass(row.klass),
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
    )


async def recipients(tx: Transaction, message_id: MessageId) -> list[RecipientRow]:
    """Return the desks of a message, in the order of their addresses."""
    rows = await tx.connection.execute(
        select(recipient).where(recipient.c.message_id == message_id).order_by(recipient.c.desk)
    )
    return [_recipient(tx, row) for row in rows]


async def desk_of(tx: Transaction, message_id: MessageId, desk: DeskAddress) -> RecipientRow:
    """Return one desk of a message of ours; `NotFound` if it never was a recipient."""
    row = (
        await tx.connection.execute(
            select(recipient).where(recipient.c.message_id == message_id, recipient.c.desk == desk)
        )
    ).one_or_none()
    if row is None:
        raise NotFound
    return _recipient(tx, row)


def _recipient(tx: Transaction, row: Row[Any]) -> RecipientRow:
    return RecipientRow(
        message_id=row.message_id,
        desk=row.desk,
        seq=row.seq,
        previous=row.previous,
        state=RecipientState(row.state),
        seals=row.seals,
        complaints=row.complaints,
        next_try_at=row.next_try_at,
        envelope_id=row.envelope_id,
        error=row.error,
        accepted_at=row.accepted_at,
        opened_at=row.opened_at,
        plan=Plan.parse(tx.vault.open(_PLAN_PLACE, _row(row.message_id, row.desk), row.sealed)),
    )


async def to_seal(tx: Transaction, now: int, limit: int) -> list[MessageId]:
    """Return messages that have a desk to be sealed for now, oldest first."""
    rows = await tx.connection.execute(
        select(recipient.c.message_id)
        .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
        .where(recipient.c.state == RecipientState.QUEUED, recipient.c.next_try_at <= now)
        .group_by(recipient.c.message_id)
        .order_by(func.min(outgoing.c.position))
        .limit(limit)
    )
    return list(rows.scalars())


async def next_sealing_at(tx: Transaction) -> int | None:
    """Return when the next desk is to be sealed for, in ms UTC, or None if there is none."""
    at: int | None = (
        await tx.connection.execute(
            select(func.min(recipient.c.next_try_at)).where(recipient.c.state == RecipientState.QUEUED)
        )
    ).scalar_one()
    return at


async def _set(tx: Transaction, message_id: MessageId, desks: Sequence[DeskAddress], **values: object) -> None:
    await tx.connection.execute(
        update(recipient)
        .where(
            and_(
                recipient.c.message_id == message_id,
                recipient.c.desk.in_(list(desks)),
                recipient.c.state.not_in(FINAL_STATES),
            )
        )
        .values(**values)
    )


async def wait(tx: Transaction, message_id: MessageId, desk: DeskAddress, *, until: int, error: str) -> None:
    """Keep a desk queued until `until`, and show why (CON-2)."""
    await _set(tx, message_id, [desk], state=RecipientState.QUEUED, next_try_at=until, error=error)


async def wake(tx: Transaction, now: int) -> None:
    """Look again now at all desks that wait for another agency: the directory has changed."""
    await tx.connection.execute(
        update(recipient)
        .where(recipient.c.state == RecipientState.QUEUED, recipient.c.next_try_at > now)
        .values(next_try_at=now)
    )


async def requeue(tx: Transaction, row: RecipientRow, *, now: int, error: str | None, complained: bool = False) -> None:
    """Have a desk sealed for anew, under the same message_id and place (SEQ-4)."""
    await _set(
        tx,
        row.message_id,
        [row.desk],
        state=RecipientState.QUEUED,
        next_try_at=now,
        error=error,
        accepted_at=None,
        complaints=row.complaints + int(complained),
    )


async def fail(tx: Transaction, message_id: MessageId, desks: Sequence[DeskAddress], error: str) -> None:
    """Give up on desks for a permanent reason, which is shown (CON-2)."""
    await _set(tx, message_id, desks, state=RecipientState.FAILED, error=error)


async def expire(tx: Transaction, message_id: MessageId, desks: Sequence[DeskAddress]) -> None:
    """Note that the message's deadline passed before these desks opened it."""
    await _set(tx, message_id, desks, state=RecipientState.EXPIRED, error="expired")


async def sealed(tx: Transaction, row: RecipientRow, envelope_id: EnvelopeId, plan: Plan) -> None:
    """Note that a desk was sealed for in `envelope_id`, with what it gets."""
    await _set(
        tx,
        row.message_id,
        [row.desk],
        state=RecipientState.SEALED,
        seals=row.seals + 1,
        envelope_id=envelope_id,
        error=None,
        sealed=tx.vault.seal(_PLAN_PLACE, _row(row.message_id, row.desk), plan.encode()),
    )


async def accepted(tx: Transaction, envelope_id: EnvelopeId, at: int) -> None:
    """Note that the hub accepted `envelope_id` at `at`, for the desks whose newest sealing it is.

    A1 may have come before the hub's answer did; it is not taken back.
    """
    newest = recipient.c.envelope_id == envelope_id
    await tx.connection.execute(update(recipient).where(newest).values(accepted_at=at))
    await tx.connection.execute(
        update(recipient)
        .where(newest, recipient.c.state == RecipientState.SEALED)
        .values(state=RecipientState.ACCEPTED, error=None)
    )


async def opened(tx: Transaction, message_id: MessageId, desk: DeskAddress, at: int) -> None:
    """Note that a desk opened the message (A1); nothing that follows can take that back."""
    await tx.connection.execute(
        update(recipient)
        .where(
            recipient.c.message_id == message_id,
            recipient.c.desk == desk,
            recipient.c.state != RecipientState.OPENED,
        )
        .values(state=RecipientState.OPENED, opened_at=at, error=None)
    )


async def overdue(tx: Transaction, now: int) -> list[tuple[MessageId, DeskAddress]]:
    """Return the desks that are still to be sealed for or sent to although the message's deadline passed."""
    rows = await tx.connection.execute(
        select(recipient.c.message_id, recipient.c.desk)
        .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
        .where(recipient.c.state.in_(OPEN_STATES), outgoing.c.deadline <= now)
    )
    return [(row.message_id, row.desk) for row in rows]


async def overtaken(tx: Transaction, message: OutgoingMessage, row: RecipientRow) -> bool:
    """Tell whether the desk opened a later message of the thread but not this one: somebody withholds it."""
    later = (
        select(recipient.c.seq)
        .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
        .where(
            outgoing.c.thread == message.thread,
            outgoing.c.sender_desk == message.sender_desk,
            outgoing.c.klass == int(message.klass),
            recipient.c.desk == row.desk,
            recipient.c.seq > row.seq,
            recipient.c.state == RecipientState.OPENED,
        )
        .limit(1)
    )
    if row.state not in (RecipientState.SEALED, RecipientState.ACCEPTED):
        return False
    return (await tx.connection.execute(later)).scalar_one_or_none() is not None


async def counts(tx: Transaction) -> dict[RecipientState, int]:
    """Return how many (message, desk) pairs stand in each state."""
    rows = await tx.connection.execute(select(recipient.c.state, func.count()).group_by(recipient.c.state))
    found = {RecipientState(state): number for state, number in rows}
    return {state: found.get(state, 0) for state in RecipientState}


def _row(message_id: MessageId, desk: DeskAddress) -> bytes:
    return message_id + desk.encode()
