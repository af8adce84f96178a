# SPDX-License-Identifier: Apache-2.0
"""What is missing on the lines of others, and what was asked for (SEQ-10)."""

from dataclasses import dataclass
from typing import Final

from sqlalchemy import and_, bindparam, delete, exists, func, literal_column, select, union_all
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.store.engine import Transaction
from connectors.store.sequences import MAIN, Direction, Line
from connectors.store.tables import asked, incoming, lost, sequence
from protocol.address import DeskAddress
from protocol.ids import MessageId, ThreadId


@dataclass(frozen=True, slots=True)
class Missing:
    """The message before the earliest that waits on a line.

    `since` is when the first came that waits there (ms UTC), `times` how often this very message was asked for, and
    `next_at` when it is to be asked for again, None before the first time.
    """

    thread: ThreadId
    sender: DeskAddress
    recipient: DeskAddress
    message_id: MessageId
    since: int
    times: int
    next_at: int | None


_IS_HELD: Final = incoming.c.state == literal_column("'held'")
"""As the index has it, which a parameter would not let SQLite see."""
_AHEAD: Final = union_all(
    select(
        incoming.c.thread,
        incoming.c.sender_desk,
        incoming.c.recipient_desk,
        incoming.c.seq,
        incoming.c.previous,
        incoming.c.received_at.label("since"),
    ).where(_IS_HELD),
    # What is known not to come stands at its place as well: what is missing before it may still be brought (SEQ-11).
    select(lost.c.thread, lost.c.sender_desk, lost.c.recipient_desk, lost.c.seq, lost.c.previous, lost.c.said_at).where(
        lost.c.passed_at.is_(None), lost.c.alone == 1
    ),
).subquery("ahead")
_LINE: Final = (_AHEAD.c.thread, _AHEAD.c.sender_desk, _AHEAD.c.recipient_desk)
_RANKED: Final = select(
    *_LINE,
    _AHEAD.c.seq,
    _AHEAD.c.previous,
    func.min(_AHEAD.c.since).over(partition_by=_LINE).label("since"),
    func.row_number().over(partition_by=_LINE, order_by=_AHEAD.c.seq).label("rank"),
).subquery("ranked")
_HELD: Final = select(_RANKED).where(_RANKED.c.rank == 1).subquery("waits")
_SAME_LINE: Final = and_(
    sequence.c.direction == Direction.IN,
    sequence.c.lane == MAIN,
    sequence.c.thread == _HELD.c.thread,
    sequence.c.sender_desk == _HELD.c.sender_desk,
    sequence.c.recipient_desk == _HELD.c.recipient_desk,
)
_ASKED: Final = and_(
    asked.c.thread == _HELD.c.thread,
    asked.c.sender_desk == _HELD.c.sender_desk,
    asked.c.recipient_desk == _HELD.c.recipient_desk,
    asked.c.message_id == _HELD.c.previous,
)
_MISSING: Final = (
    select(
        _HELD.c.thread,
        _HELD.c.sender_desk,
        _HELD.c.recipient_desk,
        _HELD.c.previous,
        _HELD.c.since,
        func.coalesce(asked.c.times, 0),
        asked.c.next_at,
    )
    .select_from(_HELD.join(sequence, _SAME_LINE, isouter=True).join(asked, _ASKED, isouter=True))
    # What waits although its gap has closed is released by itself (SEQ-7).
    .where(
        _HELD.c.previous.is_not(None),
        # Nor is the one that was here last asked for, whatever number a sender gave to the next.
        _HELD.c.previous.is_distinct_from(sequence.c.last_message_id),
        _HELD.c.seq > func.coalesce(sequence.c.next_seq, 1),
    )
)
_NEW: Final = upsert(asked)
_NOTE: Final = _NEW.on_conflict_do_update(index_elements=asked.primary_key, set_=_NEW.excluded)
_FORGET: Final = delete(asked).where(
    ~exists().where(
        _AHEAD.c.thread == asked.c.thread,
        _AHEAD.c.sender_desk == asked.c.sender_desk,
        _AHEAD.c.recipient_desk == asked.c.recipient_desk,
    )
)
_FOLLOWER: Final = select(_HELD.c.seq).where(
    _HELD.c.thread == bindparam("of"),
    _HELD.c.sender_desk == bindparam("sender"),
    _HELD.c.recipient_desk == bindparam("recipient"),
    _HELD.c.previous == bindparam("which"),
)
_ANY: Final = select(asked.c.thread).limit(1)


async def missing(tx: Transaction) -> list[Missing]:
    """Return for each line with a gap what is missing right before the earliest that waits there."""
    return [Missing(*row) for row in await tx.connection.execute(_MISSING)]


async def follower(tx: Transaction, line: Line, message_id: MessageId) -> int | None:
    """Return the place of the earliest that waits on `line`, if it follows that message; else None."""
    values = {"of": line.thread, "sender": line.sender, "recipient": line.recipient, "which": message_id}
    found: int | None = await tx.connection.scalar(_FOLLOWER, values)
    return found


async def note(tx: Transaction, one: Missing, *, next_at: int) -> None:
    """Note that `one` was asked for once more, and that it is to be asked for again at `next_at`."""
    values = {
        "thread": one.thread,
        "sender_desk": one.sender,
        "recipient_desk": one.recipient,
        "message_id": one.message_id,
        "times": one.times + 1,
        "next_at": next_at,
    }
    await tx.connection.execute(_NOTE, values)


async def any_noted(tx: Transaction) -> bool:
    """Tell whether anything that was asked for is remembered."""
    return await tx.connection.scalar(_ANY) is not None


async def forget_closed(tx: Transaction) -> None:
    """Forget what was asked for on lines where nothing waits any more."""
    await tx.connection.execute(_FORGET)
