# SPDX-License-Identifier: Apache-2.0
"""Every stored message once more, in the order in which they were stored, for what is made from messages alone."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import BindParameter, Row, bindparam, literal, select

from connectors.faults import DAMAGED
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


@dataclass(frozen=True, slots=True)
class Said:
    """A message as it was read: which desk sent it to which, ours or another's."""

    place: Stored
    message: OutgoingMessage | ReceivedMessage
    to: Sequence[DeskAddress]

    @property
    def at(self) -> int:
        """When it was composed, or where it is another's, accepted; in ms UTC."""
        return self.message.created_at if isinstance(self.message, OutgoingMessage) else self.message.accepted_at


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
_AT_ONCE: Final = 100
"""Messages that are read by one statement: they may be large."""
_AMONG: Final[BindParameter[Any]] = bindparam("which", expanding=True)
_ALL_OURS: Final = select(outgoing).where(outgoing.c.position.in_(_AMONG))
_ALL_THEIRS: Final = select(incoming).where(incoming.c.position.in_(_AMONG))
_ALL_DESKS: Final = (
    select(outgoing.c.position, recipient.c.desk)
    .join(recipient, recipient.c.message_id == outgoing.c.message_id)
    .where(outgoing.c.position.in_(_AMONG))
    .order_by(recipient.c.desk)
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


async def each(tx: Transaction, places: Sequence[Stored]) -> AsyncIterator[Said]:
    """Yield the messages at these places that can be read, in their order; however many, by few statements.

    What is damaged is left out: it hides no other, and whoever must tell of it looks for it by itself (CON-8).
    """
    for start in range(0, len(places), _AT_ONCE):
        wanted = places[start : start + _AT_ONCE]
        sent_at = [one.position for one in wanted if one.ours]
        came_at = [one.position for one in wanted if not one.ours]
        rows, desks = dict[Stored, Row[Any]](), dict[Stored, list[DeskAddress]]()
        if sent_at:
            found = await tx.connection.execute(_ALL_OURS, {"which": sent_at})
            rows |= {Stored(True, row.position): row for row in found}
            for position, desk in await tx.connection.execute(_ALL_DESKS, {"which": sent_at}):
                desks.setdefault(Stored(True, position), []).append(desk)
        if came_at:
            found = await tx.connection.execute(_ALL_THEIRS, {"which": came_at})
            rows |= {Stored(False, row.position): row for row in found}
        for place in wanted:
            said = _said(tx, place, rows[place], desks.get(place, [])) if place in rows else None
            if said is not None:
                yield said


def _said(tx: Transaction, place: Stored, row: Row[Any], desks: Sequence[DeskAddress]) -> Said | None:
    try:
        if place.ours:
            return Said(place, sent.read(tx, row), desks)
        came = received.read(tx, row)
        return Said(place, came, [came.recipient_desk])
    except DAMAGED:
        return None


async def theirs(tx: Transaction, place: Stored) -> ReceivedMessage:
    """Return a message of another's."""
    return await received.at(tx, place.position)
