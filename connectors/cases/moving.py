# SPDX-License-Identifier: Apache-2.0
"""Makes moves of our own: what the table permits is composed, stored and sent; what it refuses changes nothing."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydantic import TypeAdapter

from connectors.bound import Desks
from connectors.cases.alike import check_new
from connectors.cases.answering import unnoted_alerts
from connectors.cases.bygone import bygone
from connectors.cases.composing import DEPUTY, Composing, Said, named_in
from connectors.cases.forms import stored_sections
from connectors.cases.lineage import ENDING, MOST, open_sub_referrals, request_of
from connectors.cases.residual import check_answers
from connectors.cases.responsibility import implied
from connectors.cases.sides import OBSERVER, ROLES, Roles
from connectors.cases.stopped import IN_ERROR
from connectors.cases.terms import had
from connectors.cases.threads import Threads, history_of
from connectors.cases.transferred import not_told
from connectors.handover_views import planned
from connectors.store import drafts, moves, outgoing, recipients, requests, threads
from connectors.store.engine import Store, Transaction
from connectors.store.moves import MoveRow
from connectors.store.outgoing import OutgoingMessage
from connectors.store.threads import ThreadRow
from connectors.timing import Clock
from protocol import cbor, ids
from protocol.address import DeskAddress, agency_of
from protocol.errors import (
    IllegalTransition,
    InvalidInput,
    NotFound,
    PreconditionFailed,
    TooLate,
)
from protocol.http.handovers import RecipientPlan
from protocol.http.threads import StepQueued
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.base import MessageKind
from protocol.kinds.catalogue import KINDS, kind_for
from protocol.lifecycle.history import History
from protocol.lifecycle.machine import Row as TableRow
from protocol.lifecycle.referral import REFERRAL, Event
from protocol.shapes import as_bytes, as_int, as_list, as_text

MAX_FIELDS: Final = 16_384
"""Bytes of the fields of a move as JSON."""
_MAX_ANSWER: Final = 4 << 20
"""Bytes of what is stored under an Idempotency-Key: a step of a handover says it of a hundred desks."""
_MAX_ALERTS: Final = 1_000
"""Alerts in one thread that are named in an answer, the first."""
_PLANS: Final = TypeAdapter(tuple[RecipientPlan, ...])

_ASKED_OF_TIME: Final = frozenset({Event.CUSTODY_MOVED})
"""Moves of time that somebody has to tell it of."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Step(Said):
    """What somebody here wants to do: an event of the life cycle, with what is said along with it."""

    event: str


@dataclass(frozen=True, slots=True)
class Moved:
    """A move that is stored and will be sent, and how the thread stands with it."""

    thread: ThreadId
    message_id: MessageId
    state: str
    version: int
    replayed: bool = False
    still_open: tuple[ThreadId, ...] = ()
    """Sub-referrals of a thread that this move ends, which are not over (REF-11)."""
    in_the_past: tuple[str, ...] = ()
    """Fields whose date was over when it was written."""
    recipients: tuple[RecipientPlan, ...] = ()
    """What each desk gets, and what not."""
    unnoted: tuple[MessageId, ...] = ()
    """Alerts in a thread that this move enters in error, which nobody has noted (KIND-8)."""
    unknown_services: tuple[str, ...] = ()
    """Of a draft that was sent: services that the table does not have, and below those that it has (REF-13)."""
    known_services: tuple[str, ...] = ()

    def view(self) -> StepQueued:
        """Return it as the local interface answers it."""
        return StepQueued(
            thread=self.thread,
            message=self.message_id,
            state=self.state,
            version=self.version,
            open_sub_referrals=list(self.still_open),
            unnoted_alerts=list(self.unnoted),
            in_the_past=list(self.in_the_past),
            recipients=list(self.recipients),
            unknown_services=list(self.unknown_services),
            known_services=list(self.known_services),
        )

    def encode(self) -> bytes:
        """Return the form that is stored under an Idempotency-Key."""
        known: list[cbor.Value] = [self.thread, self.message_id, self.state, self.version]
        plans = _PLANS.dump_json(self.recipients)
        services: list[cbor.Value] = [list(self.unknown_services), list(self.known_services)]
        return cbor.encode(
            [*known, list(self.still_open), list(self.in_the_past), plans, list(self.unnoted), *services]
        )

    @classmethod
    def parse(cls, data: bytes) -> "Moved":
        """Read it again."""
        thread, message_id, state, version, *more = as_list(cbor.decode(data, limit=_MAX_ANSWER), most=10)
        # What was stored before there were sub-referrals has four parts, before what is in the past was told five,
        # before what each desk gets six, before alerts that nobody noted seven, and before services eight.
        still_open = as_list(more[0], most=MOST) if more else []
        return cls(
            ThreadId(as_bytes(thread)),
            MessageId(as_bytes(message_id)),
            as_text(state, most=64),
            as_int(version),
            replayed=True,
            still_open=tuple(ThreadId(as_bytes(one)) for one in still_open),
            in_the_past=tuple(as_text(one, most=64) for one in as_list(more[1], most=16)) if more[1:] else (),
            recipients=_PLANS.validate_json(as_bytes(more[2])) if more[2:] else (),
            unnoted=tuple(MessageId(as_bytes(one)) for one in as_list(more[3], most=_MAX_ALERTS)) if more[3:] else (),
            unknown_services=_codes(more[4]) if more[4:] else (),
            known_services=_codes(more[5]) if more[5:] else (),
        )


def _codes(stored: cbor.Value) -> tuple[str, ...]:
    return tuple(as_text(one, most=64) for one in as_list(stored, most=_MAX_ALERTS))


class Moving:
    """The service behind every step that an officer or a case system makes."""

    def __init__(
        self,
        store: Store,
        composing: Composing,
        threads_: Threads,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        """`wake` is called when there is something to send."""
        self._store = store
        self._composing = composing
        self._threads = threads_
        self._clock = clock
        self._wake = wake

    async def begin(
        self,
        machine: str,
        to: DeskAddress,
        step: Step,
        *,
        key: str,
        body: bytes,
        sender: DeskAddress | None = None,
        subject: str | None = None,
        desks: Desks = None,
    ) -> Moved:
        """Begin a thread with the desk `to`, once for each idempotency `key` with the same `body`.

        `step.event` is the machine's own beginning. Raises `InvalidInput`, also for a deputy who may not act here
        (LIF-8), `RecipientUnavailable`, `NothingToSend`, `PolicyDenied` and `IdempotencyKeyReused`.
        """
        stored_key, deputy = requests.request_key(f"begin {machine}", key, desks), named_in(step.fields, DEPUTY)
        await self._composing.learn_of([to], step.officer, deputy)
        async with self._store.write() as tx:
            if (before := await self._before(tx, stored_key, body)) is not None:
                return before
            self._composing.check_named(deputy, DEPUTY)
            moved = await self.begun(tx, machine, to, step, sender=sender, subject=subject, desks=desks)
            await self._keep(tx, stored_key, body, moved)
        self._wake()
        return moved

    async def begun(
        self,
        tx: Transaction,
        machine: str,
        to: DeskAddress,
        step: Step,
        *,
        sender: DeskAddress | None = None,
        subject: str | None = None,
        thread: ThreadId | None = None,
        after: ThreadId | None = None,
        desks: Desks = None,
    ) -> Moved:
        """Begin a thread inside the caller's transaction, for what must happen together or not at all.

        Our number of the correspondence `after` goes on in it.
        """
        own = self._composing.own_desk(sender, [to], desks)
        pseudonym = subject or ids.text(Kind.SUBJECT, ids.new_id())
        numbers = {} if after is None else await self._threads.register.numbers(tx, after, [to])
        kind = _kind(machine, ROLES[machine].begin)
        message = self._composing.message(kind, thread or ThreadId(ids.new_id()), own, pseudonym, step, numbers)
        await check_new(tx, self._threads.register, message, agency_of(to), desks)
        if (rest := step.fields.get("residual_of")) is not None:
            left = ThreadId(ids.raw(Kind.THREAD, rest))
            if desks is None or await threads.of_desks(tx, [left], desks):
                await drafts.remove_rest(tx, left, self._clock())
        return await self._queue(tx, message, to)

    async def move(
        self,
        thread: ThreadId,
        step: Step,
        *,
        key: str,
        body: bytes,
        version: int | None = None,
        desks: Desks = None,
    ) -> Moved:
        """Move a thread of ours; `version` is what its caller saw last, None for whatever it is now.

        Whom the step names in `officer` must be somebody who may act here, unless the person has changed prison:
        who leads from then on may be of another agency (LIF-8).
        Raises `NotFound` alike for what does not exist and what is not ours, `PreconditionFailed` if the thread has
        changed since, `IllegalTransition` if the step is not possible in the state that it is in.
        """
        stored_key = requests.request_key(f"move {thread.hex()}", key, desks)
        named = None if step.event == Event.CUSTODY_MOVED else named_in(step.fields)
        await self._composing.learn_of([], step.officer, named)
        async with self._store.write() as tx:
            if (before := await self._before(tx, stored_key, body)) is not None:
                return before
            if desks is not None and not await threads.of_desks(tx, [thread], desks):
                raise NotFound
            self._composing.check_named(named)
            moved = await self.within(tx, thread, step, version=version, asked=True, desks=desks)
            await self._keep(tx, stored_key, body, moved)
        self._wake()
        return moved

    async def within(
        self,
        tx: Transaction,
        thread: ThreadId,
        step: Step,
        *,
        version: int | None = None,
        by_time: bool = False,
        asked: bool = False,
        desks: Desks = None,
    ) -> Moved:
        """Make a move inside the caller's transaction, for what must happen together or not at all.

        Only the clockwork makes the moves of time (`by_time`): nobody here lets a referral expire because he likes to.
        What is `asked` for itself is refused where the other desk is gone, unless it ends the thread (CON-18). Its
        caller is told of alerts at these `desks` only (CON-19).
        """
        row = await self._threads.mending.find(tx, thread)
        if row is None or row.side == OBSERVER:
            raise NotFound
        if version is not None and version != row.version:
            raise PreconditionFailed
        roles = ROLES[row.machine]
        kind = _kind(row.machine, step.event)
        stored = await moves.of(tx, thread)
        history = history_of(row, stored)
        said = replace(step, fields={**implied(step.event, row, history, stored), **step.fields})
        copies = await _copied(tx, row) if step.event in roles.told and row.side == roles.begins else []
        numbers = await self._threads.register.numbers(tx, thread, [row.peer_desk, *copies])
        message = self._composing.message(kind, thread, row.own_desk, row.subject, said, numbers)
        message = replace(message, after=had(row, history, stored))
        found = _check(roles, row, history, step.event, message, by_time=by_time)
        if row.machine == REFERRAL.name and step.event == Event.ACCEPT_PART:
            check_answers(request_of(row, stored), message.payload)
        known = asked and found.target not in roles.machine.finals
        if not by_time:
            self._threads.waiting.check_instant(row, history, stored, message)
        moved = await self._queue(tx, message, row.peer_desk, copies, known=known)
        if row.machine == REFERRAL.name and step.event == Event.UNBLOCK:
            moved = await self._tell_of_transfer(tx, row, stored, step, moved)
        if step.event == IN_ERROR:
            moved = replace(moved, unnoted=(await unnoted_alerts(tx, thread, desks))[:_MAX_ALERTS])
        ends = row.machine == REFERRAL.name and row.side == roles.answers and step.event in ENDING
        return replace(moved, still_open=await open_sub_referrals(tx, thread)) if ends else moved

    async def _tell_of_transfer(
        self, tx: Transaction, row: ThreadRow, stored: Sequence[MoveRow], step: Step, moved: Moved
    ) -> Moved:
        """Tell of what a recipient could not hear while the referral was blocked: who leads now (REF-9)."""
        fields = await not_told(tx, row, stored)
        if fields is None:
            return moved
        told = Step(event=Event.CUSTODY_MOVED, fields=fields, officer=step.officer)
        after = await self.within(tx, row.thread, told)
        return replace(moved, state=after.state, version=after.version)

    async def _queue(
        self,
        tx: Transaction,
        message: OutgoingMessage,
        to: DeskAddress,
        copies: Collection[DeskAddress] = (),
        *,
        known: bool = True,
    ) -> Moved:
        plans = self._composing.plans(message, [to], copies, known=known)
        await outgoing.add(tx, message, plans)
        await self._threads.composed(tx, message, to, [to, *copies])
        row = await threads.load(tx, message.thread)
        return Moved(
            row.thread,
            message.message_id,
            row.state,
            row.version,
            in_the_past=bygone(message),
            recipients=tuple(planned(stored_sections(message), plans)),
        )

    async def _before(self, tx: Transaction, key: bytes, body: bytes) -> Moved | None:
        found = await requests.answer(tx, key, body)
        return None if found is None else Moved.parse(found)

    async def _keep(self, tx: Transaction, key: bytes, body: bytes, moved: Moved) -> None:
        await requests.keep(tx, key, body, moved.encode(), self._clock())


def _kind(machine: str, event: str) -> MessageKind:
    kind = kind_for(machine, event)
    if kind is None:
        raise InvalidInput(f"There is no such step. `throughcare lifecycle show {machine}` lists them.")
    return kind


async def _copied(tx: Transaction, row: ThreadRow) -> list[DeskAddress]:
    """Return the desks that got a copy of what began the thread (HAN-5)."""
    return [one.desk for one in await recipients.of(tx, row.begun_by) if one.desk != row.peer_desk]


def _check(
    roles: Roles, row: ThreadRow, history: History, event: str, message: OutgoingMessage, *, by_time: bool
) -> TableRow:
    """Return the row that permits the step now; IllegalTransition without one, and nothing has changed (LIF-2)."""
    payload = KINDS[message.payload_type].payload.model_validate_json(message.payload)
    actor = roles.actor(row.side, event, payload)
    if actor == roles.clock and not by_time and event not in _ASKED_OF_TIME:
        raise IllegalTransition("Only time itself makes this step.")
    try:
        found = roles.machine.row(history.position, event, actor)
    except IllegalTransition:
        raise IllegalTransition(
            f"This step is not possible while the {row.machine} is {history.state}, or not by the {actor}."
        ) from None
    if not found.in_time(history.since, message.created_at):
        raise TooLate
    return found
