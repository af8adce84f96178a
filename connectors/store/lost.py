# SPDX-License-Identifier: Apache-2.0
"""Messages that will not come any more: those of others that are passed, and ours that a desk never opened (SEQ-11)."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Row, and_, bindparam, delete, exists, func, or_, select, union_all, update
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.store.engine import Transaction
from connectors.store.owed import GIVEN_UP
from connectors.store.sequences import MAIN, Direction, Line
from connectors.store.tables import BARE, incoming, lost, outgoing, recipient, sequence
from protocol.address import AgencyAddress, DeskAddress
from protocol.ids import MessageId, ThreadId


@dataclass(frozen=True, slots=True)
class Place:
    """The place of a message that will not come; not `alone` if all before it that is missing will not come either."""

    seq: int
    message_id: MessageId
    previous: MessageId | None
    alone: bool
    passed: bool


@dataclass(frozen=True, slots=True)
class Lost:
    """A message that was lost in a thread: whose it was, for whom, and since when that is known (ms UTC)."""

    thread: ThreadId
    message_id: MessageId
    sender: DeskAddress
    recipient: DeskAddress
    since: int


_ON_LINE: Final = and_(
    lost.c.thread == bindparam("of"),
    lost.c.sender_desk == bindparam("sender"),
    lost.c.recipient_desk == bindparam("recipient"),
)
_ADD: Final = upsert(lost).on_conflict_do_nothing(index_elements=lost.primary_key)
_WAITING_OF: Final = (
    select(func.count())
    .select_from(lost)
    .where(lost.c.passed_at.is_(None), lost.c.sender_desk.endswith(bindparam("of")))
)
_AT: Final = select(lost).where(_ON_LINE, lost.c.seq == bindparam("number"))
_AHEAD: Final = (
    select(lost)
    .where(_ON_LINE, lost.c.seq > bindparam("number"), lost.c.passed_at.is_(None))
    .order_by(lost.c.seq)
    .limit(1)
)
_PASS: Final = (
    update(lost)
    .where(_ON_LINE, lost.c.seq <= bindparam("number"), lost.c.passed_at.is_(None))
    .values(passed_at=bindparam("now"))
)
_REMOVE: Final = delete(lost).where(_ON_LINE, lost.c.seq == bindparam("number"))
_CAME: Final = exists().where(
    incoming.c.message_id == lost.c.message_id,
    incoming.c.sender_desk == lost.c.sender_desk,
    incoming.c.recipient_desk == lost.c.recipient_desk,
)
"""The message came all the same, under a number of its own; its sender did not know that, and gave it another."""
_CAME_AT: Final = select(exists().where(_ON_LINE, lost.c.message_id == bindparam("which"), _CAME))
_READY: Final = (
    select(lost.c.thread, lost.c.sender_desk, lost.c.recipient_desk)
    .select_from(
        lost.join(
            sequence,
            and_(
                sequence.c.direction == Direction.IN,
                sequence.c.lane == MAIN,
                sequence.c.thread == lost.c.thread,
                sequence.c.sender_desk == lost.c.sender_desk,
                sequence.c.recipient_desk == lost.c.recipient_desk,
            ),
            isouter=True,
        )
    )
    .where(
        lost.c.passed_at.is_(None),
        or_(lost.c.alone == 0, lost.c.seq == sequence.c.next_seq, and_(lost.c.seq == 1, sequence.c.next_seq.is_(None))),
    )
    .distinct()
)
_THEIRS: Final = select(
    lost.c.thread, lost.c.message_id, lost.c.sender_desk, lost.c.recipient_desk, lost.c.passed_at.label("since")
).where(lost.c.thread.in_(bindparam("threads", expanding=True)), lost.c.passed_at.is_not(None), ~_CAME)
_OURS: Final = (
    select(outgoing.c.thread, recipient.c.message_id, outgoing.c.sender_desk, recipient.c.desk, recipient.c.told_at)
    .join(outgoing, outgoing.c.message_id == recipient.c.message_id)
    .where(
        outgoing.c.thread.in_(bindparam("threads", expanding=True)),
        outgoing.c.klass.not_in(BARE),
        recipient.c.told_at.is_not(None),
        recipient.c.state.in_(GIVEN_UP),
    )
)
_OF: Final = union_all(_THEIRS, _OURS).order_by("since")


async def add(tx: Transaction, line: Line, place: Place, now: int) -> None:
    """Note that the message at a place will not come; what is noted of the place already stays."""
    values = {
        "thread": line.thread,
        "sender_desk": line.sender,
        "recipient_desk": line.recipient,
        "seq": place.seq,
        "message_id": place.message_id,
        "previous": place.previous,
        "alone": int(place.alone),
        "said_at": now,
    }
    await tx.connection.execute(_ADD, values)


async def waiting_of(tx: Transaction, agency: AgencyAddress) -> int:
    """Return how many places of lines of `agency` are noted and not passed."""
    return int(await tx.connection.scalar(_WAITING_OF, {"of": f".{agency}"}) or 0)


async def at(tx: Transaction, line: Line, seq: int) -> Place | None:
    """Return what is noted of a place."""
    row = (await tx.connection.execute(_AT, _line(line) | {"number": seq})).one_or_none()
    return None if row is None else _place(row)


async def ahead(tx: Transaction, line: Line, seq: int) -> Place | None:
    """Return the first place behind `seq` whose message will not come and that is not passed."""
    row = (await tx.connection.execute(_AHEAD, _line(line) | {"number": seq})).one_or_none()
    return None if row is None else _place(row)


async def passed(tx: Transaction, line: Line, seq: int, now: int) -> None:
    """Note that the line has gone on behind `seq`."""
    await tx.connection.execute(_PASS, _line(line) | {"number": seq, "now": now})


async def came(tx: Transaction, line: Line, message_id: MessageId) -> bool:
    """Tell whether a message came under another number than the one that is passed for it (SEQ-12)."""
    return bool(await tx.connection.scalar(_CAME_AT, _line(line) | {"which": message_id}))


async def remove(tx: Transaction, line: Line, seq: int) -> None:
    """Forget that the message at a place will not come: it came, or what was said of it cannot be."""
    await tx.connection.execute(_REMOVE, _line(line) | {"number": seq})


async def ready(tx: Transaction) -> list[Line]:
    """Return the lines that can go on over a place whose message will not come."""
    rows = await tx.connection.execute(_READY)
    return [Line(Direction.IN, row.thread, row.sender_desk, row.recipient_desk, MAIN) for row in rows]


async def of(tx: Transaction, threads: Collection[ThreadId]) -> Sequence[Lost]:
    """Return what was lost in these threads, of others' and of our own, the earliest first."""
    rows = await tx.connection.execute(_OF, {"threads": list(threads)})
    return [Lost(*row) for row in rows]


def _line(line: Line) -> dict[str, object]:
    return {"of": line.thread, "sender": line.sender, "recipient": line.recipient}


def _place(row: Row[Any]) -> Place:
    return Place(row.seq, row.message_id, row.previous, bool(row.alone), row.passed_at is not None)
