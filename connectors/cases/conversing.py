# SPDX-License-Identifier: Apache-2.0
"""In which thread a message of ours stands, and about whom it is there; what needs a thread begins none (KIND-10)."""

import json
from typing import Final

from connectors.bound import Desks, must_see
from connectors.cases import answering
from connectors.cases.returned import IN_ERROR
from connectors.store import outgoing, threads
from connectors.store.engine import Transaction
from connectors.store.speaking import ANSWER
from protocol import ids
from protocol.address import DeskAddress
from protocol.errors import NotFound, ThreadNeeded
from protocol.http.messages import MessageRequest
from protocol.ids import Kind, ThreadId
from protocol.kinds.catalogue import NEEDS_THREAD, SENT_HERE

ANSWERABLE: Final = SENT_HERE | {IN_ERROR, "handover.complete", "handover.decline"}
"""Kinds that a message can answer: those that move nothing, the step that gives a lead back (HAN-11), and those for
which a step that was to move it had no effect (HAN-16)."""
TAKES_BACK: Final = "custody.returned"
"""Needs a thread where it names the notice that it takes back; another prison may tell of it that released nobody."""
_BEGINS: Final = SENT_HERE - {ANSWER}
_NAMING: Final = {"record.share": "answers", "cease.receipt": "notice", "override.reviewed": "invoked"}
"""Kinds that can answer an earlier message as well, each with its field that names it (KIND-7)."""


async def thread_of(tx: Transaction, asked: MessageRequest, desks: Desks) -> tuple[ThreadId, str, DeskAddress | None]:
    """Return the thread, the person's pseudonym in it, and our desk there if it follows from that.

    They are those of what is answered, of the thread that is named, or new ones. What was asked for answers only where
    it was asked for (KIND-7), also in a conversation that others began. `ThreadNeeded` for what would do
    nothing in a new one (KIND-10), `NotFound` for a thread in which we began nothing and have no part.
    """
    if asked.kind == ANSWER:
        return await answering.thread_of(tx, asked, ANSWERABLE, desks)
    question = await _question(tx, asked, desks)
    if question is not None and asked.thread in (None, question[0]):
        return question
    if asked.thread is not None:
        return await _named(tx, asked.thread, desks)
    if asked.kind in NEEDS_THREAD or (asked.kind == TAKES_BACK and asked.fields.get("notice") is not None):
        raise ThreadNeeded
    return ThreadId(ids.new_id()), ids.text(Kind.SUBJECT, ids.new_id()), None


async def _question(tx: Transaction, asked: MessageRequest, desks: Desks) -> tuple[ThreadId, str, DeskAddress] | None:
    """Return where the message came that `asked` answers by what it brings; None if it names none of theirs."""
    field = _NAMING.get(asked.kind)
    if field is None or len(asked.to) != 1 or not isinstance(asked.fields.get(field), str):
        return None
    try:
        return await answering.thread_of(tx, asked, SENT_HERE, desks, field=field)
    except NotFound:
        return None


async def _named(tx: Transaction, thread: ThreadId, desks: Desks) -> tuple[ThreadId, str, DeskAddress]:
    row = await threads.find(tx, thread)
    if row is not None:
        must_see(desks, row.own_desk)
        return row.thread, row.subject, row.own_desk
    # Without a life cycle only who began a thread writes more than answers in it (CAS-6).
    ours = await outgoing.newest(tx, thread, _BEGINS)
    if ours is None:
        raise NotFound
    must_see(desks, ours.sender_desk)
    return thread, str(json.loads(ours.payload)["subject"]), ours.sender_desk
