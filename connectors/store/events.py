# SPDX-License-Identifier: Apache-2.0
"""What happened, in order, each with the change that it tells of in one transaction (EVT-1). Ids and states only."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, bindparam, exists, func, insert, select

from connectors.store.engine import Transaction
from connectors.store.tables import event
from connectors.store.threads import ThreadRow
from protocol import ids
from protocol.errors import InvalidInput
from protocol.ids import EventId, MessageId, ThreadId

RECEIVED: Final = "message.received"
ALERTING: Final = "message.alert"
DAMAGED: Final = "event.damaged"
"""What is told of an event whose type cannot be read any more (CON-8)."""
LOST: Final = "message.lost"
"""A message of the thread that its sender gave up, ours or another's (SEQ-11)."""
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
    raised = row.alert not in (None, before.alert)
    if row.state != before.state:
        # Nobody looks for something to do in what is over, unless that is said too (HAN-11).
        return [row.state, ALERT] if raised and not row.live else [row.state]
    return [ALERT if alert or raised else UPDATED]


async def message_lost(tx: Transaction, thread: ThreadId, message_id: MessageId, at: int) -> None:
    """Tell of a message that will not come, or not arrive, any more."""
    told = {"event_id": ids.new_id(), "at": at, "type": LOST, "thread": thread, "message_id": message_id}
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


async def page(tx: Transaction, *, after: EventId | None, limit: int) -> Sequence[EventRow]:
    """Return up to `limit` events that follow `after`, oldest first; `InvalidInput` if that is none of ours."""
    place = 0
    if after is not None:
        found = await tx.connection.scalar(_PLACE, {"which": after})
        if found is None:
            raise InvalidInput("No event here has that id. Read from the beginning, without `after`.")
        place = found
    rows = await tx.connection.execute(_FOLLOWING, {"place": place, "most": limit})
    return [of(row) for row in rows]


async def newest(tx: Transaction) -> int:
    """Return the place of the newest event; 0 where nothing has happened yet."""
    return await tx.connection.scalar(_NEWEST) or 0


async def following(tx: Transaction, place: int, limit: int) -> Sequence[tuple[int, EventRow]]:
    """Return up to `limit` events behind `place`, oldest first, each with its own place."""
    rows = await tx.connection.execute(_FOLLOWING, {"place": place, "most": limit})
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
