# SPDX-License-Identifier: Apache-2.0
"""The numbers of our messages on a line, and other ones where a desk has those for what is not known here (SEQ-12)."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import bindparam, exists, null, select, update

from connectors.store.engine import Transaction
from connectors.store.sequences import Direction, Line
from connectors.store.tables import BARE, outgoing, recipient
from connectors.store.threadtables import move, thread
from protocol.ids import MessageId
from protocol.sequence import Position


@dataclass(frozen=True, slots=True)
class Numbered:
    """A message of ours on a line: its number, the one before it, and whether the desk has ever opened it."""

    message_id: MessageId
    seq: int
    previous: MessageId | None
    opened: bool


_SINCE: Final = (
    select(recipient.c.message_id, recipient.c.seq, recipient.c.previous, recipient.c.opened_at)
    .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
    .where(
        outgoing.c.thread == bindparam("of"),
        outgoing.c.sender_desk == bindparam("sender"),
        outgoing.c.klass.not_in(BARE),
        outgoing.c.position > bindparam("since"),
        recipient.c.desk == bindparam("desk"),
    )
    .order_by(recipient.c.seq)
)
_GIVE: Final = (
    update(recipient)
    .where(recipient.c.message_id == bindparam("of"), recipient.c.desk == bindparam("which"))
    # If it was given up, the desk is to hear of that under the number that it has now (SEQ-11).
    .values(seq=bindparam("number"), previous=bindparam("before"), told_at=null())
)
_MOVE: Final = (
    update(move)
    .where(
        move.c.thread == bindparam("within"),
        move.c.message_id == bindparam("of"),
        move.c.direction == Direction.OUT,
        move.c.seq.is_not(None),
        # A copy's number is none of the thread's.
        exists().where(thread.c.thread == move.c.thread, thread.c.peer_desk == bindparam("which")),
    )
    .values(seq=bindparam("number"))
)


async def since(tx: Transaction, line: Line, place: int) -> list[Numbered]:
    """Return our messages on `line` that were composed after the one at `place`, in the order of their numbers."""
    values = {"of": line.thread, "sender": line.sender, "desk": line.recipient, "since": place}
    rows = await tx.connection.execute(_SINCE, values)
    return [Numbered(row.message_id, row.seq, row.previous, row.opened_at is not None) for row in rows]


async def give(tx: Transaction, line: Line, message_id: MessageId, to: Position) -> None:
    """Give a message of ours the number `to.seq` on `line`, behind the message `to.last`; its move goes with it."""
    values = {"of": message_id, "which": line.recipient, "number": to.seq}
    await tx.connection.execute(_GIVE, values | {"before": to.last})
    await tx.connection.execute(_MOVE, values | {"within": line.thread})
