# SPDX-License-Identifier: Apache-2.0
"""Threads as they stand now. Every row follows from the thread's moves: it is a place to look, not the truth."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Row, and_, bindparam, or_, select, tuple_
from sqlalchemy.dialects.sqlite import insert as upsert

from connectors.faults import DAMAGED, NO_DESK, desk_of_row
from connectors.store.engine import Transaction
from connectors.store.threadtables import thread
from protocol import cbor
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.errors import KeystoreError, NotFound
from protocol.ids import MessageId, OfficerId, ThreadId
from protocol.lifecycle.handover import HANDOVER
from protocol.lifecycle.referral import REFERRAL
from protocol.sections import as_agency
from protocol.shapes import as_text, as_tuple

MACHINES: Final = (REFERRAL.name, HANDOVER.name)
DAMAGED_WORD: Final = "damaged"
"""What stands where a word of a damaged row would."""
_PLACE: Final = "thread"
_MAX_STORED: Final = 4_096


@dataclass(frozen=True, slots=True)
class ThreadRow:
    """One thread; times in ms UTC. `side` is this agency's own, in the words of the machine's table.

    `begun_by` is the message that began it, `version` counts its changes, `live` says whether something is still to be
    done, `officer` who has it here, `due_at` until when an answer is due, `alert` what this side must hear of first and
    `alerts` a mark of each that stands; `begins` and `answers` are the two agencies. A list also has what the disk has
    `damaged`: what stands in clear of it.
    """

    thread: ThreadId
    machine: str
    side: str
    own_desk: DeskAddress
    peer_desk: DeskAddress
    begun_by: MessageId
    begun_at: int
    changed_at: int
    version: int
    state: str
    live: bool
    officer: OfficerId | None
    due_at: int | None
    alert: str | None
    subject: str
    priority: str
    begins: AgencyAddress
    answers: AgencyAddress
    damaged: bool = False
    alerts: frozenset[str] = frozenset()

    def involves(self, agency: AgencyAddress) -> bool:
        """Tell whether it is one of the two; anybody else who knows the thread's id has no part in it (LIF-6)."""
        return agency in (self.begins, self.answers)

    def is_between(self, sender: DeskAddress, recipient: DeskAddress) -> bool:
        """Tell whether what `sender` says to our desk `recipient` is said in it; each side has one desk (LIF-6)."""
        return (sender, recipient) == (self.peer_desk, self.own_desk)


_NEW: Final = upsert(thread)
_PUT: Final = _NEW.on_conflict_do_update(index_elements=thread.primary_key, set_=_NEW.excluded)
_FIND: Final = select(thread).where(thread.c.thread == bindparam("which"))


async def put(tx: Transaction, row: ThreadRow) -> None:
    """Store `row` in the place of what stood there."""
    values = {
        "thread": row.thread,
        "machine": row.machine,
        "side": row.side,
        "own_desk": row.own_desk,
        "peer_desk": row.peer_desk,
        "begun_by": row.begun_by,
        "begun_at": row.begun_at,
        "changed_at": row.changed_at,
        "version": row.version,
        "state": row.state,
        "live": int(row.live),
        "officer": row.officer,
        "due_at": row.due_at,
        "alert": row.alert,
        "alerts": " ".join(sorted(row.alerts)),
        "sealed": tx.vault.seal(_PLACE, row.thread, cbor.encode([row.subject, row.priority, row.begins, row.answers])),
    }
    await tx.connection.execute(_PUT, values)


async def find(tx: Transaction, thread_id: ThreadId) -> ThreadRow | None:
    """Return the thread, or None if none of ours has that id."""
    row = (await tx.connection.execute(_FIND, {"which": thread_id})).one_or_none()
    return None if row is None else _row(tx, row)


async def clear(tx: Transaction, thread_id: ThreadId) -> ThreadRow:
    """Return what stands in clear of a thread that cannot be read any more."""
    return _clear((await tx.connection.execute(_FIND, {"which": thread_id})).one())


@dataclass(frozen=True, slots=True)
class Standing:
    """How a thread stands, of what lies in clear; also of one that the disk has damaged."""

    machine: str
    side: str
    state: str
    peer_desk: DeskAddress


_STANDING: Final = select(thread.c.machine, thread.c.side, thread.c.state, thread.c.peer_desk).where(
    thread.c.thread == bindparam("which")
)


async def standing(tx: Transaction, thread_id: ThreadId) -> Standing | None:
    """Return how a thread stands without opening anything of it, or None if none of ours has that id."""
    row = (await tx.connection.execute(_STANDING, {"which": thread_id})).one_or_none()
    return None if row is None else Standing(row.machine, row.side, row.state, desk_of_row(row.peer_desk))


async def load(tx: Transaction, thread_id: ThreadId) -> ThreadRow:
    """Return the thread, or raise `NotFound`."""
    row = await find(tx, thread_id)
    if row is None:
        raise NotFound
    return row


@dataclass(frozen=True, slots=True)
class Filter:
    """Which threads to list; None is any. `unassigned` and `closed` mean what caseworkers mean by them."""

    machine: str
    sides: frozenset[str] | None = None
    owing: Mapping[str, frozenset[str]] | None = None
    """In which states each side is the one that has to do something."""
    states: frozenset[str] | None = None
    officer: OfficerId | None = None
    unassigned: bool = False
    live: bool | None = None
    due_before: int | None = None
    alerted: bool = False
    desks: frozenset[DeskAddress] | None = None
    """Of which of our desks (CON-19)."""


async def page(tx: Transaction, what: Filter, *, before: tuple[int, ThreadId] | None, limit: int) -> list[ThreadRow]:
    """Return up to `limit` threads, newest change first, after the place `before` (changed_at, thread)."""
    conditions: list[ColumnElement[bool]] = [thread.c.machine == what.machine]
    if what.sides is not None:
        conditions.append(thread.c.side.in_(sorted(what.sides)))
    if what.owing is not None:
        owing = [and_(thread.c.side == side, thread.c.state.in_(sorted(of))) for side, of in what.owing.items()]
        conditions.append(or_(*owing))
    if what.states is not None:
        conditions.append(thread.c.state.in_(sorted(what.states)))
    if what.officer is not None:
        conditions.append(thread.c.officer == what.officer)
    if what.unassigned:
        conditions.append(thread.c.officer.is_(None))
    if what.live is not None:
        conditions.append(thread.c.live == int(what.live))
    if what.due_before is not None:
        conditions.append(and_(thread.c.due_at.is_not(None), thread.c.due_at <= what.due_before))
    if what.alerted:
        conditions.append(thread.c.alert.is_not(None))
    if what.desks is not None:
        conditions.append(thread.c.own_desk.in_(sorted(what.desks)))
    if before is not None:
        conditions.append(tuple_(thread.c.changed_at, thread.c.thread) < tuple_(*before))
    rows = await tx.connection.execute(
        select(thread).where(*conditions).order_by(thread.c.changed_at.desc(), thread.c.thread.desc()).limit(limit)
    )
    return [_listed(tx, row) for row in rows]


async def of_desks(tx: Transaction, among: Collection[ThreadId], desks: Collection[DeskAddress]) -> set[ThreadId]:
    """Return which of these threads are those of these desks of ours."""
    where = thread.c.thread.in_(among), thread.c.own_desk.in_(desks)
    return set(await tx.connection.scalars(select(thread.c.thread).where(*where)))


def _listed(tx: Transaction, row: Row[Any]) -> ThreadRow:
    """Return a thread for a list, in which one that cannot be read must not hide the others (CON-8)."""
    try:
        return _row(tx, row)
    except DAMAGED:
        return _clear(row)


def _row(tx: Transaction, row: Row[Any]) -> ThreadRow:
    clear = _clear(row)
    if clear.machine not in MACHINES or NO_DESK in (clear.own_desk, clear.peer_desk):
        raise KeystoreError("A stored thread is of no life cycle or desk that there can be: the store is damaged.")
    opened = tx.vault.open(_PLACE, row.thread, row.sealed)
    subject, priority, begins, answers = as_tuple(cbor.decode(opened, limit=_MAX_STORED), 4)
    return replace(
        clear,
        subject=as_text(subject, most=100),
        priority=as_text(priority, most=20),
        begins=as_agency(begins),
        answers=as_agency(answers),
        damaged=False,
    )


def _clear(row: Row[Any]) -> ThreadRow:
    """Return what stands in clear; of the two agencies only those of the desks are known."""
    return ThreadRow(
        thread=row.thread,
        machine=row.machine,
        side=row.side,
        own_desk=desk_of_row(row.own_desk),
        peer_desk=desk_of_row(row.peer_desk),
        begun_by=row.begun_by,
        begun_at=row.begun_at,
        changed_at=row.changed_at,
        version=row.version,
        state=row.state,
        live=bool(row.live),
        officer=row.officer,
        due_at=row.due_at,
        alert=row.alert,
        subject="",
        priority=DAMAGED_WORD,
        begins=agency_of(desk_of_row(row.own_desk)),
        answers=agency_of(desk_of_row(row.peer_desk)),
        damaged=True,
        alerts=frozenset(str(row.alerts).split()),
    )
