# SPDX-License-Identifier: Apache-2.0
"""Every stored message once more, in the order in which they were stored, for what is made from messages alone."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, literal, select

from connectors.store import incoming as received
from connectors.store import outgoing as sent
from connectors.store.engine import Transaction
from connectors.store.incoming import IncomingState, ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from connectors.store.speaking import SPOKEN
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


_OURS: Final = (
    select(outgoing.c.position)
    .where(outgoing.c.position > bindparam("place"))
    .order_by(outgoing.c.position)
    .limit(bindparam("most"))
)
_THEIRS: Final = (
    select(incoming.c.position)
    .where(incoming.c.position > bindparam("place"), incoming.c.state == IncomingState.DELIVERED)
    .order_by(incoming.c.position)
    .limit(bindparam("most"))
)
_SPOKEN: Final = [literal(kind) for kind in sorted(SPOKEN)]
_SENT: Final = (
    select(outgoing.c.position)
    .where(outgoing.c.thread == bindparam("of"), outgoing.c.payload_type.in_(_SPOKEN))
    .order_by(outgoing.c.position)
)
_RECEIVED: Final = (
    select(incoming.c.position)
    .where(
        incoming.c.thread == bindparam("of"),
        incoming.c.state == IncomingState.DELIVERED,
        incoming.c.payload_type.in_(_SPOKEN),
    )
    .order_by(incoming.c.position)
)
_DESKS: Final = select(recipient.c.desk).where(recipient.c.message_id == bindparam("of")).order_by(recipient.c.desk)


async def page(tx: Transaction, after: Stored, limit: int) -> tuple[list[Stored], Stored | None]:
    """Return up to `limit` messages that have their effect, and from where to go on; None at the end."""
    places = await tx.connection.scalars(_OURS if after.ours else _THEIRS, {"place": after.position, "most": limit})
    found = [Stored(after.ours, place) for place in places]
    if len(found) == limit:
        return found, found[-1]
    return found, Stored(False, 0) if after.ours else None


async def in_thread(tx: Transaction, thread: ThreadId) -> list[Stored]:
    """Return the messages of one thread that say something and have their effect, ours before theirs."""
    found = [Stored(True, place) for place in await tx.connection.scalars(_SENT, {"of": thread})]
    return found + [Stored(False, place) for place in await tx.connection.scalars(_RECEIVED, {"of": thread})]


async def ours(tx: Transaction, place: Stored) -> tuple[OutgoingMessage, list[DeskAddress]]:
    """Return a message of ours and the desks that it went to."""
    message = await sent.at(tx, place.position)
    return message, list(await tx.connection.scalars(_DESKS, {"of": message.message_id}))


async def theirs(tx: Transaction, place: Stored) -> ReceivedMessage:
    """Return a message of another's."""
    return await received.at(tx, place.position)
