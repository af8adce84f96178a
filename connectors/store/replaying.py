# SPDX-License-Identifier: Apache-2.0
"""Every stored message once more, in the order in which they were stored, for what is made from messages alone."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import select

from connectors.store import incoming as received
from connectors.store import outgoing as sent
from connectors.store.engine import Transaction
from connectors.store.incoming import IncomingState, ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from connectors.store.tables import incoming, outgoing, recipient
from protocol.address import DeskAddress
from protocol.ids import ThreadId


@dataclass(frozen=True, slots=True)
class Stored:
    """The place of one message, ours or another's."""

    ours: bool
    position: int


BEGIN: Final = Stored(True, 0)
"""Before the first of ours; theirs follow ours."""


async def page(tx: Transaction, after: Stored, limit: int) -> tuple[list[Stored], Stored | None]:
    """Return up to `limit` messages that have their effect, and from where to go on; None at the end."""
    table = outgoing if after.ours else incoming
    statement = select(table.c.position).where(table.c.position > after.position)
    if not after.ours:
        statement = statement.where(incoming.c.state == IncomingState.DELIVERED)
    places = (await tx.connection.execute(statement.order_by(table.c.position).limit(limit))).scalars().all()
    found = [Stored(after.ours, place) for place in places]
    if len(found) == limit:
        return found, found[-1]
    return found, Stored(False, 0) if after.ours else None


async def in_thread(tx: Transaction, thread: ThreadId) -> list[Stored]:
    """Return the messages of one thread that have their effect, ours before theirs."""
    sent = select(outgoing.c.position).where(outgoing.c.thread == thread).order_by(outgoing.c.position)
    received = (
        select(incoming.c.position)
        .where(incoming.c.thread == thread, incoming.c.state == IncomingState.DELIVERED)
        .order_by(incoming.c.position)
    )
    found = [Stored(True, place) for place in (await tx.connection.execute(sent)).scalars()]
    return found + [Stored(False, place) for place in (await tx.connection.execute(received)).scalars()]


async def ours(tx: Transaction, place: Stored) -> tuple[OutgoingMessage, list[DeskAddress]]:
    """Return a message of ours and the desks that it went to."""
    message = await sent.at(tx, place.position)
    desks = await tx.connection.execute(
        select(recipient.c.desk).where(recipient.c.message_id == message.message_id).order_by(recipient.c.desk)
    )
    return message, list(desks.scalars())


async def theirs(tx: Transaction, place: Stored) -> ReceivedMessage:
    """Return a message of another's."""
    return await received.at(tx, place.position)
