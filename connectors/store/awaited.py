# SPDX-License-Identifier: Apache-2.0
"""Messages that somebody has to note or to answer, at each desk, until that is done (KIND-7).

A row is only a reason to look: what is late follows from the messages. Most messages have none.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import BindParameter, Row, and_, bindparam, delete, func, literal, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.store.engine import Transaction
from connectors.store.recipients import RecipientState
from connectors.store.tables import incoming, outgoing, recipient
from connectors.store.threadtables import awaited
from protocol import ids
from protocol.address import DeskAddress
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.awaiting import ANSWERING, AWAITED, answer_in
from protocol.kinds.catalogue import KINDS, decode_payload

GIVEN_UP: Final = (RecipientState.FAILED, RecipientState.EXPIRED)
"""States of a message at a desk where nobody answers it any more (SEQ-11)."""


@dataclass(frozen=True, slots=True)
class Awaited:
    """One message at one desk; `ours` if we sent it. `position` is its place among those sent, or those that came.

    `told_until` is the newest time that has passed and was told of, 0 if none has.
    """

    ours: bool
    position: int
    desk: DeskAddress
    message_id: MessageId
    thread: ThreadId
    told_until: int


@dataclass(frozen=True, slots=True)
class Clear:
    """What stands in clear of it: its kind, when it began to wait (ms UTC), who sent it; `given_up` if it was."""

    kind: str
    since: int
    sender: DeskAddress
    given_up: bool


_COLUMNS: Final = ("ours", "position", "desk", "message_id", "thread", "look_at")
_OURS: Final = (
    upsert(awaited)
    .from_select(
        _COLUMNS,
        select(
            literal(1),
            outgoing.c.position,
            recipient.c.desk,
            outgoing.c.message_id,
            outgoing.c.thread,
            literal(0),
        )
        .join(recipient, recipient.c.message_id == outgoing.c.message_id)
        .where(outgoing.c.message_id == bindparam("which")),
    )
    .on_conflict_do_nothing()
)
_THEIRS: Final = (
    upsert(awaited)
    .from_select(
        _COLUMNS,
        select(
            literal(0),
            incoming.c.position,
            incoming.c.recipient_desk,
            incoming.c.message_id,
            incoming.c.thread,
            literal(0),
        ).where(
            incoming.c.message_id == bindparam("which"),
            incoming.c.sender_desk == bindparam("sender"),
            incoming.c.recipient_desk == bindparam("recipient"),
        ),
    )
    .on_conflict_do_nothing()
)
_AGAIN: Final = (
    update(awaited)
    .where(awaited.c.message_id == bindparam("which"), awaited.c.thread == bindparam("of"))
    .values(look_at=0)
)
_DUE: Final = (
    select(awaited.c.ours, awaited.c.position)
    .where(awaited.c.look_at <= bindparam("now"))
    .group_by(awaited.c.ours, awaited.c.position)
    .order_by(func.min(awaited.c.look_at))
    .limit(bindparam("most"))
)
_NEXT: Final = select(func.min(awaited.c.look_at))
_MESSAGE: Final = and_(awaited.c.ours == bindparam("is_ours"), awaited.c.position == bindparam("place"))
_ROW: Final = and_(_MESSAGE, awaited.c.desk == bindparam("of_desk"))
_OF: Final = select(awaited).where(_MESSAGE)
_UNDER: Final = select(awaited).where(
    awaited.c.ours == bindparam("is_ours"), awaited.c.message_id == bindparam("which")
)
_IN_THREADS: Final = (
    select(awaited)
    .where(awaited.c.thread.in_(bindparam("which", expanding=True)))
    .order_by(awaited.c.ours, awaited.c.position, awaited.c.desk)
)
_LOOKED: Final = update(awaited).where(_ROW)
_POSTPONE: Final = update(awaited).where(_MESSAGE, awaited.c.look_at < bindparam("until"))
_REMOVE: Final = delete(awaited).where(_ROW)
_AT_ONCE: Final = 500
"""Messages that are asked for by one statement."""
_AMONG: Final[BindParameter[Any]] = bindparam("which", expanding=True)
_SENT: Final = (
    select(
        outgoing.c.position,
        outgoing.c.payload_type,
        outgoing.c.created_at,
        outgoing.c.sender_desk,
        recipient.c.desk,
        recipient.c.state,
    )
    .join(recipient, recipient.c.message_id == outgoing.c.message_id, isouter=True)
    .where(outgoing.c.position.in_(_AMONG))
)
_CAME: Final = select(
    incoming.c.position, incoming.c.payload_type, incoming.c.accepted_at, incoming.c.sender_desk
).where(incoming.c.position.in_(_AMONG))
_LATE: Final = select(awaited.c.ours, func.count()).where(awaited.c.due_at < bindparam("now")).group_by(awaited.c.ours)


async def sent(tx: Transaction, message_id: MessageId, payload_type: str) -> None:
    """Look at a message of ours from now on, at each desk that it goes to, if it is of a kind that is waited for."""
    if payload_type in AWAITED:
        await tx.connection.execute(_OURS, {"which": message_id})


async def came(
    tx: Transaction, message_id: MessageId, payload_type: str, sender: DeskAddress, recipient_: DeskAddress
) -> None:
    """Look at a message that came for a desk of ours likewise; nothing changes where that is done already."""
    if payload_type in AWAITED:
        values = {"which": message_id, "sender": sender, "recipient": recipient_}
        await tx.connection.execute(_THEIRS, values)


async def answered(tx: Transaction, thread: ThreadId, payload_type: str, payload: bytes) -> None:
    """Look once more at the message that another one answers, which was stored now."""
    if payload_type not in ANSWERING:
        return
    answer = answer_in(decode_payload(KINDS[payload_type], payload))
    if answer is not None:
        await tx.connection.execute(_AGAIN, {"which": ids.raw(Kind.MESSAGE, answer[0]), "of": thread})


async def due(tx: Transaction, now: int, limit: int) -> list[tuple[bool, int]]:
    """Return up to `limit` messages to look at, each as whether it is ours and its position; the oldest first."""
    return [(bool(row.ours), row.position) for row in await tx.connection.execute(_DUE, {"now": now, "most": limit})]


async def next_at(tx: Transaction) -> int | None:
    """Return when there is something to look at next, in ms UTC, or None."""
    found: int | None = await tx.connection.scalar(_NEXT)
    return found


async def of(tx: Transaction, *, ours: bool, position: int) -> list[Awaited]:
    """Return what is waited for of one message, by desk."""
    return [_row(row) for row in await tx.connection.execute(_OF, {"is_ours": int(ours), "place": position})]


async def under(tx: Transaction, message_id: MessageId, *, ours: bool) -> Sequence[Awaited]:
    """Return what is waited for under an id, of those that we sent or of those that came."""
    return [_row(row) for row in await tx.connection.execute(_UNDER, {"is_ours": int(ours), "which": message_id})]


async def in_threads(tx: Transaction, threads: Collection[ThreadId]) -> Sequence[Awaited]:
    """Return what is waited for in some threads, ours first, in the order in which it was sent or came."""
    return [_row(row) for row in await tx.connection.execute(_IN_THREADS, {"which": list(threads)})]


async def clear(tx: Transaction, rows: Sequence[Awaited]) -> list[tuple[Awaited, Clear | None]]:
    """Return with each what the columns say of its message; None if that is not there any more.

    Nothing is opened, and however many there are, few statements are made.
    """
    known, over = dict[tuple[bool, int], Clear](), set[tuple[int, str]]()
    for start in range(0, len(rows), _AT_ONCE):
        wanted = rows[start : start + _AT_ONCE]
        if ours := {one.position for one in wanted if one.ours}:
            for row in await tx.connection.execute(_SENT, {"which": sorted(ours)}):
                known[True, row.position] = Clear(row.payload_type, row.created_at, row.sender_desk, given_up=False)
                if row.state in GIVEN_UP:
                    over.add((row.position, row.desk))
        if theirs := {one.position for one in wanted if not one.ours}:
            for position, kind, at, sender in await tx.connection.execute(_CAME, {"which": sorted(theirs)}):
                known[False, position] = Clear(kind, at, sender, given_up=False)
    found = list[tuple[Awaited, Clear | None]]()
    for one in rows:
        said = known.get((one.ours, one.position))
        if said is not None and one.ours and (one.position, one.desk) in over:
            said = replace(said, given_up=True)
        found.append((one, said))
    return found


async def looked(tx: Transaction, row: Awaited, *, due_at: int | None, look_at: int | None, told_until: int) -> None:
    """Note what was found: when the next of it is due, when to look again, and of what was told."""
    values = {"due_at": due_at, "look_at": look_at, "told_until": told_until}
    await tx.connection.execute(_LOOKED, _key(row) | values)


async def postpone(tx: Transaction, *, ours: bool, position: int, until: int) -> None:
    """Look at a message again at `until` (ms UTC), for it could not be looked at now (CON-8)."""
    values = {"is_ours": int(ours), "place": position, "until": until, "look_at": until}
    await tx.connection.execute(_POSTPONE, values)


async def remove(tx: Transaction, row: Awaited) -> None:
    """Wait for nothing more of that desk."""
    await tx.connection.execute(_REMOVE, _key(row))


async def late(tx: Transaction, now: int) -> tuple[int, int]:
    """Return how many of ours, and how many that came, were not noted or answered in time, counted at each desk."""
    found = {bool(ours): count for ours, count in await tx.connection.execute(_LATE, {"now": now})}
    return found.get(True, 0), found.get(False, 0)


def _key(row: Awaited) -> dict[str, Any]:
    return {"is_ours": int(row.ours), "place": row.position, "of_desk": row.desk}


def _row(row: Row[Any]) -> Awaited:
    return Awaited(bool(row.ours), row.position, row.desk, row.message_id, row.thread, row.told_until)
