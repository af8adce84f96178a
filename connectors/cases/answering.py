# SPDX-License-Identifier: Apache-2.0
"""Answers to messages that move no thread: who has noted one, and what was said to it (KIND-5)."""

from collections.abc import Collection
from typing import Final

from connectors.bound import Desks, sees
from connectors.store import incoming, outgoing, recipients
from connectors.store.engine import Transaction
from connectors.store.incoming import IncomingState, ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from connectors.store.speaking import ANSWER
from protocol import ids
from protocol.address import DeskAddress
from protocol.errors import Conflict, InvalidInput, NotFound
from protocol.http.messages import MessageAnswered, MessageRequest
from protocol.ids import Kind, MessageId, OfficerId, ThreadId
from protocol.kinds.alerting import alert_in
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


def is_readable(message: ReceivedMessage) -> bool:
    """Tell whether people may see what `message` says: not while it is held, unless it is an alert (SEQ-1)."""
    alert = alert_in(message.payload_type, message.payload) is not None
    return alert or message.state is not IncomingState.HELD


async def thread_of(
    tx: Transaction, asked: MessageRequest, kinds: Collection[str], desks: Desks = None
) -> tuple[ThreadId, str, DeskAddress]:
    """Return the thread, the person's pseudonym and our desk of the message of `kinds` that `asked` answers.

    `NotFound` unless we have that message from the one desk that is written to, `Conflict` while it is held, or where
    it came to several desks of ours and nothing says which of them answers: each has to (KIND-7).
    """
    named = asked.fields.get("answers")
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
    """Return what we said to a message that came, oldest first."""
    return [
        _view(found, one.message_id, one.sender_desk, one.actor.name, one.created_at)
        for one in await outgoing.in_thread(tx, message.thread, ANSWER)
        if (found := _answer(one.payload, message.message_id)) is not None
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
