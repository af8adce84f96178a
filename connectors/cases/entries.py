# SPDX-License-Identifier: Apache-2.0
"""Makes the rows that a message stands for: of the thread that it begins, and of the move that it makes in it."""

from dataclasses import replace

from connectors.cases.sides import OBSERVER, STRANGER, Roles
from connectors.cases.terms import terms_of
from connectors.store.incoming import ReceivedMessage
from connectors.store.moves import MoveRow
from connectors.store.outgoing import OutgoingMessage
from connectors.store.sequences import Direction
from connectors.store.threads import ThreadRow
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.content import Content


def begun_here(message: OutgoingMessage, payload: Content, roles: Roles, peer: DeskAddress) -> ThreadRow:
    """Return the thread that `message` of ours begins with the desk `peer`."""
    subject, priority, answers = terms_of(payload, agency_of(peer))
    return ThreadRow(
        thread=message.thread,
        machine=roles.machine.name,
        side=roles.begins,
        own_desk=message.sender_desk,
        peer_desk=peer,
        begun_by=message.message_id,
        begun_at=message.created_at,
        changed_at=message.created_at,
        version=0,
        state=roles.machine.initial,
        live=True,
        officer=None,
        due_at=None,
        alert=None,
        subject=subject,
        priority=priority,
        begins=agency_of(message.sender_desk),
        answers=answers,
    )


def begun_by_other(message: ReceivedMessage, payload: Content, roles: Roles) -> ThreadRow:
    """Return the thread that another agency's `message` begins with the desk of ours at which it came."""
    own = agency_of(message.recipient_desk)
    subject, priority, answers = terms_of(payload, own)
    return ThreadRow(
        thread=message.thread,
        machine=roles.machine.name,
        side=roles.answers if answers == own else OBSERVER,
        own_desk=message.recipient_desk,
        peer_desk=message.sender_desk,
        begun_by=message.message_id,
        begun_at=message.accepted_at,
        changed_at=message.received_at,
        version=0,
        state=roles.machine.initial,
        live=True,
        officer=None,
        due_at=None,
        alert=None,
        subject=subject,
        priority=priority,
        begins=message.agency,
        answers=answers,
    )


def received(message: ReceivedMessage, event: str, actor: str, *, late: bool = False) -> MoveRow:
    """Return the move that another's `message` makes, at the place of the sealing that was taken in here.

    One that comes `late`, when its place on the line was passed, stands on the line no more (SEQ-11).
    """
    return MoveRow(
        thread=message.thread,
        message_id=message.message_id,
        direction=Direction.IN,
        seq=None if late else message.seq,
        leaf_index=message.leaf_index,
        settled=True,
        at=message.accepted_at,
        event=event,
        actor=actor,
        payload=message.payload,
        signer=message.actor.name,
        after=message.after,
    )


def composed(message: OutgoingMessage, seq: int, event: str, actor: str) -> MoveRow:
    """Return the move that `message` of ours makes, the `seq`-th to the desk on the other side; it has no leaf yet."""
    return MoveRow(
        thread=message.thread,
        message_id=message.message_id,
        direction=Direction.OUT,
        seq=seq,
        leaf_index=None,
        settled=False,
        at=message.created_at,
        event=event,
        actor=actor,
        payload=message.payload,
        signer=message.actor.name,
        after=message.after,
    )


def own_receipt(message: OutgoingMessage, roles: Roles, at: int, signer: str) -> MoveRow:
    """Return the move that our own A1 makes."""
    return MoveRow(
        thread=message.thread,
        message_id=message.message_id,
        direction=Direction.OUT,
        seq=None,
        leaf_index=None,
        settled=False,
        at=at,
        event=roles.receipt,
        actor=roles.answers,
        payload=message.payload,
        signer=signer,
    )


def their_receipt(message: ReceivedMessage, roles: Roles) -> MoveRow:
    """Return the move that another's A1 makes."""
    return replace(received(message, roles.receipt, roles.answers), seq=None)


def actor_of(row: ThreadRow, roles: Roles, agency: AgencyAddress, event: str, payload: Content) -> str:
    """Return as whom `agency` makes a move."""
    if agency == row.begins:
        return roles.actor(roles.begins, event, payload)
    if agency == row.answers:
        return roles.actor(roles.answers, event, payload)
    return STRANGER
