# SPDX-License-Identifier: Apache-2.0
"""Messages of some payload types in both directions, newest first, page by page."""

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import String, literal, select, tuple_, union_all

from connectors.faults import desk_of_row
from connectors.store.engine import Transaction
from connectors.store.tables import incoming, outgoing, recipient
from protocol.address import DeskAddress
from protocol.ids import MessageId, ThreadId

SENT = "sent"
RECEIVED = "received"


@dataclass(frozen=True, slots=True, order=True)
class Entry:
    """One message: when it was queued here or accepted by the hub (ms UTC), which way it went, its row."""

    at: int
    direction: str
    position: int


@dataclass(frozen=True, slots=True)
class Clear:
    """What stands in clear of a message: what is left of one whose content cannot be read any more."""

    message_id: MessageId
    thread: ThreadId
    sender: DeskAddress
    recipients: list[DeskAddress]


async def clear(tx: Transaction, entry: Entry) -> Clear:
    """Return what the columns say of a message, without opening anything."""
    if entry.direction == SENT:
        row = (await tx.connection.execute(select(outgoing).where(outgoing.c.position == entry.position))).one()
        desks = await tx.connection.execute(
            select(recipient.c.desk).where(recipient.c.message_id == row.message_id).order_by(recipient.c.desk)
        )
        return Clear(row.message_id, row.thread, desk_of_row(row.sender_desk), list(desks.scalars()))
    row = (await tx.connection.execute(select(incoming).where(incoming.c.position == entry.position))).one()
    return Clear(row.message_id, row.thread, desk_of_row(row.sender_desk), [desk_of_row(row.recipient_desk)])


async def page(
    tx: Transaction,
    payload_types: Collection[str],
    *,
    direction: str | None,
    message_id: MessageId | None,
    before: Entry | None,
    limit: int,
    desks: Collection[DeskAddress] | None = None,
) -> list[Entry]:
    """Return up to `limit` entries before `before`, newest first; None as `direction` or `message_id` is any.

    Those of `desks` of ours only, where there are some: what these sent, and what came for them (CON-19).
    """
    sent = select(
        outgoing.c.created_at.label("at"), literal(SENT, String).label("direction"), outgoing.c.position
    ).where(outgoing.c.payload_type.in_(payload_types))
    received = select(
        incoming.c.accepted_at.label("at"), literal(RECEIVED, String).label("direction"), incoming.c.position
    ).where(incoming.c.payload_type.in_(payload_types))
    if message_id is not None:
        sent = sent.where(outgoing.c.message_id == message_id)
        received = received.where(incoming.c.message_id == message_id)
    if desks is not None:
        sent = sent.where(outgoing.c.sender_desk.in_(desks))
        received = received.where(incoming.c.recipient_desk.in_(desks))
    parts = {SENT: [sent], RECEIVED: [received]}.get(direction or "", [sent, received])
    entries = union_all(*parts).subquery()
    place = tuple_(entries.c.at, entries.c.direction, entries.c.position)
    statement = select(entries).order_by(entries.c.at.desc(), entries.c.direction.desc(), entries.c.position.desc())
    if before is not None:
        statement = statement.where(place < tuple_(before.at, before.direction, before.position))
    rows = await tx.connection.execute(statement.limit(limit))
    return [Entry(row.at, row.direction, row.position) for row in rows]
