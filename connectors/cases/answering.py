# SPDX-License-Identifier: Apache-2.0
"""Answers to messages that move no thread: who has noted one, and what was said to it (KIND-5)."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from connectors.bound import Desks, sees
from connectors.faults import DAMAGED
from connectors.store import awaited, conversations, incoming, outgoing, recipients, replaying
from connectors.store.awaited import Awaited
from connectors.store.engine import Transaction
from connectors.store.incoming import IncomingState, ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from connectors.store.speaking import ANSWER
from protocol import ids
from protocol.address import DeskAddress
from protocol.clocks import Ack
from protocol.errors import Conflict, InvalidInput, NotFound
from protocol.http.messages import MessageAnswered, MessageRequest
from protocol.ids import Kind, MessageId, OfficerId, ThreadId
from protocol.kinds.alerting import NEVER_HALF, alert_in
from protocol.kinds.awaiting import ANSWERING, answer_in
from protocol.kinds.base import Payload
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.thread import MessageAnswer

_HELD: Final = (
    "The message waits for an earlier one, which may change what it says. It can be answered when that one has come."
)
_WHICH: Final = (
    "The message came to several desks of ours, and each of them is waited for. Say which of them answers: `sender`, "
    "or --desk."
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What an answer says, and between which desks it goes; `ours` if we gave it."""

    ours: bool
    thread: ThreadId
    sender: DeskAddress
    to: Collection[DeskAddress]
    named: str
    ack: Ack

    def is_to(self, row: Awaited, asker: DeskAddress) -> bool:
        """Tell whether it is one to the message of `row`: from the desk that this went to, to the `asker` that sent it.

        So both sides judge alike. Another desk of that agency may have noted it for itself: this one has not (KIND-7).
        """
        return (
            self.ours != row.ours
            and self.thread == row.thread
            and self.named == ids.text(Kind.MESSAGE, row.message_id)
            and self.sender == row.desk
            and asker in self.to
        )


async def answers_in(tx: Transaction, threads: Collection[ThreadId]) -> list[Answer]:
    """Return what answers an earlier message in some threads, ours and theirs; nothing that is damaged (CON-8)."""
    found = list[Answer]()
    async for said in replaying.each(tx, await conversations.of(tx, threads, ANSWERING)):
        one = said.message
        try:
            answer = answer_in(decode_payload(KINDS[one.payload_type], one.payload))
        except DAMAGED:
            continue
        if answer is not None:
            found.append(Answer(said.place.ours, one.thread, one.sender_desk, said.to, *answer))
    return found


async def is_unnoted(tx: Transaction, message: ReceivedMessage) -> bool:
    """Tell whether a message is still to be noted by the desk of ours that it came for (KIND-7)."""
    rows = await awaited.of(tx, ours=False, position=message.position)
    given = await answers_in(tx, [message.thread]) if rows else []
    return any(not any(one.is_to(row, message.sender_desk) for one in given) for row in rows)


async def unnoted_alerts(tx: Transaction, thread: ThreadId, desks: Desks = None) -> tuple[MessageId, ...]:
    """Return the alerts that were sent or came in a thread and are still to be noted; of `desks` of ours, if given."""
    given, found = await answers_in(tx, [thread]), dict[MessageId, None]()
    for row, clear in await awaited.clear(tx, await awaited.in_threads(tx, [thread])):
        if clear is None or clear.given_up or clear.kind not in NEVER_HALF:
            continue
        if sees(desks, clear.sender if row.ours else row.desk) and not any(
            one.is_to(row, clear.sender) for one in given
        ):
            found[row.message_id] = None
    return tuple(found)


def is_readable(message: ReceivedMessage) -> bool:
    """Tell whether people may see what `message` says: not while it is held, unless it is an alert (SEQ-1)."""
    alert = alert_in(message.payload_type, message.payload) is not None
    return alert or message.state is not IncomingState.HELD


async def thread_of(
    tx: Transaction, asked: MessageRequest, kinds: Collection[str], desks: Desks = None, *, field: str = "answers"
) -> tuple[ThreadId, str, DeskAddress]:
    """Return the thread, the person's pseudonym and our desk of the message of `kinds` that `asked` names in `field`.

    `NotFound` unless we have that message from the one desk that is written to, `Conflict` while it is held, or where
    it came to several desks of ours and nothing says which of them answers: each has to (KIND-7).
    """
    named = asked.fields.get(field)
    if not isinstance(named, str) or len(asked.to) != 1:
        raise InvalidInput("An answer names one message that came here, and goes to the desk that sent it.")
    message_id = MessageId(ids.raw(Kind.MESSAGE, named))
    found = [
        message
        for kind in sorted(kinds)
        for message in await incoming.find(tx, message_id, kind)
        if message.sender_desk == asked.to[0]
        and asked.sender in (None, message.recipient_desk)
        and sees(desks, message.recipient_desk)
    ]
    if len({message.recipient_desk for message in found}) > 1:
        raise Conflict(_WHICH)
    for message in found:
        payload = decode_payload(KINDS[message.payload_type], message.payload)
        if not is_readable(message):
            raise Conflict(_HELD)
        if isinstance(payload, Payload):
            return message.thread, payload.subject, message.recipient_desk
    raise NotFound


async def received(tx: Transaction, message: OutgoingMessage) -> list[MessageAnswered]:
    """Return what those said to whom a message of ours went, oldest first."""
    desks = {row.desk for row in await recipients.of(tx, message.message_id)}
    return [
        _view(found, one.message_id, one.sender_desk, one.actor.name, one.accepted_at)
        for one in await incoming.in_thread(tx, message.thread, ANSWER)
        if one.sender_desk in desks and (found := _answer(one.payload, message.message_id)) is not None
    ]


async def given(tx: Transaction, message: ReceivedMessage) -> list[MessageAnswered]:
    """Return what the desk of ours at which a message came said to the desk that sent it, oldest first.

    Another message can stand under its id, at another desk or of another sender, and be answered there (CON-9).
    """
    return [
        _view(found, one.message_id, one.sender_desk, one.actor.name, one.created_at)
        for one in await outgoing.in_thread(tx, message.thread, ANSWER)
        if one.sender_desk == message.recipient_desk
        and (found := _answer(one.payload, message.message_id)) is not None
        and message.sender_desk in {row.desk for row in await recipients.of(tx, one.message_id)}
    ]


def _answer(payload: bytes, message_id: MessageId) -> MessageAnswer | None:
    found = decode_payload(KINDS[ANSWER], payload)
    named = ids.text(Kind.MESSAGE, message_id)
    return found if isinstance(found, MessageAnswer) and found.answers == named else None


def _view(answer: MessageAnswer, message_id: MessageId, desk: DeskAddress, signer: str, at: int) -> MessageAnswered:
    return MessageAnswered(
        message=message_id,
        ack=answer.ack,
        answer=answer.answer,
        desk=desk,
        officer=OfficerId(ids.raw(Kind.OFFICER, answer.officer)),
        signer=signer,
        at=at,
    )
