# SPDX-License-Identifier: Apache-2.0
"""Which case each thread belongs to, and by which words it is found (CAS-1)."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from sqlalchemy import Row, and_, bindparam, func, or_, select, tuple_
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.faults import DAMAGED
from connectors.store.casefacts import NUMBER_OURS, OTHER_OURS, PERSON_OURS, CaseThread, Facts
from connectors.store.engine import Transaction
from connectors.store.threadtables import case_name, case_thread, found_by, thread
from protocol import cbor
from protocol.ids import CaseId, ThreadId

_PLACE: Final = "case thread"
_MOST: Final = 16_384


_BEGUN: Final = (case_thread.c.begun_at, case_thread.c.thread)
_PERSON_IS_OURS: Final = case_thread.c.ours.bitwise_and(PERSON_OURS) != 0

_NEW: Final = upsert(case_thread)
_PUT: Final = _NEW.on_conflict_do_update(index_elements=case_thread.primary_key, set_=_NEW.excluded)
_NAME: Final = upsert(case_name).on_conflict_do_nothing(index_elements=case_name.primary_key)
_ADD_WORDS: Final = upsert(found_by).on_conflict_do_nothing()
_FIND: Final = select(case_thread).where(case_thread.c.thread == bindparam("which"))
_THREADS: Final = select(case_thread).order_by(*_BEGUN)
_WITH_OWN_PERSON: Final = _THREADS.where(case_thread.c.own_person == bindparam("key"))
_WITH_NUMBER: Final = _THREADS.where(case_thread.c.number == bindparam("key"))
_OF: Final = _THREADS.where(case_thread.c.case_id.in_(bindparam("cases", expanding=True)))
_WITH_OTHER_PERSON: Final = select(case_thread.c.thread).where(case_thread.c.other_person == bindparam("key"))
_SHARING_NUMBER: Final = select(case_thread.c.thread).where(case_thread.c.number == bindparam("key"))
_GOING_ON_FROM: Final = select(case_thread.c.thread).where(case_thread.c.link == bindparam("which"))
_OWN_PERSON: Final = (
    select(case_thread.c.own_person)
    .where(case_thread.c.other_person == bindparam("other"), case_thread.c.own_person.is_not(None), _PERSON_IS_OURS)
    .order_by(*_BEGUN)
    .limit(1)
)
_OWN_PERSON_BY_US: Final = _OWN_PERSON.where(case_thread.c.ours.bitwise_and(OTHER_OURS) != 0)
_LEADING: Final = _THREADS.where(
    case_thread.c.number == bindparam("key"),
    case_thread.c.ours.bitwise_and(NUMBER_OURS) != 0,
    or_(
        and_(case_thread.c.own_person.is_not(None), _PERSON_IS_OURS),
        and_(case_thread.c.own_person.is_(None), case_thread.c.other_person.is_not(None)),
    ),
).limit(1)


async def find(tx: Transaction, thread_id: ThreadId) -> CaseThread | None:
    """Return what is known of a thread, or None."""
    row = (await tx.connection.execute(_FIND, {"which": thread_id})).one_or_none()
    return None if row is None else _row(tx, row)


async def put(tx: Transaction, row: CaseThread) -> None:
    """Store `row` in the place of what stood there; every case that the thread was ever in leads to it."""
    values = {
        "thread": row.thread,
        "case_id": row.case_id,
        "begun_at": row.begun_at,
        "changed_at": row.changed_at,
        "own_person": row.own_person,
        "other_person": row.other_person,
        "number": row.number,
        "link": row.link,
        "ours": row.ours,
        "sealed": tx.vault.seal(_PLACE, row.thread, cbor.encode(row.facts.value())),
    }
    await tx.connection.execute(_PUT, values)
    await tx.connection.execute(_NAME, {"case_id": row.case_id, "thread": row.thread})


async def with_own_person(tx: Transaction, key: bytes) -> list[CaseThread]:
    """Return the threads in which our own register has the person under that number, the first begun first."""
    return [_row(tx, row) for row in await tx.connection.execute(_WITH_OWN_PERSON, {"key": key})]


async def with_number(tx: Transaction, key: bytes) -> list[CaseThread]:
    """Return the threads of that number of our register, the first begun first."""
    return [_row(tx, row) for row in await tx.connection.execute(_WITH_NUMBER, {"key": key})]


async def with_other_person(tx: Transaction, key: bytes) -> set[ThreadId]:
    """Return the threads in which another agency's person has that number."""
    return set(await tx.connection.scalars(_WITH_OTHER_PERSON, {"key": key}))


async def sharing_number(tx: Transaction, key: bytes) -> set[ThreadId]:
    """Return the threads of that number of our register."""
    return set(await tx.connection.scalars(_SHARING_NUMBER, {"key": key}))


async def going_on_from(tx: Transaction, thread_id: ThreadId) -> set[ThreadId]:
    """Return the threads that say that they go on from this one."""
    return set(await tx.connection.scalars(_GOING_ON_FROM, {"which": thread_id}))


async def begun_from(
    tx: Transaction, among: Collection[ThreadId], *, machine: str, side: str
) -> list[tuple[ThreadId, ThreadId]]:
    """Return which threads of that life cycle and side of ours go on from one of `among`: (from, thread).

    The first begun comes first.
    """
    rows = await tx.connection.execute(
        select(case_thread.c.link, case_thread.c.thread)
        .join(thread, thread.c.thread == case_thread.c.thread)
        .where(case_thread.c.link.in_(list(among)), thread.c.machine == machine, thread.c.side == side)
        .order_by(thread.c.begun_at, thread.c.thread)
    )
    return [(row.link, row.thread) for row in rows]


async def own_person(tx: Transaction, other: bytes, *, by_us: bool = False) -> bytes | None:
    """Return the person of our register who is another agency's `other`, as we said first; None if we never did.

    With `by_us` only where we said both: that the person is `other` may else be what the other agency said there.
    """
    found: bytes | None = await tx.connection.scalar(_OWN_PERSON_BY_US if by_us else _OWN_PERSON, {"other": other})
    return found


async def leading(tx: Transaction, number: bytes) -> CaseThread | None:
    """Return the thread begun first in which we gave it that number and that says which person it is about."""
    row = (await tx.connection.execute(_LEADING, {"key": number})).one_or_none()
    return None if row is None else _row(tx, row)


async def of(tx: Transaction, cases: Iterable[CaseId]) -> list[CaseThread]:
    """Return the threads of these cases, the first begun first."""
    return [_row(tx, row) for row in await tx.connection.execute(_OF, {"cases": list(cases)})]


async def current(tx: Transaction, case_id: CaseId) -> CaseId | None:
    """Return the id that a case has now, whichever of its ids this is; None for one that never was (CAS-3)."""
    found: CaseId | None = await tx.connection.scalar(
        select(case_thread.c.case_id).where(case_thread.c.case_id == case_id).limit(1)
    )
    if found is None:
        found = await tx.connection.scalar(
            select(case_thread.c.case_id)
            .join(case_name, case_name.c.thread == case_thread.c.thread)
            .where(case_name.c.case_id == case_id)
        )
    return found


async def alike(
    tx: Transaction, among: Collection[ThreadId], *, machine: str, asked: str, without: str, span: int, most: int
) -> Mapping[ThreadId, list[ThreadId]]:
    """Return, for each thread of `among` that has any, up to `most` earlier ones of its case, the newest first.

    They ask for the like: they are of the same `machine` and side and began at most `span` ms before; not what it says
    it goes on from, and none in the state `without`, in which neither counts. On the side that is `asked` they are
    anybody's, on the other side those with the same desk.
    """
    later, earlier = case_thread.alias(), case_thread.alias()
    one, other = thread.alias(), thread.alias()
    newest = (earlier.c.begun_at.desc(), earlier.c.thread.desc())
    place = func.row_number().over(partition_by=later.c.thread, order_by=newest).label("place")
    found = (
        select(later.c.thread.label("later"), earlier.c.thread.label("earlier"), place)
        .join(earlier, earlier.c.case_id == later.c.case_id)
        .join(one, one.c.thread == later.c.thread)
        .join(other, other.c.thread == earlier.c.thread)
        .where(
            later.c.thread.in_(list(among)),
            tuple_(earlier.c.begun_at, earlier.c.thread) < tuple_(later.c.begun_at, later.c.thread),
            earlier.c.begun_at >= later.c.begun_at - span,
            or_(later.c.link.is_(None), later.c.link != earlier.c.thread),
            one.c.machine == machine,
            other.c.machine == machine,
            one.c.state != without,
            other.c.state != without,
            one.c.side == other.c.side,
            or_(one.c.side == asked, one.c.peer_desk == other.c.peer_desk),
        )
        .subquery()
    )
    rows = await tx.connection.execute(
        select(found.c.later, found.c.earlier).where(found.c.place <= most).order_by(found.c.later, found.c.place)
    )
    beside: dict[ThreadId, list[ThreadId]] = {}
    for thread_id, before in rows:
        beside.setdefault(thread_id, []).append(before)
    return beside


async def find_by(tx: Transaction, thread_id: ThreadId, wanted: Collection[bytes]) -> None:
    """Let a thread be found by these keyed hashes too."""
    rows = [{"word": word, "thread": thread_id} for word in sorted(wanted)]
    if rows:
        await tx.connection.execute(_ADD_WORDS, rows)


async def find_only_by(tx: Transaction, thread_id: ThreadId, wanted: Collection[bytes]) -> None:
    """Let a thread be found by these keyed hashes, and by no other any more."""
    await tx.connection.execute(found_by.delete().where(found_by.c.thread == thread_id))
    await find_by(tx, thread_id, wanted)


async def clear(tx: Transaction) -> None:
    """Forget all of it, to be made anew from the messages."""
    for table in (case_thread, case_name, found_by):
        await tx.connection.execute(table.delete())


def _row(tx: Transaction, row: Row[Any]) -> CaseThread:
    try:
        known = Facts.of(cbor.decode(tx.vault.open(_PLACE, row.thread, row.sealed), limit=_MOST))
    except DAMAGED:
        # Its messages say it once more as soon as one is taken note of; until then the others are shown (CON-8).
        known = None
    return CaseThread(
        thread=row.thread,
        case_id=row.case_id,
        begun_at=row.begun_at,
        changed_at=row.changed_at,
        facts=known or Facts(),
        own_person=row.own_person,
        other_person=row.other_person,
        number=row.number,
        link=row.link,
        ours=row.ours,
        damaged=known is None,
    )
