# SPDX-License-Identifier: Apache-2.0
"""Handovers as the local interface offers them: send one, list them, show one with what this agency may see."""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final

from connectors.attachments import named
from connectors.bound import Desks, sees
from connectors.bound import sender as sending
from connectors.cases import twice
from connectors.cases.bygone import bygone
from connectors.cases.correcting import marked, views, without_sections
from connectors.cases.stopped import withheld_here
from connectors.cases.threads import Threads
from connectors.composition import Composer, compose
from connectors.directory_sync import DirectorySync
from connectors.handover_form import HandoverComposer, stored_package
from connectors.handover_views import overall, planned, received_view, sent_view
from connectors.installation import Enrolment
from connectors.newcomers import Newcomers
from connectors.officers import Officers
from connectors.store import attachments, cursors, history, incoming, outgoing, recipients, requests
from connectors.store.engine import Store, Transaction
from connectors.store.history import Entry
from connectors.store.incoming import IncomingState
from connectors.store.outgoing import OutgoingMessage
from connectors.store.recipients import Plan
from connectors.timing import Clock
from protocol import ids
from protocol.address import DeskAddress, agency_of
from protocol.clearance import DeskFunction
from protocol.content import encode_payload
from protocol.errors import (
    Conflict,
    InvalidInput,
    KeystoreError,
    MalformedEnvelope,
    NotFound,
    NothingToSend,
    PolicyDenied,
    RecipientUnavailable,
)
from protocol.handover import PAYLOAD_TYPE, PAYLOAD_VERSION, check_size, decode_offer, parties_for
from protocol.http.handovers import (
    Direction,
    HandoverFilter,
    HandoverItem,
    HandoverPage,
    HandoverQueued,
    HandoverRequest,
    HandoverView,
    MessageState,
)
from protocol.ids import Kind, MessageId, ThreadId
from protocol.rows import EnvelopeClass

OPERATION: Final = "sendHandover"
LABEL: Final = "standard"

_CURSOR: Final = "handover cursor"


@dataclass(frozen=True, slots=True)
class Queued:
    """The answer to a request to send, and whether it was given before under the same key."""

    answer: HandoverQueued
    replayed: bool


class Handovers:
    """The service behind the handover operations."""

    def __init__(
        self,
        store: Store,
        directory: DirectorySync,
        enrolment: Enrolment,
        officers: Officers,
        newcomers: Newcomers,
        threads: Threads,
        clock: Clock,
        wake: Callable[[], None],
        *,
        message_life: int,
    ) -> None:
        """`wake` is called when there is something to send; `message_life` in ms."""
        self._store = store
        self._directory = directory
        self._enrolment = enrolment
        self._officers = officers
        self._newcomers = newcomers
        self._threads = threads
        self._clock = clock
        self._wake = wake
        self._message_life = message_life
        self._composer: Composer = HandoverComposer()

    async def send(self, request: HandoverRequest, *, key: str, body: bytes, desks: Desks = None) -> Queued:
        """Store a handover durably for all its desks, once for each idempotency `key` with the same `body`.

        Message, places in the thread and the answer are one transaction (CON-1). Raises `InvalidInput`,
        `RecipientUnavailable` for a desk that the directory does not have, `NothingToSend` for a desk that may
        get no section, `TooLarge`, and `IdempotencyKeyReused`.
        """
        stored_key = requests.request_key(OPERATION, key, desks)
        await self._newcomers.learn_of(request.to, request.officer)
        async with self._store.write() as tx:
            before = await requests.answer(tx, stored_key, body)
            if before is not None:
                return Queued(HandoverQueued.model_validate_json(before), replayed=True)
            message, functions = self._message(request, desks)
            entries = await named(tx, request.attachments, len(request.package.sections))
            message = replace(message, attachments=entries)
            plans = dict(compose(self._composer, message, functions).plans)
            if any(not plan.going for plan in plans.values()):
                raise NothingToSend
            await outgoing.add(tx, message, plans)
            await self._threads.composed(tx, message, _next_responsible(message, plans), list(plans))
            await attachments.claim(tx, [one.id for one in request.attachments], message.message_id)
            answer = _queued(message, plans, await twice.others(tx, message.thread, desks))
            await requests.keep(tx, stored_key, body, answer.model_dump_json().encode(), self._clock())
        self._wake()
        return Queued(answer, replayed=False)

    def _message(self, request: HandoverRequest, desks: Desks) -> tuple[OutgoingMessage, dict[DeskAddress, str]]:
        now = self._clock()
        check_size(request.package)
        sender = sending(desks, request.sender, self._enrolment.desks)
        if sender is None:
            raise InvalidInput("The sending desk is not one of this connector's.")
        if len(set(request.to)) != len(request.to) or sender in request.to:
            raise InvalidInput("A desk stands twice among the recipients, or is the sender itself.")
        self._check_allowed(now)
        functions = {desk: self._function(desk, now) for desk in request.to}
        parties = parties_for(
            ids.text(Kind.SUBJECT, ids.new_id()),
            self._enrolment.agency,
            [(agency_of(desk), function) for desk, function in functions.items()],
        )
        if sum(agency_of(desk) == parties.next_responsible for desk in request.to) > 1:
            # Each would open and answer it for itself, and the two sides would tell two histories (HAN-10).
            raise InvalidInput(
                "The agency that is to take the lead gets a handover at one desk, which answers it. Name one of its "
                "desks, and send what another of them is to know in a message."
            )
        notes = [{"path": note.path, "reason": note.reason} for note in request.not_understood]
        message = OutgoingMessage(
            message_id=MessageId(ids.new_id()),
            thread=ThreadId(ids.new_id()),
            klass=EnvelopeClass.REFERRAL,
            sender_desk=sender,
            payload_type=PAYLOAD_TYPE,
            payload_version=PAYLOAD_VERSION,
            label=LABEL,
            actor=self._officers.actor(request.officer),
            created_at=now,
            deadline=now + self._message_life,
            payload=encode_payload(request.package.offer(parties)),
            source=request.package.model_dump_json().encode(),
            notes=json.dumps(notes, ensure_ascii=False).encode(),
        )
        return message, dict(functions)

    def _check_allowed(self, now: int) -> None:
        agency = self._directory.directory.agency(self._enrolment.agency, now)
        if agency is not None and PAYLOAD_TYPE not in agency.payload_types:
            raise PolicyDenied("This agency's certificate does not allow it to send handovers.")

    def _function(self, desk: DeskAddress, now: int) -> DeskFunction:
        entry = self._directory.directory.desk(desk, now)
        if entry is None:
            raise RecipientUnavailable("The directory has no such desk. `throughcare directory list` shows all.")
        try:
            return DeskFunction(entry.function)
        except ValueError:
            raise RecipientUnavailable("The desk has a function that this connector does not know.") from None

    async def list(self, query: HandoverFilter, *, desks: Desks = None) -> HandoverPage:
        """Return a page of handovers sent and received, newest first."""
        async with self._store.read() as tx:
            entries = await history.page(
                tx,
                [PAYLOAD_TYPE],
                direction=query.direction,
                message_id=query.id,
                before=cursors.entry(tx, _CURSOR, query.cursor),
                limit=query.limit + 1,
                desks=desks,
            )
            items = [await _item(tx, entry) for entry in entries[: query.limit]]
            more = cursors.text(tx, _CURSOR, entries[query.limit - 1]) if len(entries) > query.limit else None
        return HandoverPage(items=items, next_cursor=more)

    async def show(
        self,
        message_id: MessageId,
        *,
        sender: DeskAddress | None = None,
        direction: Direction | None = None,
        recipient: DeskAddress | None = None,
        desks: Desks = None,
    ) -> HandoverView:
        """Return one handover; `NotFound` alike for what does not exist and what is not ours (CON-9).

        Whoever has seen an id can send under it too. So where several handovers stand under it, of other senders or
        in the other direction, none is picked: `Conflict` until `sender` or `direction` leaves one. So it is where its
        sender sent another to each desk of ours, until `recipient` says which: they can be of different people.
        """
        async with self._store.read() as tx:
            # What we sent came for no desk of ours.
            asked_sent = direction is not Direction.RECEIVED and recipient is None
            sent = await _sent_as(tx, message_id) if asked_sent else None
            if sent is not None and not (sender in (None, sent.sender_desk) and sees(desks, sent.sender_desk)):
                sent = None
            received = await incoming.find(tx, message_id, PAYLOAD_TYPE) if direction is not Direction.SENT else []
            received = [
                one
                for one in received
                if sender in (None, one.sender_desk)
                and recipient in (None, one.recipient_desk)
                and sees(desks, one.recipient_desk)
            ]
            if len({one.sender_desk for one in received}) + (sent is not None) > 1:
                raise Conflict("Several handovers are under this id. Say whose: --sender DESK (?sender=, ?direction=).")
            view = await received_view(tx, received) if sent is None else await sent_view(tx, sent)
            whose = received[0].sender_desk if sent is None else sent.sender_desk
            # `received_view` has seen that those are one that have their effect.
            known = [one for one in received if one.state is IncomingState.DELIVERED] or received
            came = (known[0].thread, known[0].payload) if sent is None else None
            corrections = await views(tx, message_id, whose, desks, came=came)
            reasons = [await withheld_here(tx, one) for one in received] if sent is None else []
        withheld = next((one for one in reasons if one is not None), None)
        if withheld is not None:
            bare = [one.model_copy(update={"sections": []}) for one in view.recipients]
            shown = {"sections": [], "recipients": bare, "corrections": without_sections(corrections)}
            return view.model_copy(update={**shown, "withheld": withheld})
        return view.model_copy(update={"sections": marked(view.sections, corrections), "corrections": corrections})


async def _sent_as(tx: Transaction, message_id: MessageId) -> OutgoingMessage | None:
    try:
        message = await outgoing.load(tx, message_id)
    except NotFound:
        return None
    return message if message.payload_type == PAYLOAD_TYPE else None


def _next_responsible(message: OutgoingMessage, desks: Collection[DeskAddress]) -> DeskAddress:
    """Return the desk of the agency that is to take the lead."""
    agency = decode_offer(message.payload).parties.next_responsible
    return next(desk for desk in desks if agency_of(desk) == agency)


def _queued(message: OutgoingMessage, plans: dict[DeskAddress, Plan], others: list[ThreadId]) -> HandoverQueued:
    return HandoverQueued(
        id=message.message_id,
        thread=message.thread,
        state=MessageState.QUEUED,
        recipients=planned(stored_package(message).sections, plans),
        in_the_past=list(bygone(message)),
        other_handovers=others,
    )


async def _item(tx: Transaction, entry: Entry) -> HandoverItem:
    """Return one handover as a list shows it; one that the disk has damaged as such, so that the others are shown."""
    try:
        return await _readable(tx, entry)
    except (KeystoreError, MalformedEnvelope):
        clear = await history.clear(tx, entry)
        return HandoverItem(
            id=clear.message_id,
            thread=clear.thread,
            direction=Direction(entry.direction),
            state=MessageState.DAMAGED,
            sender=clear.sender,
            recipients=clear.recipients,
            at=entry.at,
        )


async def _readable(tx: Transaction, entry: Entry) -> HandoverItem:
    if entry.direction == history.SENT:
        message = await outgoing.at(tx, entry.position)
        rows = await recipients.of(tx, message.message_id)
        return HandoverItem(
            id=message.message_id,
            thread=message.thread,
            direction=Direction.SENT,
            state=overall(rows),
            sender=message.sender_desk,
            recipients=[row.desk for row in rows],
            at=entry.at,
        )
    received = await incoming.at(tx, entry.position)
    return HandoverItem(
        id=received.message_id,
        thread=received.thread,
        direction=Direction.RECEIVED,
        state=MessageState.HELD if received.state is IncomingState.HELD else MessageState.RECEIVED,
        sender=received.sender_desk,
        recipients=[received.recipient_desk],
        at=entry.at,
    )
