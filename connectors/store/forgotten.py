# SPDX-License-Identifier: Apache-2.0
"""Lines on which a sender does not know all that it said: its machine was restored, or enrolled anew (SEQ-12)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, func, select
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.store.engine import Transaction
from connectors.store.sequences import Line
from connectors.store.threadtables import forgotten
from protocol.address import DeskAddress
from protocol.ids import ThreadId


@dataclass(frozen=True, slots=True)
class Forgotten:
    """A line of one of its two desks: how many of its messages its sender does not know, and since when (ms UTC)."""

    thread: ThreadId
    sender: DeskAddress
    recipient: DeskAddress
    count: int
    since: int


_NEW: Final = upsert(forgotten)
_NOTE: Final = _NEW.on_conflict_do_update(
    index_elements=forgotten.primary_key, set_={"count": func.max(forgotten.c.count, _NEW.excluded["count"])}
)
_OF: Final = (
    select(
        forgotten.c.thread,
        forgotten.c.sender_desk,
        forgotten.c.recipient_desk,
        forgotten.c["count"],
        forgotten.c.since,
    )
    .where(forgotten.c.thread == bindparam("of"))
    .order_by(forgotten.c.since)
)


async def note(tx: Transaction, line: Line, count: int, now: int) -> None:
    """Note that the sender of `line` does not know `count` of its messages there; of several counts the highest."""
    values = {
        "thread": line.thread,
        "sender_desk": line.sender,
        "recipient_desk": line.recipient,
        "count": max(1, count),
        "since": now,
    }
    await tx.connection.execute(_NOTE, values)


async def of(tx: Transaction, thread: ThreadId) -> Sequence[Forgotten]:
    """Return what its senders do not know of a thread, the earliest first."""
    return [Forgotten(*row) for row in await tx.connection.execute(_OF, {"of": thread})]
