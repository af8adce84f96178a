# SPDX-License-Identifier: Apache-2.0
"""Messages of every kind that moves no thread: sent once, listed and shown."""

import json
from collections.abc import Callable, Mapping
from typing import Final

from connectors.bound import Desks, check_kind, sees
from connectors.cases import answering, conversing
from connectors.cases.bygone import bygone
from connectors.cases.composing import Composing, Said, named_in
from connectors.cases.consents import CHANGED
from connectors.cases.conversing import ANSWERABLE
from connectors.cases.correcting import check_ours, marked, missed, views, without_sections
from connectors.cases.forms import stored_sections
from connectors.cases.hearing import Hearing
from connectors.cases.releasing import Releasing
from connectors.cases.stopped import call_back, check_open, shown_in_error, withheld_here
from connectors.cases.threads import Threads
from connectors.handover_views import at_desks, came_sections, overall, planned, sent_sections
from connectors.store import cursors, history, incoming, outgoing, recipients, requests
from connectors.store.corrections import CORRECTION
from connectors.store.engine import Store, Transaction
from connectors.store.history import Entry
from connectors.store.incoming import IncomingState, ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from connectors.store.speaking import ANSWER
from connectors.timing import Clock
from connectors.tokens import check_scope, desks_of
from protocol.address import DeskAddress
from protocol.errors import Conflict, InvalidInput, KeystoreError, MalformedEnvelope, NotFound
from protocol.http.call import Answer, Call, Handler
from protocol.http.handovers import Direction, HandoverChoice, MessageState, SectionView
from protocol.http.messages import (
    MessageAnswered,
    MessageFilter,
    MessageItem,
    MessagePage,
    MessagePath,
    MessageQueued,
    MessageRequest,
    MessageView,
)
from protocol.http.operation import Scope
from protocol.ids import MessageId
from protocol.kinds.alerting import alert_in
from protocol.kinds.catalogue import KINDS, SENT_HERE

OPERATION: Final = "sendMessage"
_CURSOR: Final = "message cursor"


class Messages:
    """The service and the handlers of the operations on messages."""

    def __init__(
        self,
        store: Store,
        composing: Composing,
        threads_: Threads,
        releasing: Releasing,
        hearing: Hearing,
        clock: Clock,
        wake: Callable[[], None],
    ) -> None:
        """`threads_` puts messages into cases, `releasing` moves handovers, `hearing` knows what is late.

        `wake` is called to have them sent.
        """
        self._store = store
        self._composing = composing
        self._threads = threads_
        self._register = threads_.register
        self._releasing = releasing
        self._hearing = hearing
        self._clock = clock
        self._wake = wake

    def by_operation(self) -> Mapping[str, Handler[str]]:
        """Return the handler of each operation, by its id."""
        return {"sendMessage": self.send_message, "listMessages": self.list_messages, "getMessage": self.get_message}

    async def send_message(self, call: Call[str]) -> Answer:
        """Store a message durably for all its desks, once for each Idempotency-Key with the same body (CON-1).

        `ThreadNeeded` for one that would do nothing in a thread of its own (KIND-10).
        """
        asked = call.body(MessageRequest)
        if asked.kind not in SENT_HERE:
            raise InvalidInput("There is no such kind to send; steps of a life cycle have an operation of their own.")
        desks = desks_of(call.caller)
        check_kind(desks, asked.kind)
        key = requests.request_key(OPERATION, call.idempotency_key, desks)
        said = Said(fields=asked.fields, sections=asked.sections, officer=asked.officer)
        # Who leads after a transfer may be another prison's officer; who answers is ours (LIF-8).
        named = named_in(asked.fields) if asked.kind == ANSWER else None
        await self._composing.learn_of(asked.to, asked.officer, named)
        async with self._store.write() as tx:
            before = await requests.answer(tx, key, call.raw)
            if before is not None:
                answer = MessageQueued.model_validate_json(before)
                return Answer(answer, headers={"Idempotent-Replayed": "true"})
            thread, subject, desk = await conversing.thread_of(tx, asked, desks)
            self._composing.check_named(named)
            if asked.sections:
                await check_open(tx, thread, asked.kind)
            if asked.kind == CORRECTION:
                await check_ours(tx, asked.fields)
            own = self._composing.own_desk(asked.sender or desk, asked.to, desks)
            numbers = await self._register.numbers(tx, thread, asked.to)
            message = self._composing.message(KINDS[asked.kind], thread, own, subject, said, numbers)
            plans = self._composing.plans(message, asked.to)
            await outgoing.add(tx, message, plans)
            await self._threads.placed(tx, await self._register.composed(tx, message, asked.to))
            if asked.kind == CHANGED:
                await call_back(tx, thread, self._clock())
            followed = await self._releasing.follow(tx, message, said)
            if followed.steps:
                # A step all the same, and nothing of it is kept for whom it is refused to.
                check_scope(call.caller, Scope.MOVE)
            past, corrects = list(bygone(message)), asked.kind == CORRECTION
            answer = MessageQueued(
                id=message.message_id,
                thread=thread,
                in_the_past=past,
                handover=followed.handover,
                blocked_referrals=list(followed.blocked),
                recipients=planned(asked.sections, plans),
                missed=await missed(tx, asked.fields, asked.to, desks) if corrects else [],
            )
            await requests.keep(tx, key, call.raw, answer.model_dump_json().encode(), self._clock())
        self._wake()
        return Answer(answer)

    async def list_messages(self, call: Call[str]) -> Answer:
        """List messages sent and received."""
        query = call.query(MessageFilter)
        wanted = SENT_HERE if query.kind is None else SENT_HERE & {query.kind}
        async with self._store.read() as tx:
            entries = await history.page(
                tx,
                wanted,
                direction=query.direction,
                message_id=None,
                before=cursors.entry(tx, _CURSOR, query.cursor),
                limit=query.limit + 1,
                desks=desks_of(call.caller),
            )
            items = [await self._listed(tx, entry) for entry in entries[: query.limit]]
            more = cursors.text(tx, _CURSOR, entries[query.limit - 1]) if len(entries) > query.limit else None
        return Answer(MessagePage(items=items, next_cursor=more))

    async def get_message(self, call: Call[str]) -> Answer:
        """Show one message."""
        choice = call.query(HandoverChoice)
        message_id, desks = call.path(MessagePath).id, desks_of(call.caller)
        which = {"sender": choice.sender, "recipient": choice.recipient}
        return Answer(await self.show(message_id, direction=choice.direction, desks=desks, **which))

    async def show(
        self,
        message_id: MessageId,
        *,
        sender: DeskAddress | None = None,
        direction: Direction | None = None,
        recipient: DeskAddress | None = None,
        desks: Desks = None,
    ) -> MessageView:
        """Return one message; `Conflict` where several stand under its id, until the others leave one (CON-9).

        `recipient` is the desk of ours that it came for.
        """
        found = [
            one
            for one in await self.under(message_id, desks=desks)
            if sender in (None, one.item.sender)
            and direction in (None, one.item.direction)
            and (recipient is None or (one.item.direction, one.item.recipients) == (Direction.RECEIVED, [recipient]))
        ]
        if not found:
            raise NotFound
        if len({(one.item.sender, one.item.thread, one.item.kind, one.item.direction) for one in found}) > 1:
            raise Conflict(
                "Several messages stand under this id. Say whose, and at which desk of ours: --sender DESK, "
                "--recipient DESK, or --desk DESK to answer (?sender=, ?direction=, ?recipient=)."
            )
        return found[0] if len(found) == 1 else _at_all_desks(found)

    async def under(self, message_id: MessageId, *, desks: Desks = None) -> list[MessageView]:
        """Return all messages that stand under an id: whoever has seen it can send under it too (CON-9)."""
        async with self._store.read() as tx:
            sent = await _sent(tx, message_id)
            received = [one for kind in sorted(ANSWERABLE) for one in await incoming.find(tx, message_id, kind)]
            seen = sent is not None and sees(desks, sent.sender_desk)
            found = [await self._sent_view(tx, sent, desks)] if sent is not None and seen else []
            for one in (one for one in received if sees(desks, one.recipient_desk)):
                answers = [each for each in await answering.given(tx, one) if sees(desks, each.desk)]
                found.append(await self._received_view(tx, one, answers, desks))
            return found

    async def _listed(self, tx: Transaction, entry: Entry) -> MessageItem:
        """Return a message as a list shows it; one that the disk has damaged as such, so that the others are shown."""
        try:
            if entry.direction == history.SENT:
                return await self._sent_item(tx, await outgoing.at(tx, entry.position))
            return await self._received_item(tx, await incoming.at(tx, entry.position))
        except (KeystoreError, MalformedEnvelope):
            clear = await history.clear(tx, entry)
            return MessageItem(
                id=clear.message_id,
                thread=clear.thread,
                kind="damaged",
                direction=Direction(entry.direction),
                state=MessageState.DAMAGED,
                sender=clear.sender,
                recipients=clear.recipients,
                at=entry.at,
                alert=None,
            )

    async def _sent_item(self, tx: Transaction, message: OutgoingMessage) -> MessageItem:
        rows = await recipients.of(tx, message.message_id)
        return MessageItem(
            id=message.message_id,
            thread=message.thread,
            kind=message.payload_type,
            direction=Direction.SENT,
            state=overall(rows),
            sender=message.sender_desk,
            recipients=[row.desk for row in rows],
            at=message.created_at,
            alert=alert_in(message.payload_type, message.payload),
            overdue=await self._hearing.overdue(tx, message.message_id, None),
        )

    async def _received_item(self, tx: Transaction, message: ReceivedMessage) -> MessageItem:
        return MessageItem(
            id=message.message_id,
            thread=message.thread,
            kind=message.payload_type,
            direction=Direction.RECEIVED,
            state=MessageState.HELD if message.state is IncomingState.HELD else MessageState.RECEIVED,
            sender=message.sender_desk,
            recipients=[message.recipient_desk],
            at=message.accepted_at,
            alert=alert_in(message.payload_type, message.payload),
            overdue=await self._hearing.overdue(tx, message.message_id, message.position),
        )

    async def _sent_view(self, tx: Transaction, message: OutgoingMessage, desks: Desks) -> MessageView:
        sections = stored_sections(message)
        corrections = await views(tx, message.message_id, message.sender_desk, desks)
        return MessageView(
            item=await self._sent_item(tx, message),
            signer=message.actor.name,
            answers=await answering.received(tx, message),
            payload=json.loads(message.payload),
            sections=marked(sent_sections(message, sections), corrections),
            recipients=await at_desks(tx, await recipients.of(tx, message.message_id), sections),
            corrections=corrections,
        )

    async def _received_view(
        self, tx: Transaction, message: ReceivedMessage, answers: list[MessageAnswered], desks: Desks
    ) -> MessageView:
        readable, in_error = answering.is_readable(message), await shown_in_error(tx, message)
        came = message.thread, message.payload
        corrections = await views(tx, message.message_id, message.sender_desk, desks, came=came, in_error=in_error)
        withheld = await withheld_here(tx, message)
        return MessageView(
            item=await self._received_item(tx, message),
            signer=message.actor.name,
            answers=answers,
            payload=json.loads(message.payload) if readable else {},
            sections=marked(came_sections(message), corrections) if readable and not withheld else [],
            corrections=without_sections(corrections) if withheld else corrections,
            withheld=withheld,
            in_error=in_error,
        )


async def _sent(tx: Transaction, message_id: MessageId) -> OutgoingMessage | None:
    try:
        message = await outgoing.load(tx, message_id)
    except NotFound:
        return None
    return message if message.payload_type in ANSWERABLE else None


def _at_all_desks(views: list[MessageView]) -> MessageView:
    """Return one message of one sender that came for several of our desks; each got what its function may see."""
    # Of one that is held for a desk nothing is known there yet.
    known = [one for one in views if one.payload or one.item.state is not MessageState.HELD]
    first, *rest = known or views
    if any((one.payload, one.signer) != (first.payload, first.signer) for one in rest):
        raise Conflict(
            "Its sender sent several messages under this id, to several desks of ours. Ask it which counts, and say at "
            "which desk: --recipient DESK, or --desk DESK to answer (?recipient=)."
        )
    sections = list[SectionView]()
    for section in (section for one in [first, *rest] for section in one.sections):
        # What came alike for several desks is there once; another section under its number stands for itself.
        same = next((one for one in sections if section == one.model_copy(update={"desks": section.desks})), None)
        if same is None:
            sections.append(section.model_copy(update={"desks": list(section.desks)}))
        else:
            same.desks.extend(section.desks)
    desks = [desk for one in views for desk in one.item.recipients]
    still_shown = next((one for one in [first, *rest] if one.withheld is None), first)
    answers = sorted((one for view in views for one in view.answers), key=lambda one: one.at)
    late = sorted((one for view in views for one in view.item.overdue), key=lambda one: (one.since, one.desk, one.ack))
    return first.model_copy(
        update={
            "item": first.item.model_copy(update={"recipients": desks, "overdue": late}),
            "sections": sorted(sections, key=lambda section: section.number),
            "answers": answers,
            # What one desk has noted another may have to see still.
            "corrections": still_shown.corrections,
            "withheld": still_shown.withheld,
            "in_error": any(one.in_error for one in views),
        }
    )
