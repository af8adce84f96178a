# SPDX-License-Identifier: Apache-2.0
"""The place in each thread, for each pair of desks and each direction (SEQ-1).

Receipts and notices are counted apart from the rest: they never wait for a gap (SEQ-3), so they must not
leave one either.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import and_, select
from sqlalchemy.dialects.sqlite import insert

from connectors.store.engine import Transaction
from connectors.store.tables import sequence
from protocol.address import DeskAddress
from protocol.ids import MessageId, ThreadId
from protocol.rows import EnvelopeClass
from protocol.sequence import Position

MAIN: Final = "main"
APART: Final = "apart"


class Direction(StrEnum):
    """Whose sequence it is: what we send, or what we receive."""

    OUT = "out"
    IN = "in"


@dataclass(frozen=True, slots=True)
class Line:
    """One sequence: a thread between two desks, in one direction, of ordinary messages or of receipts."""

    direction: Direction
    thread: ThreadId
    sender: DeskAddress
    recipient: DeskAddress
    lane: str

    @classmethod
    def of(
        cls, direction: Direction, thread: ThreadId, sender: DeskAddress, recipient: DeskAddress, klass: EnvelopeClass
    ) -> "Line":
        """Return the line that a message of `klass` belongs to."""
        return cls(direction, thread, sender, recipient, APART if klass.bare else MAIN)


async def position(tx: Transaction, line: Line) -> Position:
    """Return how far `line` has come; the beginning if nothing was sent or delivered on it."""
    row = (
        await tx.connection.execute(
            select(sequence.c.next_seq, sequence.c.last_message_id).where(
                and_(
                    sequence.c.direction == line.direction,
                    sequence.c.thread == line.thread,
                    sequence.c.sender_desk == line.sender,
                    sequence.c.recipient_desk == line.recipient,
                    sequence.c.lane == line.lane,
                )
            )
        )
    ).one_or_none()
    return Position() if row is None else Position(row.next_seq - 1, row.last_message_id)


async def advance(tx: Transaction, line: Line, to: Position) -> None:
    """Set how far `line` has come."""
    statement = insert(sequence).values(
        direction=line.direction,
        thread=line.thread,
        sender_desk=line.sender,
        recipient_desk=line.recipient,
        lane=line.lane,
        next_seq=to.seq + 1,
        last_message_id=to.last,
    )
    changed = {"next_seq": to.seq + 1, "last_message_id": to.last}
    await tx.connection.execute(statement.on_conflict_do_update(index_elements=sequence.primary_key, set_=changed))


async def take_next(tx: Transaction, line: Line, message_id: MessageId) -> Position:
    """Give `message_id` the next place on `line`; the answer has its seq and the message before it."""
    before = await position(tx, line)
    await advance(tx, line, Position(before.seq + 1, message_id))
    return Position(before.seq + 1, before.last)
