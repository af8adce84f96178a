# SPDX-License-Identifier: Apache-2.0
"""The place in each thread, for each pair of desks and each direction (SEQ-1).

Receipts and notices are counted apart from the rest: they never wait for a gap (SEQ-3), so they must not
leave one either.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sqlalchemy import bindparam, select
from sqlalchemy.dialects.sqlite import insert as upsert

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

    def key(self) -> dict[str, object]:
        """Return what its row is found by."""
        return {
            "direction": self.direction,
            "thread": self.thread,
            "sender_desk": self.sender,
            "recipient_desk": self.recipient,
            "lane": self.lane,
        }


_POSITION: Final = select(sequence.c.next_seq, sequence.c.last_message_id).where(
    *(column == bindparam(column.name) for column in sequence.primary_key)
)
_NEW: Final = upsert(sequence)
_ADVANCE: Final = _NEW.on_conflict_do_update(
    index_elements=sequence.primary_key,
    set_={"next_seq": _NEW.excluded.next_seq, "last_message_id": _NEW.excluded.last_message_id},
)


async def position(tx: Transaction, line: Line) -> Position:
    """Return how far `line` has come; the beginning if nothing was sent or delivered on it."""
    row = (await tx.connection.execute(_POSITION, line.key())).one_or_none()
    return Position() if row is None else Position(row.next_seq - 1, row.last_message_id)


async def advance(tx: Transaction, line: Line, to: Position) -> None:
    """Set how far `line` has come."""
    await tx.connection.execute(_ADVANCE, line.key() | {"next_seq": to.seq + 1, "last_message_id": to.last})


async def take_next(tx: Transaction, line: Line, message_id: MessageId) -> Position:
    """Give `message_id` the next place on `line`; the answer has its seq and the message before it."""
    before = await position(tx, line)
    await advance(tx, line, Position(before.seq + 1, message_id))
    return Position(before.seq + 1, before.last)
