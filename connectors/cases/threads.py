# SPDX-License-Identifier: Apache-2.0
"""Keeps every thread's row true to its moves: each message and each receipt that says more folds it anew (LIF-4).

All of this happens in the transaction that takes the message in, so a thread never says less or more than the store
holds. Nothing is remembered that the signed messages do not say; a thread can be made anew from them at any time.
"""

from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import replace
from typing import Final

from connectors.cases import entries, returned, stopped, twice, undone
from connectors.cases.forceless import forceless
from connectors.cases.mending import Mending
from connectors.cases.register import Register
from connectors.cases.residual import keep_draft
from connectors.cases.sides import OBSERVER, ROLES, STRANGER, Roles
from connectors.cases.stopped import IN_ERROR
from connectors.cases.terms import officer_of
from connectors.cases.waiting import Waiting
from connectors.faults import DAMAGED
from connectors.logs import Log
from connectors.store import (
    attempts,
    events,
    forgotten,
    incoming,
    lost,
    moves,
    outgoing,
    recipients,
    threads,
)
from connectors.store.engine import Transaction
from connectors.store.forgotten import Forgotten
from connectors.store.incoming import ReceivedMessage
from connectors.store.lost import Lost
from connectors.store.moves import MoveRow
from connectors.store.outgoing import OutgoingMessage
from connectors.store.recipients import Plan
from connectors.store.sealings import CALLED_BACK
from connectors.store.sequences import Direction
from connectors.store.threads import ThreadRow
from connectors.timing import Clock
from protocol import ids
from protocol.address import AgencyAddress, DeskAddress
from protocol.clocks import Calendar
from protocol.content import encode_payload
from protocol.ids import CaseId, EnvelopeId, Kind, MessageId, ThreadId
from protocol.kinds.base import RegisterNumbers
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.thread import ThreadConflict
from protocol.lifecycle.history import GIVEN_UP, History, Move, Step, fold
from protocol.lifecycle.owed import ESCALATE
from protocol.rows import EnvelopeClass
from protocol.sections import Actor

CONFLICT: Final = "thread.conflict"
MESSAGE_LOST: Final = "message-lost"
"""The alert of a thread that is not over and in which a message was lost (SEQ-11)."""
FORGOTTEN: Final = "messages-forgotten"
"""The alert of one in which a side does not know all that it said: its machine was lost (SEQ-12)."""
LABEL: Final = "standard"


class Threads:
    """Takes note of moves. Every method works inside its caller's transaction."""

    def __init__(
        self,
        agency: AgencyAddress,
        service: Actor,
        calendar: Callable[[AgencyAddress], Calendar],
        register: Register,
        clock: Clock,
        log: Log,
        *,
        notice_life: int,
        secret: bytes,
    ) -> None:
        """`service` signs conflicts; `calendar` gives an agency's working days; `notice_life` in ms.

        `register` is told of every message, and puts threads into cases; `secret` goes into the ids of time's moves.
        """
        self._agency = agency
        self.mending = Mending(agency, log)
        self._service = service
        self.waiting = Waiting(calendar, clock, secret)
        self.register = register
        self._clock = clock
        self._log = log
        self._notice_life = notice_life

    async def received(self, tx: Transaction, message: ReceivedMessage, *, late: bool = False) -> None:
        """Take note of a verified message that has its effect now; what moves no thread has its place in a case.

        It comes `late` if its place on its line was passed, because its sender had said that it would not (SEQ-11).
        """
        row = await self.mending.find(tx, message.thread)
        kind = KINDS.get(message.payload_type)
        if kind is None or kind.machine is None or kind.event is None:
            await self.placed(tx, await self.register.received(tx, message, row))
            return
        payload, roles = decode_payload(kind, message.payload), ROLES[kind.machine.name]
        begun = None
        if row is None and kind.event == roles.begin:
            row = begun = entries.begun_by_other(message, payload, roles)
        cases = await self.register.received(tx, message, row, begun=begun is not None)
        between = row is not None and row.is_between(message.sender_desk, message.recipient_desk)
        moves_it = between or (row is not None and row.side == OBSERVER and row.peer_desk == message.sender_desk)
        await self.placed(tx, cases, without=message.thread if moves_it else None)
        if row is None:
            return
        if not moves_it:
            # It would stand in the history as if the other side had said it, and change the version under an officer.
            self._log.event("move-ignored")
            return
        if begun is not None and late:
            await self._catch_up(tx, begun, roles)
        actor = entries.actor_of(row, roles, message.agency, kind.event, payload)
        # Nothing can have gone on without what begins the thread: what its sender said after it stands behind it. At a
        # copy nothing goes on at all but what its sender says, and that in his own order: his last word counts (HAN-5).
        passed = late and begun is None and row.side != OBSERVER
        one = entries.received(message, kind.event, actor, late=passed)
        if row.side == OBSERVER and between and await moves.number(tx, one):
            await self.refold(tx, row)
        await self._add(tx, row, one if between else replace(one, seq=moves.ELSEWHERE))

    async def _catch_up(self, tx: Transaction, row: ThreadRow, roles: Roles) -> None:
        """Take note of what the desk that began a thread said in it while its beginning had not come."""
        for kind in KINDS.values():
            if kind.machine is not roles.machine or kind.event is None or kind.event == roles.begin:
                continue
            for message in await incoming.in_thread(tx, row.thread, kind.name):
                if row.is_between(message.sender_desk, message.recipient_desk):
                    payload = decode_payload(kind, message.payload)
                    actor = entries.actor_of(row, roles, message.agency, kind.event, payload)
                    await moves.add(tx, entries.received(message, kind.event, actor))

    async def composed(
        self, tx: Transaction, message: OutgoingMessage, peer: DeskAddress, copies: Collection[DeskAddress] = ()
    ) -> None:
        """Take note of a message of ours, which the hub has not accepted yet.

        `peer` is the desk on the other side; `copies` are all desks that it goes to, where there are more.
        """
        cases = await self.register.composed(tx, message, list(copies or [peer]))
        kind = KINDS[message.payload_type]
        if kind.machine is None or kind.event is None:
            await self.placed(tx, cases)
            return
        await self.placed(tx, cases, without=message.thread)
        payload, roles = decode_payload(kind, message.payload), ROLES[kind.machine.name]
        row = await self.mending.find(tx, message.thread)
        if row is None:
            row = entries.begun_here(message, payload, roles, peer)
        actor = entries.actor_of(row, roles, self._agency, kind.event, payload)
        place = await recipients.find(tx, message.message_id, row.peer_desk)
        await self._add(tx, row, entries.composed(message, place.seq, kind.event, actor))

    async def answered(self, tx: Transaction, message: OutgoingMessage, opened: MessageId) -> None:
        """Take note of our own A1 for the message that began a thread of another's."""
        row = await self.mending.find(tx, message.thread)
        if row is None or row.begun_by != opened or row.own_desk != message.sender_desk:
            return
        if row.side not in (OBSERVER, ROLES[row.machine].begins):
            receipt = entries.own_receipt(message, ROLES[row.machine], self._clock(), self._service.name)
            await self._add(tx, row, receipt)

    async def opened(
        self,
        tx: Transaction,
        message_id: MessageId,
        desk: DeskAddress,
        sealing: tuple[int, int] | None,
        by: ReceivedMessage,
        *,
        seq: int | None,
        settled: bool,
    ) -> None:
        """Take note of another's A1, the receipt `by`, for a message of ours, taken in by `sealing` (leaf index, time).

        `sealing` is None where nobody says its place, and not `settled` where the hub's own answer may still come.
        `seq` is its number on the line, None where it came when its place had been passed (SEQ-11).
        """
        row = await self.mending.moved_by(tx, message_id)
        if row is None or row.peer_desk != desk:
            return
        await moves.settle(
            tx, row.thread, message_id, sealing, settled=settled, seq=seq, by=by.leaf_index, device=by.device_id
        )
        await moves.give_up(tx, row.thread, message_id, given_up=False)
        if row.begun_by == message_id:
            await moves.add(tx, entries.their_receipt(by, ROLES[row.machine]))
        await self.refold(tx, row)

    async def accepted(
        self, tx: Transaction, message_id: MessageId, envelope_id: EnvelopeId, index: int, at: int
    ) -> None:
        """Take note of where the hub put a sealing of a message of ours; another may still stand elsewhere.

        Only what was sealed for the desk on the other side counts: a copy has a place of its own.
        """
        row = await self.mending.moved_by(tx, message_id)
        if row is None or not await attempts.is_for(tx, envelope_id, row.peer_desk):
            return
        await moves.place(tx, row.thread, message_id, index, at)
        await self.refold(tx, row)

    async def lost(
        self, tx: Transaction, thread: ThreadId, ours: MessageId | None = None, desk: DeskAddress | None = None
    ) -> None:
        """Take note that a message was lost; `ours`, if that is the desk on the other side, without force (SEQ-11)."""
        if (row := await self.mending.find(tx, thread)) is not None:
            if ours is not None and row.peer_desk == desk:
                await moves.give_up(tx, thread, ours)
            await self.refold(tx, row)

    async def found(self, tx: Transaction, thread: ThreadId) -> None:
        """Take note that a message of a thread came after all: the alert of one that was lost ends with the last."""
        if (row := await self.mending.find(tx, thread)) is not None and _stands(row, MESSAGE_LOST):
            await self.refold(tx, row)

    async def noted(self, tx: Transaction, thread: ThreadId) -> None:
        """Take note that somebody here answered a message: the alert that it was to note ends (HAN-11, HAN-16)."""
        row = await self.mending.find(tx, thread)
        if row is not None and any(_stands(row, kind) for kind in returned.NOTED):
            await self.refold(tx, row)

    async def forgotten(self, tx: Transaction, thread: ThreadId) -> None:
        """Take note that a side of a thread does not know all that it said there (SEQ-12)."""
        if (row := await self.mending.find(tx, thread)) is not None and not _stands(row, FORGOTTEN):
            await self.refold(tx, row)

    async def refold(self, tx: Transaction, row: ThreadRow, *, new: MessageId | None = None) -> History:
        """Bring the row of a thread, its timers and its conflicts up to what its moves say; `new` is one of them."""
        stored = {one.message_id: one for one in await moves.of(tx, row.thread)}
        every = list(stored.values())
        history = history_of(row, every)
        for step in history.steps:
            await self._judge(tx, row, stored[step.move.message_id], step)
        state, officer = history.state, officer_of(row, history, stored)
        live = state not in history.machine.finals
        owed = self.waiting.owed(row, history, every) if live else ()
        due_at = owed[-1].due_at if owed else None
        watched = self.waiting.watch(row, history, every)
        back = (*await returned.alerts(tx, row, history, every), *await undone.alerts(tx, row, history, every))
        heard = (*await twice.alerts(tx, row, history), *watched.heard_by(row.side), *back)
        alert = None if not heard else str(heard[0].kind)
        marks = {one.mark for one in heard}
        if live and any(_counts(row, one) for one in await forgotten.of(tx, row.thread)):
            alert, marks = alert or FORGOTTEN, marks | {FORGOTTEN}
        if live and (gone := [one for one in await lost.of(tx, [row.thread]) if _counts(row, one)]):
            alert, marks = alert or MESSAGE_LOST, marks | {f"{MESSAGE_LOST}:{one.message_id.hex()}" for one in gone}
        stands = (state, officer, due_at, alert, frozenset(marks))
        if new is not None or stands != (row.state, row.officer, row.due_at, row.alert, row.alerts):
            changed = replace(
                row,
                state=state,
                officer=officer,
                due_at=due_at,
                alert=alert,
                alerts=frozenset(marks),
                live=live,
                version=row.version + 1,
                changed_at=self._clock(),
            )
            await threads.put(tx, changed)
            escalated = any(step.move.message_id == new and step.move.event in ESCALATE for step in history.done)
            await events.thread_changed(tx, changed, before=row, alert=escalated and alert is not None)
            if (changed.state == IN_ERROR) != (row.state == IN_ERROR):
                # What it says of a person counts no more, or does after all (CON-26).
                await self.placed(tx, await self.register.weigh(tx, row.thread, changed), without=row.thread)
            if twice.standing(changed) != twice.standing(row):
                await self._look_again(tx, [one.thread for one in await twice.beside(tx, row.thread)])
        now, life = self._clock(), self._notice_life
        if stopped.may_stop(state) and (called := await stopped.call_back(tx, row.thread, now)):
            self._log.event("resealing", code=CALLED_BACK, count=called)
        await returned.pass_on(tx, row, history, every, self.register, self._service, now=now, life=life)
        await undone.tell_again(tx, row, history, every, self.register, self._service, now=now, life=life)
        if row.side != OBSERVER:
            timers = await self.waiting.timers(tx, row, history, every)
            await moves.set_timers(tx, row.thread, timers, look_at=watched.next_at)
        await keep_draft(tx, row, history, every, self._clock())
        return history

    async def placed(self, tx: Transaction, cases: Collection[CaseId], *, without: ThreadId | None = None) -> None:
        """Take note that there are other threads in these cases now; `without` one that is folded anew after this."""
        if cases:
            await self._look_again(tx, [one for one in await twice.in_cases(tx, cases) if one != without])

    async def _look_again(self, tx: Transaction, handovers: Collection[ThreadId]) -> None:
        """Look again at handovers of one person whose alert depends on one another (HAN-12)."""
        for one in handovers:
            with suppress(*DAMAGED):
                other = await self.mending.find(tx, one)
                if other is not None and twice.is_taken(other):
                    await self.refold(tx, other)

    async def _judge(self, tx: Transaction, row: ThreadRow, stored: MoveRow, step: Step) -> None:
        told = stored.told
        if step.refused and stored.direction is Direction.IN and not told and step.move.actor != STRANGER:
            if row.side != OBSERVER:
                await self._tell(tx, row, stored, step)
            told = True
        if (step.refused, told) != (stored.refused, stored.told):
            await moves.judged(tx, stored, step.refused, told=told)

    async def _tell(self, tx: Transaction, row: ThreadRow, stored: MoveRow, step: Step) -> None:
        """Send the signed conflict that a move of the other side had no effect (LIF-4)."""
        now = self._clock()
        numbers = await self.register.numbers(tx, row.thread, [row.peer_desk])
        payload = ThreadConflict(
            register_numbers=RegisterNumbers(**numbers),
            subject=row.subject,
            occurred_at=now,
            move=ids.text(Kind.MESSAGE, stored.message_id),
            leaf_index=stored.leaf_index or 0,
            state=step.before.state,
        )
        notice = OutgoingMessage(
            message_id=MessageId(ids.new_id()),
            thread=row.thread,
            klass=EnvelopeClass.NOTICE,
            sender_desk=row.own_desk,
            payload_type=CONFLICT,
            payload_version=1,
            label=LABEL,
            actor=self._service,
            created_at=now,
            deadline=now + self._notice_life,
            payload=encode_payload(payload),
        )
        await outgoing.add(tx, notice, {row.peer_desk: Plan()})
        self._log.event("conflict-sent", code=step.refused)

    async def _add(self, tx: Transaction, row: ThreadRow, one: MoveRow) -> None:
        if await moves.add(tx, one):
            await self.refold(tx, row, new=one.message_id)


def _stands(row: ThreadRow, kind: str) -> bool:
    return any(mark.partition(":")[0] == kind for mark in row.alerts) or row.alert == kind


def _counts(row: ThreadRow, gone: Lost | Forgotten) -> bool:
    # What a third agency says that it lost changes nothing under an officer (LIF-6).
    return gone.sender == row.own_desk or row.is_between(gone.sender, gone.recipient)


def history_of(row: ThreadRow, stored: list[MoveRow]) -> History:
    """Return what the stored moves of a thread make, in the order of the hub's log."""
    roles = ROLES[row.machine]
    machine = roles.copied if row.side == OBSERVER and roles.copied else roles.machine
    void = forceless(row, roles, stored)
    moved = [_move(roles, one, n, void=one.message_id in void) for n, one in enumerate(stored)]
    return fold(machine, moved, receipt=roles.receipt_step)


def _move(roles: Roles, stored: MoveRow, order: int, *, void: bool) -> Move:
    # What a row needs was asked for when the message was composed, and checked when it was read (KIND-3).
    needs = (row.needs for row in roles.machine.rows if row.event == stored.event)
    return Move(
        message_id=stored.message_id,
        index=stored.leaf_index,
        at=stored.at,
        event=stored.event,
        actor=stored.actor,
        signer=stored.signer,
        carried=frozenset().union(*needs),
        order=order,
        # A thread has two desks, so what one side says in it is one line.
        line=None if stored.seq in (None, moves.ELSEWHERE) else stored.direction,
        seq=stored.seq or 0,
        void=GIVEN_UP if void else None,
        opened_by=stored.opened_by,
    )
