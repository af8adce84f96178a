# SPDX-License-Identifier: Apache-2.0
"""Which case each thread belongs to, and what its messages say that decides it (CAS-1).

What is known of a thread only grows: `merge` gives the same whatever the order in which messages are taken note of,
and however often, so a replay of the stored messages ends where the first time did (CAS-2).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, Select, and_, bindparam, case, false, func, or_, select, tuple_
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.numbering import telling
from connectors.store.engine import Transaction
from connectors.store.tables import case_name, case_thread, found_by, thread
from protocol import cbor, limits
from protocol.ids import CaseId, MessageId, ThreadId
from protocol.shapes import as_bytes, as_int, as_list, as_text, as_tuple

NUMBER_OURS: Final = 1
PERSON_OURS: Final = 2

_PLACE: Final = "case thread"
_MOST: Final = 16_384


@dataclass(frozen=True, slots=True, order=True)
class Stated:
    """Something that a message says. What our own agency says of itself counts before what another says of it."""

    ours: bool
    at: int
    message_id: MessageId
    values: tuple[str, ...]

    def value(self) -> cbor.Value:
        """Return the stored form."""
        return [int(self.ours), self.at, self.message_id, list(self.values)]

    @classmethod
    def of(cls, stored: cbor.Value) -> "Stated":
        """Read it again."""
        ours, at, message_id, values = as_tuple(stored, 4)
        return cls(
            bool(as_int(ours)),
            as_int(at),
            MessageId(as_bytes(message_id)),
            tuple(as_text(one, most=limits.MAX_NAME * 10) for one in as_list(values, most=8)),
        )


@dataclass(frozen=True, slots=True)
class Facts:
    """What the messages of one thread say, each the newest of its kind.

    `number` is our register's number of the correspondence, `other_number` another agency and its own; `own_person`
    the person's number in our register, `other_person` another agency and its own; `link` a thread that this one goes
    on from; `name` the family name, the given names and the date of birth, as far as they are known.
    """

    number: Stated | None = None
    other_number: Stated | None = None
    own_person: Stated | None = None
    other_person: Stated | None = None
    link: Stated | None = None
    name: Stated | None = None

    def value(self) -> cbor.Value:
        """Return the stored form."""
        known = ((place, getattr(self, one.name)) for place, one in enumerate(fields(self)))
        return [[place, stated.value()] for place, stated in known if stated is not None]

    @classmethod
    def of(cls, stored: cbor.Value) -> "Facts":
        """Read it again."""
        names = [one.name for one in fields(cls)]
        found = {}
        for item in as_list(stored, most=len(names)):
            place, stated = as_tuple(item, 2)
            found[names[as_int(place, most=len(names) - 1)]] = Stated.of(stated)
        return cls(**found)


_NUMBERS: Final = frozenset({"number", "other_number", "own_person", "other_person"})


def merge(one: Facts, other: Facts) -> Facts:
    """Return what both say together; what only stands for a number takes the place of none that was said (CAS-7)."""
    changed = {}
    for name in (field.name for field in fields(Facts)):
        mine, theirs = getattr(one, name), getattr(other, name)
        if theirs is not None and (mine is None or _rank(name, theirs) > _rank(name, mine)):
            changed[name] = theirs
    return replace(one, **changed)


def _rank(name: str, stated: Stated) -> tuple[bool, Stated]:
    return name not in _NUMBERS or telling(stated.values[-1]), stated


@dataclass(frozen=True, slots=True)
class CaseThread:
    """One thread in its case; times in ms UTC. The keys are keyed hashes of what the facts name."""

    thread: ThreadId
    case_id: CaseId
    begun_at: int
    changed_at: int
    facts: Facts
    own_person: bytes | None = None
    other_person: bytes | None = None
    number: bytes | None = None
    link: ThreadId | None = None
    ours: int = 0

    @property
    def keys(self) -> tuple[bytes | None, bytes | None, bytes | None, ThreadId | None, int]:
        """What decides the case."""
        return self.own_person, self.other_person, self.number, self.link, self.ours


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


async def own_person(tx: Transaction, other: bytes) -> bytes | None:
    """Return the person of our register who is another agency's `other`, as we said first; None if we never did."""
    found: bytes | None = await tx.connection.scalar(_OWN_PERSON, {"other": other})
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
    """One case in numbers; times in ms UTC. `due_at` is when the next answer of its threads is due."""

    case_id: CaseId
    threads: int
    live: int
    begun_at: int
    changed_at: int
    due_at: int | None


_LIVE = func.coalesce(func.sum(thread.c.live), 0)
_DUE = func.min(case((thread.c.live == 1, thread.c.due_at)))
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


async def alike(
    tx: Transaction, among: Collection[ThreadId], *, machine: str, asked: str, span: int, most: int
) -> Mapping[ThreadId, list[ThreadId]]:
    """Return, for each thread of `among` that has any, up to `most` earlier ones of its case, the newest first.

    They ask for the like: they are of the same `machine` and side and began at most `span` ms before; not what it says
    it goes on from. On the side that is `asked` they are anybody's, on the other side those with the same desk.
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


async def clear(tx: Transaction) -> None:
    """Forget all of it, to be made anew from the messages."""
    for table in (case_thread, case_name, found_by):
        await tx.connection.execute(table.delete())


def _row(tx: Transaction, row: Row[Any]) -> CaseThread:
    opened = tx.vault.open(_PLACE, row.thread, row.sealed)
    return CaseThread(
        thread=row.thread,
        case_id=row.case_id,
        begun_at=row.begun_at,
        changed_at=row.changed_at,
        facts=Facts.of(cbor.decode(opened, limit=_MOST)),
        own_person=row.own_person,
        other_person=row.other_person,
        number=row.number,
        link=row.link,
        ours=row.ours,
    )
