# SPDX-License-Identifier: Apache-2.0
"""Which handovers of ours are about the same person as one of them (HAN-12)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, and_, bindparam, exists, func, or_, select

from connectors.store.engine import Transaction
from connectors.store.recipients import RecipientState
from connectors.store.sequences import Direction
from connectors.store.tables import recipient
from connectors.store.threadtables import case_thread, move, thread
from protocol.ids import CaseId, ThreadId


@dataclass(frozen=True, slots=True)
class Beside:
    """Another handover about the same person: its state, and whether the other side can still take it further.

    `done_at` is when the last of the given steps came to count in it (ms UTC), None if none has.
    """

    thread: ThreadId
    state: str
    goes_on: bool
    done_at: int | None


_MINE: Final = case_thread.alias()
_UNKNOWN_END: Final = exists().where(
    move.c.thread == thread.c.thread,
    move.c.direction == Direction.OUT,
    move.c.refused.is_(None),
    move.c.event.in_(bindparam("ends", expanding=True)),
    recipient.c.message_id == move.c.message_id,
    recipient.c.desk == thread.c.peer_desk,
    recipient.c.state != RecipientState.OPENED,
)
_DONE_AT: Final = (
    select(func.max(move.c.at))
    .where(move.c.thread == thread.c.thread, move.c.refused.is_(None), move.c.event == bindparam("done"))
    .scalar_subquery()
)
_BESIDE: Final[Select[Any]] = (
    select(thread.c.thread, thread.c.state, or_(thread.c.live == 1, and_(thread.c.live == 0, _UNKNOWN_END)), _DONE_AT)
    .join(case_thread, case_thread.c.thread == thread.c.thread)
    .join(_MINE, _MINE.c.case_id == case_thread.c.case_id)
    .where(
        _MINE.c.thread == bindparam("which"),
        thread.c.thread != bindparam("which"),
        thread.c.machine == bindparam("machine"),
        thread.c.side == bindparam("side"),
    )
    .order_by(thread.c.begun_at, thread.c.thread)
)
_IN_CASES: Final = (
    select(thread.c.thread)
    .join(case_thread, case_thread.c.thread == thread.c.thread)
    .where(
        case_thread.c.case_id.in_(bindparam("cases", expanding=True)),
        thread.c.machine == bindparam("machine"),
        thread.c.side == bindparam("side"),
    )
    .order_by(thread.c.begun_at, thread.c.thread)
)


async def beside(
    tx: Transaction, thread_id: ThreadId, *, machine: str, side: str, ends: Collection[str], done: str
) -> list[Beside]:
    """Return the other threads of the case of one that are of this `machine` and `side` of ours, the first begun first.

    One that is over goes on as long as the other side has not opened the step of ours, one of `ends`, that ended it.
    `done` is the step of which `Beside.done_at` tells.
    """
    values = {"which": thread_id, "machine": machine, "side": side, "ends": list(ends), "done": done}
    return [Beside(one, state, bool(on), at) for one, state, on, at in await tx.connection.execute(_BESIDE, values)]


async def in_cases(tx: Transaction, case_ids: Collection[CaseId], *, machine: str, side: str) -> list[ThreadId]:
    """Return the threads of these cases that are of this `machine` and `side` of ours, the first begun first."""
    values = {"cases": list(case_ids), "machine": machine, "side": side}
    return list((await tx.connection.execute(_IN_CASES, values)).scalars())
