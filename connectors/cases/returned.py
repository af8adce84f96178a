# SPDX-License-Identifier: Apache-2.0
"""A lead that had moved and comes back since the other side's data-protection officer ends the handover (HAN-11).

Whoever gets it back may have let the person go long ago, and did nothing himself: so somebody there must note it, and
the desks that were told who leads are told again. Both follow from stored messages; nothing else is kept.
"""

from collections.abc import Collection
from typing import Final

from connectors.cases.register import Register
from connectors.cases.sides import ROLES
from connectors.store import outgoing, recipients
from connectors.store.engine import Transaction
from connectors.store.moves import MoveRow
from connectors.store.outgoing import OutgoingMessage
from connectors.store.recipients import Plan
from connectors.store.sequences import Direction
from connectors.store.speaking import ANSWER
from connectors.store.threads import ThreadRow
from protocol import ids
from protocol.address import DeskAddress
from protocol.content import encode_payload
from protocol.ids import Kind, MessageId
from protocol.kinds.base import RegisterNumbers
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.kinds.handover import EnteredInError
from protocol.kinds.thread import MessageAnswer
from protocol.lifecycle.alerts import Alert, AlertKind
from protocol.lifecycle.handover import HANDOVER, Event, State, lead
from protocol.lifecycle.history import History, Step
from protocol.sections import Actor

IN_ERROR: Final = "handover.entered-in-error"
LABEL: Final = "standard"
NOTE: Final = "note"
"""What an alert of it waits for: an answer to the message, by anybody who acts for the agency."""
NOTED: Final = (AlertKind.LEAD_RETURNED, AlertKind.STEP_REFUSED)
"""Alerts that such an answer ends (HAN-11, HAN-16)."""


def ended_by_other(row: ThreadRow, history: History, stored: list[MoveRow]) -> Step | None:
    """Return the step by which the other side ended, as entered in error, a handover that we began."""
    if row.machine != HANDOVER.name or row.side != ROLES[HANDOVER.name].begins:
        return None
    theirs = {one.message_id for one in stored if one.direction is Direction.IN}
    last = next((step for step in history.done if step.move.event == Event.ENTERED_IN_ERROR), None)
    return last if last is not None and last.move.message_id in theirs else None


async def alerts(tx: Transaction, row: ThreadRow, history: History, stored: list[MoveRow]) -> tuple[Alert, ...]:
    """Return the alert that a lead came back to us, as long as nobody here has noted it."""
    step = ended_by_other(row, history, stored)
    if step is None or lead(State(step.before.state)) != ROLES[row.machine].answers:
        return ()
    if is_noted(await outgoing.in_thread(tx, row.thread, ANSWER), step.move.message_id):
        return ()
    return (
        Alert(AlertKind.LEAD_RETURNED, step.move.at, step.move.message_id, what=NOTE, by=ROLES[row.machine].begins),
    )


def is_noted(answers: Collection[OutgoingMessage], message_id: MessageId) -> bool:
    """Tell whether one of these answers of ours is one to that message."""
    named = ids.text(Kind.MESSAGE, message_id)
    said = (decode_payload(KINDS[ANSWER], one.payload) for one in answers)
    return any(isinstance(answer, MessageAnswer) and answer.answers == named for answer in said)


async def to_be_told(tx: Transaction, row: ThreadRow, history: History, stored: list[MoveRow]) -> list[DeskAddress]:
    """Return the desks that got a copy of the offer, where nobody has told them that the other side ended it."""
    if ended_by_other(row, history, stored) is None:
        return []
    # A step of ours by which we had wanted to end it, in vain, says nothing of theirs.
    own = {one.message_id for one in stored}
    if any(one.message_id not in own for one in await outgoing.in_thread(tx, row.thread, IN_ERROR)):
        return []
    return [one.desk for one in await recipients.of(tx, row.begun_by) if one.desk != row.peer_desk]


async def pass_on(
    tx: Transaction,
    row: ThreadRow,
    history: History,
    stored: list[MoveRow],
    register: Register,
    service: Actor,
    *,
    now: int,
    life: int,
) -> None:
    """Tell the desks that got a copy of the offer, once, that the other side ended it; it knows none of them (HAN-11).

    The service signs what it passes on. It moves nothing here: it is no step of ours.
    """
    if not (desks := await to_be_told(tx, row, history, stored)):
        return
    step = ended_by_other(row, history, stored)
    said = next(one for one in stored if step is not None and one.message_id == step.move.message_id)
    theirs = decode_payload(KINDS[IN_ERROR], said.payload)
    assert isinstance(theirs, EnteredInError)  # noqa: S101 - the only payload of the kind
    payload = EnteredInError(
        register_numbers=RegisterNumbers(**await register.numbers(tx, row.thread, desks)),
        subject=row.subject,
        occurred_at=theirs.occurred_at,
        reason=theirs.reason,
        capacity=theirs.capacity,
    )
    message = OutgoingMessage(
        message_id=MessageId(ids.new_id()),
        thread=row.thread,
        klass=KINDS[IN_ERROR].klass,
        sender_desk=row.own_desk,
        payload_type=IN_ERROR,
        payload_version=KINDS[IN_ERROR].version,
        label=LABEL,
        actor=service,
        created_at=now,
        deadline=now + life,
        payload=encode_payload(payload),
    )
    await outgoing.add(tx, message, dict.fromkeys(desks, Plan()))
    await register.composed(tx, message, desks)
