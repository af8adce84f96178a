# SPDX-License-Identifier: Apache-2.0
"""Cases in numbers, and their lists: those that are open, closed, due, or found by words."""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, Select, and_, case, false, func, or_, select, tuple_

from connectors.store.engine import Transaction
from connectors.store.threadtables import awaited, case_thread, found_by, thread
from protocol.ids import CaseId


@dataclass(frozen=True, slots=True)
class Filter:
    """Which cases to list: open ones, closed ones, or both; only those with an answer due before a time (ms UTC).

    `having` are keyed hashes that must all be found in a case, in whichever of its threads, or one that is enough.
    """

    live: bool | None = None
    due_before: int | None = None
    having: tuple[bytes, ...] = ()
    enough: bytes | None = None


@dataclass(frozen=True, slots=True)
class CaseRow:
    """One case in numbers; times in ms UTC.

    `due_at` is when the next is due of what its threads wait for, and of what is to be noted or answered (KIND-7).
    """

    case_id: CaseId
    threads: int
    live: int
    begun_at: int
    changed_at: int
    due_at: int | None


_LIVE = func.coalesce(func.sum(thread.c.live), 0)
_OF_THREADS = func.min(case((thread.c.live == 1, thread.c.due_at)))
_OF_MESSAGES = func.min(
    select(func.min(awaited.c.due_at)).where(awaited.c.thread == case_thread.c.thread).scalar_subquery()
)
_DUE = func.min(func.coalesce(_OF_THREADS, _OF_MESSAGES), func.coalesce(_OF_MESSAGES, _OF_THREADS))
"""SQLite's smallest of two is null where one of them is."""
_CHANGED = func.max(case_thread.c.changed_at)
_COLUMNS = (
    case_thread.c.case_id,
    func.count().label("threads"),
    _LIVE.label("live"),
    func.min(case_thread.c.begun_at).label("begun_at"),
    _CHANGED.label("changed_at"),
    _DUE.label("due_at"),
)


async def page(tx: Transaction, what: Filter, *, before: tuple[int, CaseId] | None, limit: int) -> list[CaseRow]:
    """Return up to `limit` cases, newest change first, after the place `before` (changed_at, case_id)."""
    conditions: list[ColumnElement[bool]] = []
    if what.live is not None:
        conditions.append(_LIVE > 0 if what.live else _LIVE == 0)
    if what.due_before is not None:
        conditions.append(what.due_before >= _DUE)
    if before is not None:
        conditions.append(tuple_(_CHANGED, case_thread.c.case_id) < tuple_(*before))
    statement = select(*_COLUMNS).join(thread, thread.c.thread == case_thread.c.thread, isouter=True)
    if what.having:
        every = and_(*(case_thread.c.case_id.in_(_found(word)) for word in what.having))
        one = case_thread.c.case_id.in_(_found(what.enough)) if what.enough else false()
        statement = statement.where(or_(every, one))
    rows = await tx.connection.execute(
        statement.group_by(case_thread.c.case_id)
        .having(*conditions)
        .order_by(_CHANGED.desc(), case_thread.c.case_id.desc())
        .limit(limit)
    )
    return [CaseRow(*row) for row in rows]


def _found(word: bytes) -> Select[tuple[CaseId]]:
    # The table of threads once more, under another name: the outer one is grouped.
    inner = case_thread.alias()
    return select(inner.c.case_id).join(found_by, found_by.c.thread == inner.c.thread).where(found_by.c.word == word)


async def load(tx: Transaction, case_id: CaseId) -> CaseRow | None:
    """Return one case in numbers, by the id that it has now; None if there is none."""
    rows = await tx.connection.execute(
        select(*_COLUMNS)
        .join(thread, thread.c.thread == case_thread.c.thread, isouter=True)
        .where(case_thread.c.case_id == case_id)
        .group_by(case_thread.c.case_id)
    )
    row = rows.one_or_none()
    return None if row is None else CaseRow(*row)
