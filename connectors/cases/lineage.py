# SPDX-License-Identifier: Apache-2.0
"""Which referral goes on from which: the sub-referrals, the forward and the residual of a thread (REF-10, REF-11)."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from connectors.cases.sides import ROLES
from connectors.faults import DAMAGED
from connectors.store import cases, moves, threads
from connectors.store.engine import Transaction
from connectors.store.moves import MoveRow
from connectors.store.threads import ThreadRow
from protocol import ids
from protocol.http.threads import ChildView, GoesOnView, Relation
from protocol.ids import Kind, ThreadId
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.referral.request import Request
from protocol.lifecycle.referral import REFERRAL, Event

MOST: Final = 50
"""Referrals that are shown as going on from one thread, those begun first."""
ENDING: Final = frozenset({Event.FINISH, Event.COMPLETE, Event.END_EARLY, Event.DECLINE_LATE, Event.CONFIRM_CANCEL})
"""Steps by which a recipient ends a referral: what it referred on should be over by then."""


@dataclass(frozen=True, slots=True)
class Child:
    """A referral of ours that goes on from a thread."""

    row: ThreadRow
    relation: Relation

    def view(self) -> ChildView:
        """Return it as the local interface shows it."""
        row = self.row
        return ChildView(thread=row.thread, relation=self.relation, to=row.peer_desk, state=row.state, live=row.live)


async def children(tx: Transaction, among: Collection[ThreadId]) -> Mapping[ThreadId, list[Child]]:
    """Return the referrals of ours that go on from each of these threads, the first begun first."""
    found: dict[ThreadId, list[Child]] = {thread: [] for thread in among}
    begins = ROLES[REFERRAL.name].begins
    for parent, thread in await cases.begun_from(tx, among, machine=REFERRAL.name, side=begins):
        if len(found[parent]) == MOST:
            continue
        try:
            row = await threads.load(tx, thread)
            request = request_of(row, await moves.of(tx, thread))
        except DAMAGED:
            continue  # shown as such in the lists and in its case
        relation = None if request is None else dict(_named(request)).get(ids.text(Kind.THREAD, parent))
        if relation is not None:
            found[parent].append(Child(row, relation))
    return found


async def open_sub_referrals(tx: Transaction, thread: ThreadId) -> tuple[ThreadId, ...]:
    """Return the sub-referrals of a thread that are not over (REF-11)."""
    return tuple(
        one.row.thread
        for one in (await children(tx, [thread]))[thread]
        if one.relation is Relation.SUB_REFERRAL and one.row.live
    )


def goes_on_from(row: ThreadRow, stored: Sequence[MoveRow]) -> GoesOnView | None:
    """Return which referral a thread says that it goes on from, or None."""
    request = request_of(row, stored)
    for thread, relation in [] if request is None else _named(request):
        return GoesOnView(thread=ThreadId(ids.raw(Kind.THREAD, thread)), relation=relation)
    return None


def request_of(row: ThreadRow, stored: Sequence[MoveRow]) -> Request | None:
    """Return what the referral asks for, as it was sent; None for a thread that is none."""
    for one in stored:
        if row.machine == REFERRAL.name and one.message_id == row.begun_by and one.event == Event.SEND:
            found = decode_payload(KINDS["referral.request"], one.payload)
            return found if isinstance(found, Request) else None
    return None


def _named(request: Request) -> list[tuple[str, Relation]]:
    named = (
        (request.reopens, Relation.REOPENED),
        (request.part_of, Relation.SUB_REFERRAL),
        (request.residual_of, Relation.RESIDUAL),
        (request.forwards, Relation.FORWARD),
    )
    return [(thread, relation) for thread, relation in named if thread is not None]
