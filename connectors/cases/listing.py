# SPDX-License-Identifier: Apache-2.0
"""Threads as the local interface shows them: the lists that caseworkers use, and one thread whole."""

import json
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Final

from connectors.bound import Desks, must_see, sees, sees_either
from connectors.cases import returned, twice, undone
from connectors.cases.alike import Beside, similar
from connectors.cases.correcting import marked, views, without_sections
from connectors.cases.forms import stored_sections
from connectors.cases.lineage import children, goes_on_from
from connectors.cases.residual import residual_of
from connectors.cases.responsibility import responsibility_of
from connectors.cases.sides import OBSERVER, ROLES
from connectors.cases.stopped import withheld_here
from connectors.cases.threads import Threads, history_of
from connectors.cases.waiting import owed_by
from connectors.faults import DAMAGED
from connectors.handover_views import at_desks, came_sections, sent_sections
from connectors.store import cases, cursors, forgotten, incoming, lost, moves, outgoing, recipients, threads
from connectors.store.engine import Store, Transaction
from connectors.store.lost import Lost
from connectors.store.moves import MoveRow
from connectors.store.outgoing import OutgoingMessage
from connectors.store.sequences import Direction
from connectors.store.threads import Filter, ThreadRow
from connectors.timing import Clock
from protocol.address import DeskAddress
from protocol.errors import InvalidInput
from protocol.handover import PAYLOAD_TYPE
from protocol.http.handovers import CorrectionView, RecipientView, SectionView
from protocol.http.threads import (
    AlertView,
    ForgottenView,
    ListName,
    LostView,
    ResidualView,
    RungView,
    ServiceLeft,
    StepView,
    ThreadFilter,
    ThreadItem,
    ThreadPage,
    ThreadView,
)
from protocol.ids import MessageId, ThreadId
from protocol.lifecycle.alerts import AlertKind
from protocol.lifecycle.history import History, Step
from protocol.lifecycle.ladder import ladder
from protocol.limits import DAY
from protocol.shapes import as_bytes, as_int, as_tuple

SOON: Final = 2 * DAY
"""How long before something of ours is due it stands in the list of that."""
_CURSOR: Final = "thread cursor"


class Listing:
    """The service behind the operations that only look."""

    def __init__(self, store: Store, threads_: Threads, clock: Clock) -> None:
        """Look into `store`."""
        self._store = store
        self._threads = threads_
        self._clock = clock

    async def list(self, query: ThreadFilter, *, desks: Desks = None) -> ThreadPage:
        """Return a page of threads, the one that changed last first."""
        async with self._store.read() as tx:
            wanted = replace(self._filter(query), desks=desks)
            found = await threads.page(tx, wanted, before=_place(tx, query.cursor), limit=query.limit + 1)
            beside = await similar(tx, [row.thread for row in found[: query.limit]], desks)
            more = (
                cursors.seal(tx, _CURSOR, [found[query.limit - 1].changed_at, found[query.limit - 1].thread])
                if len(found) > query.limit
                else None
            )
        return ThreadPage(
            items=[item_of(row, beside.get(row.thread, Beside())) for row in found[: query.limit]], next_cursor=more
        )

    async def show(self, thread: ThreadId, *, desks: Desks = None) -> ThreadView:
        """Return one thread; `NotFound` alike for what does not exist and what is not ours."""
        async with self._store.read() as tx:
            row = await threads.load(tx, thread)
            stored = {one.message_id: one for one in await moves.of(tx, thread)}
            await _must_see(tx, desks, row, stored.values())
            placed = await cases.find(tx, thread)
            beside = await similar(tx, [thread], desks)
            history = history_of(row, list(stored.values()))
            following = await children(tx, [thread])
            # In one thread copies can go to other desks of ours.
            gone = [one for one in await lost.of(tx, [thread]) if sees_either(desks, one.sender, one.recipient)]
            unknown = [one for one in await forgotten.of(tx, thread) if sees_either(desks, one.sender, one.recipient)]
            steps = [await _step(tx, row, stored[step.move.message_id], step, desks) for step in history.steps]
            every = list(stored.values())
            back = (*await returned.alerts(tx, row, history, every), *await undone.alerts(tx, row, history, every))
            both = await twice.alerts(tx, row, history)
            rivals = await twice.rivals(tx, row, history, desks) if both else []
        standing = (*both, *self._threads.waiting.watch(row, history, list(stored.values())).standing, *back)
        roles = ROLES[row.machine]
        responsible = responsibility_of(row, history, list(stored.values()))
        return ThreadView(
            item=item_of(row, beside.get(thread, Beside())),
            case=placed.case_id if placed and desks is None else None,
            subject=row.subject,
            lead=responsible.lead,
            lead_since=responsible.since,
            supervisor=responsible.supervisor,
            no_supervisor=responsible.nobody,
            residual=_residual(row, history, stored),
            goes_on_from=goes_on_from(row, list(stored.values())),
            children=[one.view() for one in following[thread] if sees(desks, one.row.own_desk)],
            ladder=[
                RungView(ack=ack, at=rung.at, signer=rung.signer, message=rung.message_id)
                for ack, rung in ladder(history).items()
            ],
            alerts=[
                AlertView(
                    kind=one.kind,
                    since=one.since,
                    appointment=one.appointment,
                    what=one.what,
                    by=one.by,
                    message=one.message_id,
                    threads=rivals if one.kind is AlertKind.HANDED_OVER_TWICE else [],
                )
                for one in standing
            ],
            lost=[lost_view(one) for one in gone],
            forgotten=[
                ForgottenView(sender=one.sender, recipient=one.recipient, count=one.count, since=one.since)
                for one in unknown
            ],
            steps=steps,
            possible=list(
                dict.fromkeys(
                    one.event
                    for one in roles.machine.open_to(history.position, row.side)
                    if one.in_time(history.since, self._clock())
                )
            ),
        )

    def _filter(self, query: ThreadFilter) -> Filter:
        machine, roles = query.machine.value, ROLES[query.machine]
        answers = frozenset({roles.answers})
        match query.list:
            case ListName.ALL:
                return Filter(machine, officer=query.officer)
            case ListName.NEW:
                return Filter(machine, sides=answers, states=_UNTOUCHED[machine])
            case ListName.MINE:
                if query.officer is None:
                    raise InvalidInput("The list `mine` needs to know whose: ?officer=ID.")
                return Filter(machine, officer=query.officer, live=True)
            case ListName.UNASSIGNED:
                return Filter(machine, sides=answers, live=True, unassigned=True)
            case ListName.SENT:
                return Filter(machine, sides=frozenset({roles.begins}))
            case ListName.ANSWER_DUE:
                owing = {side: owed_by(machine, side) for side in (roles.begins, roles.answers)}
                return Filter(machine, owing=owing, live=True, due_before=self._clock() + SOON)
            case ListName.ALERTS:
                return Filter(machine, alerted=True)
            case ListName.CLOSED:
                return Filter(machine, live=False)


_UNTOUCHED: Final[Mapping[str, frozenset[str]]] = {
    "referral": frozenset({"sent", "delivered"}),
    "handover": frozenset({"offered"}),
}


def item_of(row: ThreadRow, beside: Beside) -> ThreadItem:
    """Return a thread as lists show it; `beside` are earlier referrals about the same person."""
    return ThreadItem(
        thread=row.thread,
        machine=row.machine,
        side=row.side,
        state=row.state,
        live=row.live,
        own_desk=row.own_desk,
        peer_desk=row.peer_desk,
        priority=row.priority,
        begun_at=row.begun_at,
        changed_at=row.changed_at,
        due_at=row.due_at,
        officer=row.officer,
        alert=row.alert,
        similar=list(beside.threads),
        similar_more=beside.more,
        version=row.version,
        damaged=row.damaged,
    )


def lost_view(one: Lost) -> LostView:
    """Return a message that was lost, as it is shown."""
    return LostView(
        message=one.message_id, thread=one.thread, sender=one.sender, recipient=one.recipient, since=one.since
    )


def _residual(row: ThreadRow, history: History, stored: Mapping[MessageId, MoveRow]) -> ResidualView | None:
    left = residual_of(row, history, list(stored.values()))
    if left is None:
        return None
    services = [ServiceLeft(code=code, reason=reason) for code, reason in left.services]
    return ResidualView(services=services, draft=left.draft if row.side == ROLES[row.machine].begins else None)


async def _step(tx: Transaction, row: ThreadRow, stored: MoveRow, step: Step, desks: Desks) -> StepView:
    sections, at, corrections = list[SectionView](), list[RecipientView](), list[CorrectionView]()
    damaged, withheld = False, None
    try:
        sent = await outgoing.load(tx, stored.message_id) if stored.direction is Direction.OUT else None
        sender = row.peer_desk if sent is None else sent.sender_desk
        came = (row.thread, stored.payload) if sent is None else None
        corrections = await views(tx, stored.message_id, sender, desks, came=came)
        sections, withheld = await _sections(tx, row, stored, sent, desks)
        if sent is not None:
            at = await at_desks(tx, await recipients.of(tx, sent.message_id), stored_sections(sent))
    except DAMAGED:
        # The step itself is whole, and so is the rest of the thread (CON-8).
        damaged = True
    return StepView(
        message=stored.message_id,
        event=stored.event,
        actor=stored.actor,
        signer=stored.signer,
        at=stored.at,
        leaf_index=stored.leaf_index,
        refused=step.refused,
        state=step.after.state,
        payload=json.loads(stored.payload),
        sections=marked(sections, corrections),
        recipients=at,
        damaged=damaged,
        corrections=without_sections(corrections) if withheld else corrections,
        withheld=withheld,
    )


async def _came_at(tx: Transaction, row: ThreadRow, stored: MoveRow) -> list[DeskAddress]:
    """Return the desks of ours at which a move of the other side came; a copy can go to several (HAN-10).

    What that side sends under its id in another thread is of somebody else, and nothing of this one (CON-9).
    """
    came = await incoming.under(tx, stored.message_id)
    return [one.recipient_desk for one in came if (one.sender_desk, one.thread) == (row.peer_desk, row.thread)]


async def _must_see(tx: Transaction, desks: Desks, row: ThreadRow, stored: Collection[MoveRow]) -> None:
    """Raise `NotFound` for a thread of other desks; a copy is the thread of each desk at which one came (CON-19)."""
    if row.side == OBSERVER and not sees(desks, row.own_desk):
        at = {desk for one in stored if one.direction is Direction.IN for desk in await _came_at(tx, row, one)}
        if any(sees(desks, desk) for desk in at):
            return
    must_see(desks, row.own_desk)


async def _sections(
    tx: Transaction, row: ThreadRow, stored: MoveRow, sent: OutgoingMessage | None, desks: Desks
) -> tuple[list[SectionView], str | None]:
    """Return the sections of a step as they are shown, and why those that came are not (CON-26)."""
    if sent is not None:
        # The package of an offer has a view of its own: GET /v1/handovers/{id}.
        return [] if sent.payload_type == PAYLOAD_TYPE else sent_sections(sent, stored_sections(sent)), None
    found, why = list[SectionView](), None
    # A copy can go to several desks of ours, each with sections of its own (HAN-10).
    for desk in await _came_at(tx, row, stored):
        message = await incoming.known(tx, stored.message_id, row.peer_desk, desk) if sees(desks, desk) else None
        if message is None or message.payload != stored.payload:
            continue  # another message, which its sender has put under the same id
        withheld = await withheld_here(tx, message)
        found += [] if withheld else came_sections(message)
        why = why or withheld
    return found, why


def _place(tx: Transaction, cursor: str | None) -> tuple[int, ThreadId] | None:
    if cursor is None:
        return None
    at, thread = as_tuple(cursors.unseal(tx, _CURSOR, cursor), 2)
    return as_int(at), ThreadId(as_bytes(thread))
