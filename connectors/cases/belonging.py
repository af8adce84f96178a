# SPDX-License-Identifier: Apache-2.0
"""Which message that would move a thread is let in at all: one that its two desks, and their people, will see (LIF-6).

Any other has no place in the history. Answered with A1 it would be taken for delivered, with the proof that it was
read, and nobody here would ever see it.
"""

from connectors.cases.mending import Mending
from connectors.cases.sides import OBSERVER, ROLES
from connectors.faults import DAMAGED
from connectors.store import moves, speaking
from connectors.store.engine import Transaction
from connectors.store.incoming import ReceivedMessage
from connectors.store.threads import ThreadRow
from protocol.errors import PolicyDenied
from protocol.kinds.catalogue import KINDS


async def check_move(tx: Transaction, mending: Mending, message: ReceivedMessage) -> None:
    """Raise `PolicyDenied` for a new message that would move a thread and can have no place in its history (LIF-6).

    It begins a thread that another desk has begun, or that we began with something else; it is not between the two
    desks of the thread; or it has the id of a move that stands there already.
    """
    kind = KINDS.get(message.payload_type)
    if kind is None or kind.machine is None:
        return
    row, begins = await mending.find(tx, message.thread), kind.event == ROLES[kind.machine.name].begin
    if row is None:
        if begins and await speaking.addressed(tx, message.thread):
            raise PolicyDenied("The thread that this message would begin was begun here with other messages.")
        return
    if begins and message.sender_desk != row.peer_desk:
        raise PolicyDenied("Another desk has begun the thread that this message would begin.")
    between = row.is_between(message.sender_desk, message.recipient_desk)
    if not between and not _may_be_a_copy(row, message, begins=begins):
        raise PolicyDenied("The thread stands between two other desks than this message.")
    if not await moves.stands(tx, message.thread, message.message_id):
        return
    if between if begins or row.side != OBSERVER else await _is_another(tx, message, kind.event):
        raise PolicyDenied("Another step of the thread has the id of this message.")


async def _is_another(tx: Transaction, message: ReceivedMessage, event: str | None) -> bool:
    """Tell whether what stands in a thread under a message's id says something else than it."""
    try:
        stored = await moves.of(tx, message.thread)
    except DAMAGED:
        return False  # nobody can say any more
    same = (event, message.payload)
    return any(one.message_id == message.message_id and (one.event, one.payload) != same for one in stored)


def _may_be_a_copy(row: ThreadRow, message: ReceivedMessage, *, begins: bool) -> bool:
    """Tell whether a message is, or may be, what one desk sends to several of an agency that observes (HAN-10).

    Of what it says later either desk can have its own first, and that counts.
    """
    if row.side != OBSERVER or message.sender_desk != row.peer_desk:
        return False
    return not begins or message.message_id == row.begun_by
