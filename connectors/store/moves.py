# SPDX-License-Identifier: Apache-2.0
"""The moves of each thread: ours as composed, theirs as verified, each once, with its place in the hub's order."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy import Row, and_, bindparam, delete, exists, insert, literal_column, or_, select, update
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.faults import named
from connectors.store.engine import Transaction
from connectors.store.sequences import Direction
from connectors.store.threadtables import move, timer
from protocol import cbor, limits
from protocol.ids import ID_SIZE, KeyId, MessageId, ThreadId
from protocol.lifecycle.timers import Timer
from protocol.shapes import as_bytes, as_list, as_text

LOOK: Final = "look"
"""Stands for the event where time makes no move and something is to be known all the same, such as an alert."""
_PLACE: Final = "move"
_MAX_STORED: Final = 16_384

ELSEWHERE: Final = 0
"""`seq` of what came at another desk of ours than the thread's, as a copy can: it has no number on that line."""


@dataclass(frozen=True, slots=True)
class MoveRow:
    """One move. `leaf_index` is None while the hub has not accepted it; `settled` when it cannot change any more.

    `seq` is its number on the line from one desk of the thread to the other, None for what is on none: a receipt, and
    what came when its place was passed (SEQ-11);
    `opened_by` the leaf index of the A1 that its place follows from.
    `payload` is section 0 of the message, `refused` the code of why it had no effect, `told` whether its sender knows,
    `given_up` whether it is one of ours that the other side will not have (SEQ-11), `after` the last moves of the other
    side that whoever made it had (HAN-17).
    """

    thread: ThreadId
    message_id: MessageId
    direction: Direction
    seq: int | None
    leaf_index: int | None
    settled: bool
    at: int
    event: str
    actor: str
    payload: bytes = field(repr=False)
    signer: str = ""
    refused: str | None = None
    told: bool = False
    given_up: bool = False
    opened_by: int | None = None
    after: tuple[MessageId, ...] = ()


_ADD: Final = upsert(move).on_conflict_do_nothing(index_elements=move.primary_key).returning(move.c.at)
_OF: Final = select(move).where(move.c.thread == bindparam("of")).order_by(literal_column("rowid"))
_CHANGE: Final = update(move).where(move.c.thread == bindparam("of"), move.c.message_id == bindparam("which"))
_PLACE_UNSETTLED: Final = _CHANGE.where(move.c.settled == 0)
_SETTLE: Final = _CHANGE.where(
    or_(
        move.c.opened_by.is_(None),
        and_(
            move.c.opened_by < bindparam("by"),
            or_(move.c.settled == 0, move.c.opened_device.is_distinct_from(bindparam("device"))),
        ),
    )
)
_NUMBER: Final = _CHANGE.where(move.c.direction == Direction.IN, move.c.seq == ELSEWHERE).returning(move.c.seq)
_GIVE_UP: Final = _CHANGE.where(move.c.direction == Direction.OUT)
_STANDS: Final = select(exists().where(move.c.thread == bindparam("of"), move.c.message_id == bindparam("which")))
_LATE: Final = select(
    exists().where(
        move.c.thread == bindparam("of"),
        move.c.message_id == bindparam("which"),
        move.c.direction == Direction.IN,
        move.c.seq.is_(None),
    )
)
_INDEX_OF: Final = select(move.c.leaf_index).where(
    move.c.thread == bindparam("of"), move.c.event == bindparam("event"), move.c.refused.is_(None)
)
_MOVED_BY: Final = select(move.c.thread).where(
    move.c.message_id == bindparam("which"), move.c.direction == Direction.OUT
)
_NO_TIMERS: Final = delete(timer).where(timer.c.thread == bindparam("of"))
_ADD_TIMERS: Final = insert(timer)
_ALL: Final = -1
"""No limit, as SQLite says it."""
_DUE: Final = (
    select(timer.c.thread)
    .where(timer.c.at <= bindparam("now"))
    .group_by(timer.c.thread)
    .order_by(timer.c.at)
    .limit(bindparam("most"))
)
_POSTPONE: Final = update(timer).where(timer.c.thread == bindparam("of"), timer.c.at < bindparam("until"))
_FAILING: Final = select(timer.c.thread, timer.c.error).where(timer.c.error.is_not(None)).distinct()
_NEXT: Final = select(timer.c.at).order_by(timer.c.at).limit(1)


async def add(tx: Transaction, row: MoveRow) -> bool:
    """Store a move; False if it is there already, and then nothing has changed."""
    values = {
        "thread": row.thread,
        "message_id": row.message_id,
        "direction": row.direction,
        "seq": row.seq,
        "leaf_index": row.leaf_index,
        "settled": int(row.settled),
        "at": row.at,
        "event": row.event,
        "actor": row.actor,
        "refused": row.refused,
        "told": int(row.told),
        "sealed": tx.vault.seal(_PLACE, row.message_id, cbor.encode(_content(row))),
    }
    return await tx.connection.scalar(_ADD, values) is not None


async def number(tx: Transaction, row: MoveRow) -> bool:
    """Give a move that came at another desk of ours first the place at which it came at the thread's.

    Returns whether it had none.
    """
    place = {"seq": row.seq, "leaf_index": row.leaf_index, "at": row.at}
    statement = _NUMBER.values(place)
    return await tx.connection.scalar(statement, {"of": row.thread, "which": row.message_id}) is not None


async def stands(tx: Transaction, thread: ThreadId, message_id: MessageId) -> bool:
    """Tell whether a thread has a move of that id, of whichever side."""
    return bool(await tx.connection.scalar(_STANDS, {"of": thread, "which": message_id}))


async def came_late(tx: Transaction, thread: ThreadId, message_id: MessageId) -> bool:
    """Tell whether a move of another's came when its place on its line had been passed (SEQ-11)."""
    return bool(await tx.connection.scalar(_LATE, {"of": thread, "which": message_id}))


async def index_of(tx: Transaction, thread: ThreadId, event: str) -> int | None:
    """Return the leaf index of the last move of that event that had its effect; None for none or not accepted yet.

    A copy may be told of an end twice, and what it was told between the two came before the one that counts (HAN-5).
    """
    found = await tx.connection.scalars(_INDEX_OF, {"of": thread, "event": event})
    return max((one for one in found if one is not None), default=None)


async def thread_moved_by(tx: Transaction, message_id: MessageId) -> ThreadId | None:
    """Return which thread a message of ours moves, or None if it is no move."""
    found: ThreadId | None = await tx.connection.scalar(_MOVED_BY, {"which": message_id})
    return found


async def of(tx: Transaction, thread: ThreadId) -> list[MoveRow]:
    """Return the moves of a thread, in the order in which they were stored."""
    rows = await tx.connection.execute(_OF, {"of": thread})
    return [_row(tx, row) for row in rows]


async def place(tx: Transaction, thread: ThreadId, message_id: MessageId, index: int, at: int) -> None:
    """Give a move of ours the leaf index and the hub's time of a sealing of it; what is settled stays as it is."""
    values = {"leaf_index": index, "at": at}
    await tx.connection.execute(_PLACE_UNSETTLED, {"of": thread, "which": message_id, **values})


async def settle(
    tx: Transaction,
    thread: ThreadId,
    message_id: MessageId,
    sealing: tuple[int, int] | None,
    *,
    settled: bool,
    seq: int | None,
    by: int,
    device: KeyId,
) -> None:
    """Give a move of ours the place (leaf index, time) of the `sealing` that its recipient took in (LIF-4).

    `by` is the leaf index of the A1 that says so, and `device` whose word it is. Of one device the first word counts;
    of several devices the newest, for where a machine was lost the next takes in anew what it had. `sealing` is None
    while nobody has told its place, and not `settled` while the hub's own answer may still tell another. `seq` is its
    number on the line, None where it came when its place had been passed (SEQ-11).
    """
    placed = (
        {"settled": 0} if sealing is None else {"leaf_index": sealing[0], "at": sealing[1], "settled": int(settled)}
    )
    word = {"seq": seq, "by": by, "opened_by": by, "device": device, "opened_device": device}
    await tx.connection.execute(_SETTLE, {"of": thread, "which": message_id, **word, **placed})


async def give_up(tx: Transaction, thread: ThreadId, message_id: MessageId, *, given_up: bool = True) -> None:
    """Note that the other side will not have a move of ours, or that it has it after all."""
    await tx.connection.execute(_GIVE_UP, {"of": thread, "which": message_id, "given_up": int(given_up)})


async def judged(tx: Transaction, row: MoveRow, refused: str | None, *, told: bool) -> None:
    """Note whether a move had an effect, and whether its sender was told that it had none."""
    values = {"refused": refused, "told": int(told)}
    await tx.connection.execute(_CHANGE, {"of": row.thread, "which": row.message_id, **values})


async def set_timers(tx: Transaction, thread: ThreadId, timers: Iterable[Timer], *, look_at: int | None = None) -> None:
    """Put `timers` in the place of all that the thread had; at `look_at` it is looked at, and nothing need be made."""
    await tx.connection.execute(_NO_TIMERS, {"of": thread})
    values = [
        {
            "message_id": one.move_id,
            "thread": thread,
            "at": one.at,
            "event": one.event,
            "ack": one.ack,
            "level": one.level,
            "error": None,
        }
        for one in timers
    ]
    if look_at is not None:
        values.append(
            {
                "message_id": thread,
                "thread": thread,
                "at": look_at,
                "event": LOOK,
                "ack": None,
                "level": None,
                "error": None,
            }
        )
    if values:
        await tx.connection.execute(_ADD_TIMERS, values)


async def due(tx: Transaction, now: int, limit: int = _ALL) -> list[ThreadId]:
    """Return all threads, or up to `limit`, that time has something to do to, the longest overdue first."""
    return list(await tx.connection.scalars(_DUE, {"now": now, "most": limit}))


async def postpone(tx: Transaction, thread: ThreadId, *, until: int, error: str) -> None:
    """Look at what is due in a thread again at `until` (ms UTC), because of `error` (CON-8)."""
    await tx.connection.execute(_POSTPONE, {"of": thread, "until": until, "at": until, "error": error})


async def failing(tx: Transaction) -> list[tuple[ThreadId, str]]:
    """Return the threads to which time could not do what was due, each with the code of why."""
    return [(row.thread, row.error) for row in await tx.connection.execute(_FAILING)]


async def next_timer_at(tx: Transaction) -> int | None:
    """Return when time has something to do next, in ms UTC, or None."""
    found: int | None = await tx.connection.scalar(_NEXT)
    return found


def _content(row: MoveRow) -> list[cbor.Value]:
    after: list[cbor.Value] = [list(row.after)] if row.after else []
    return [row.signer, row.payload, *after]


def _row(tx: Transaction, row: Row[Any]) -> MoveRow:
    opened = tx.vault.open(_PLACE, row.message_id, row.sealed)
    signer, payload, *after = as_list(cbor.decode(opened, limit=_MAX_STORED), least=2, most=3)
    named_in = as_list(after[0], most=limits.MAX_AFTER) if after else []
    return MoveRow(
        thread=row.thread,
        message_id=row.message_id,
        direction=named(Direction, row.direction),
        seq=row.seq,
        leaf_index=row.leaf_index,
        settled=bool(row.settled),
        at=row.at,
        event=row.event,
        actor=row.actor,
        payload=as_bytes(payload),
        signer=as_text(signer, most=limits.MAX_NAME),
        refused=row.refused,
        told=bool(row.told),
        given_up=bool(row.given_up),
        opened_by=row.opened_by,
        after=tuple(MessageId(as_bytes(one, size=ID_SIZE)) for one in named_in),
    )
