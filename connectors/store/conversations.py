# SPDX-License-Identifier: Apache-2.0
"""The messages of some threads, both ways; which of them wait for another, and which nobody has opened yet."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from sqlalchemy import and_, func, select

from connectors.store.engine import Transaction
from connectors.store.incoming import IncomingState
from connectors.store.recipients import RecipientState
from connectors.store.replaying import Stored
from connectors.store.sequences import MAIN, Direction
from connectors.store.tables import BARE, incoming, outgoing, recipient, sequence
from protocol.address import DeskAddress
from protocol.ids import MessageId, ThreadId


async def of(tx: Transaction, threads: Collection[ThreadId], kinds: Collection[str]) -> Sequence[Stored]:
    """Return the places of the messages of these threads and kinds that have their effect."""
    sent = await tx.connection.execute(
        select(outgoing.c.position).where(outgoing.c.thread.in_(threads), outgoing.c.payload_type.in_(kinds))
    )
    received = await tx.connection.execute(
        select(incoming.c.position).where(
            incoming.c.thread.in_(threads),
            incoming.c.payload_type.in_(kinds),
            incoming.c.state == IncomingState.DELIVERED,
        )
    )
    return [Stored(True, place) for place in sent.scalars()] + [Stored(False, place) for place in received.scalars()]


@dataclass(frozen=True, slots=True)
class Waiting:
    """Messages of one sender in one thread that wait for one before them; `missing` is its number."""

    thread: ThreadId
    sender: DeskAddress
    missing: int
    waiting: int
    since: int


async def gaps(tx: Transaction, threads: Collection[ThreadId]) -> Sequence[Waiting]:
    """Return what is missing in these threads, as far as what came shows (SEQ-1)."""
    rows = await tx.connection.execute(
        select(
            incoming.c.thread,
            incoming.c.sender_desk,
            func.coalesce(func.max(sequence.c.next_seq), 1),
            func.count(),
            func.min(incoming.c.received_at),
        )
        .join(
            sequence,
            and_(
                sequence.c.direction == Direction.IN,
                sequence.c.thread == incoming.c.thread,
                sequence.c.sender_desk == incoming.c.sender_desk,
                sequence.c.recipient_desk == incoming.c.recipient_desk,
                sequence.c.lane == MAIN,
            ),
            isouter=True,
        )
        .where(incoming.c.thread.in_(threads), incoming.c.state == IncomingState.HELD)
        .group_by(incoming.c.thread, incoming.c.sender_desk, incoming.c.recipient_desk)
        .order_by(incoming.c.thread, incoming.c.sender_desk)
    )
    return [Waiting(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Unopened:
    """A message of ours that one desk has not opened; `since` in ms UTC."""

    message_id: MessageId
    thread: ThreadId
    desk: DeskAddress
    state: str
    since: int


async def unopened(tx: Transaction, threads: Collection[ThreadId]) -> Sequence[Unopened]:
    """Return what of ours was not opened in these threads, the oldest first; receipts and notices are left out."""
    rows = await tx.connection.execute(
        select(outgoing.c.message_id, outgoing.c.thread, recipient.c.desk, recipient.c.state, outgoing.c.created_at)
        .join(recipient, recipient.c.message_id == outgoing.c.message_id)
        .where(
            outgoing.c.thread.in_(threads),
            outgoing.c.klass.not_in(BARE),
            recipient.c.state != RecipientState.OPENED,
        )
        .order_by(outgoing.c.position, recipient.c.desk)
    )
    return [Unopened(*row) for row in rows]
