# SPDX-License-Identifier: Apache-2.0
"""What happened, in order, each with the change that it tells of in one transaction (EVT-1). Ids and states only."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, exists, func, insert, not_, or_, select

from connectors.store.engine import Transaction
from connectors.store.tables import event, incoming, lost, outgoing
from connectors.store.threads import ThreadRow
from connectors.store.threadtables import thread as thread_table
from protocol import ids
from protocol.address import DeskAddress
from protocol.errors import InvalidInput
from protocol.ids import EventId, MessageId, ThreadId

RECEIVED: Final = "message.received"
ALERTING: Final = "message.alert"
DAMAGED: Final = "event.damaged"
"""What is told of an event whose type cannot be read any more (CON-8)."""
LOST: Final = "message.lost"
"""A message of the thread that its sender gave up, ours or another's (SEQ-11)."""
UNANSWERED: Final = "message.unanswered"
"""A message that was not noted or answered in time, ours or another's (KIND-7)."""
UPDATED: Final = "updated"
"""What happened to a thread whose state stayed."""
ALERT: Final = "alert"
"""What happened to a thread that somebody here must hear of; its state stayed."""


@dataclass(frozen=True, slots=True)
class EventRow:
    """One event; `at` in ms UTC. A message has an id, a thread its machine, our side, its state and version."""

    event_id: EventId
    at: int
    type: str
    thread: ThreadId
    message_id: MessageId | None = None
    machine: str | None = None
    side: str | None = None
    state: str | None = None
    version: int | None = None


_ADD: Final = insert(event)
_PLACE: Final = select(event.c.position).where(event.c.event_id == bindparam("which"))
_TOLD_ALERT: Final = select(exists().where(event.c.message_id == bindparam("which"), event.c.type == ALERTING))
_NEWEST: Final = select(func.max(event.c.position))
_FOLLOWING: Final = (
    select(event).where(event.c.position > bindparam("place")).order_by(event.c.position).limit(bindparam("most"))
)


async def thread_changed(tx: Transaction, row: ThreadRow, *, before: ThreadRow, alert: bool = False) -> None:
    """Tell of a thread as it stands from now on; `before` is how it stood, `alert` that somebody must hear of it."""
    told = [
        {
            "event_id": ids.new_id(),
            "at": row.changed_at,
            "type": f"{row.machine}.{word}",
            "thread": row.thread,
            "machine": row.machine,
            "side": row.side,
            "state": row.state,
            "version": row.version,
        }
        for word in _words(row, before, alert=alert)
    ]
    await tx.connection.execute(_ADD, told)


def _words(row: ThreadRow, before: ThreadRow, *, alert: bool) -> list[str]:
    # Also beside one that stands already: whoever has heard of that has not heard of this.
    raised = not row.alerts <= before.alerts
    if row.state != before.state:
        # Nobody looks for something to do in what is over, unless that is said too (HAN-11).
        return [row.state, ALERT] if raised and not row.live else [row.state]
    return [ALERT if alert or raised else UPDATED]


async def message_lost(tx: Transaction, thread: ThreadId, message_id: MessageId, at: int) -> None:
    """Tell of a message that will not come, or not arrive, any more."""
    told = {"event_id": ids.new_id(), "at": at, "type": LOST, "thread": thread, "message_id": message_id}
    await tx.connection.execute(_ADD, told)


async def message_unanswered(tx: Transaction, thread: ThreadId, message_id: MessageId, at: int) -> None:
    """Tell of a message that was not noted or answered in time."""
    told = {"event_id": ids.new_id(), "at": at, "type": UNANSWERED, "thread": thread, "message_id": message_id}
    await tx.connection.execute(_ADD, told)


async def told_alert(tx: Transaction, message_id: MessageId) -> bool:
    """Tell whether a message was told as an alert before, when it had to wait."""
    return bool(await tx.connection.scalar(_TOLD_ALERT, {"which": message_id}))


async def message_received(
    tx: Transaction, thread: ThreadId, message_id: MessageId, at: int, *, alert: bool = False
) -> None:
    """Tell of a message that has its effect now; an `alert` is one that somebody here must hear of."""
    told = {
        "event_id": ids.new_id(),
        "at": at,
        "type": ALERTING if alert else RECEIVED,
        "thread": thread,
        "message_id": message_id,
    }
    await tx.connection.execute(_ADD, told)


async def page(
    tx: Transaction, *, after: EventId | None, limit: int, desks: Collection[DeskAddress] | None = None
) -> Sequence[EventRow]:
    """Return up to `limit` events that follow `after`, oldest first; `InvalidInput` if that is none of ours.

    Those of `desks` of ours only, where there are some (CON-19).
    """
    place = 0
    following_ = _FOLLOWING if desks is None else _after(desks)
    if after is not None:
        # What an event is about may be gone since it was told; whoever read that far goes on from there all the same.
        which = _PLACE if desks is None else _PLACE.where(or_(_of(desks), _of_nobody()))
        found = await tx.connection.scalar(which, {"which": after})
        if found is None:
            raise InvalidInput("No event here has that id. Read from the beginning, without `after`.")
        place = found
    rows = await tx.connection.execute(following_, {"place": place, "most": limit})
    return [of(row) for row in rows]


def _after(desks: Collection[DeskAddress]) -> Select[Any]:
    where = event.c.position > bindparam("place"), _of(desks)
    return select(event).where(*where).order_by(event.c.position).limit(bindparam("most"))


def _of(desks: Collection[DeskAddress]) -> ColumnElement[bool]:
    """Return the condition that an event is of one of these desks: of its thread, or of a message from or to it."""
    about = incoming.c.message_id == event.c.message_id, incoming.c.thread == event.c.thread
    came = exists().where(*about, incoming.c.recipient_desk.in_(desks))
    said = outgoing.c.message_id == event.c.message_id, outgoing.c.thread == event.c.thread
    went = exists().where(*said, outgoing.c.sender_desk.in_(desks))
    gone = lost.c.message_id == event.c.message_id, lost.c.thread == event.c.thread
    missed = exists().where(*gone, or_(lost.c.sender_desk.in_(desks), lost.c.recipient_desk.in_(desks)))
    moved = exists().where(thread_table.c.thread == event.c.thread, thread_table.c.own_desk.in_(desks))
    return or_(came, went, missed, and_(event.c.message_id.is_(None), moved))


def _of_nobody() -> ColumnElement[bool]:
    """Return the condition that an event's message is gone, so that it is no desk's any more."""
    kept = (exists().where(table.c.message_id == event.c.message_id) for table in (incoming, outgoing, lost))
    return and_(event.c.message_id.is_not(None), *(not_(one) for one in kept))


async def newest(tx: Transaction) -> int:
    """Return the place of the newest event; 0 where nothing has happened yet."""
    return await tx.connection.scalar(_NEWEST) or 0


async def following(
    tx: Transaction, place: int, limit: int, *, desks: Collection[DeskAddress] | None = None
) -> Sequence[tuple[int, EventRow]]:
    """Return up to `limit` events behind `place`, oldest first, each with its own place; of `desks`, as in `page`."""
    statement = _FOLLOWING if desks is None else _after(desks)
    rows = await tx.connection.execute(statement, {"place": place, "most": limit})
    return [(row.position, of(row)) for row in rows]


def is_type(stored: str) -> bool:
    """Tell whether what stands where an event's type was stored is one: of what, and what happened."""
    return re.fullmatch(r"[a-z]+\.[a-z-]+", stored) is not None


def of(row: Row[Any]) -> EventRow:
    """Return the event that stands in `row`."""
    return EventRow(
        event_id=row.event_id,
        at=row.at,
        type=row.type if is_type(row.type) else DAMAGED,
        thread=row.thread,
        message_id=row.message_id,
        machine=row.machine,
        side=row.side,
        state=row.state,
        version=row.version,
    )
