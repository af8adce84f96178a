# SPDX-License-Identifier: Apache-2.0
"""A step of ours in a handover that had no effect, since the other side's stood before it (HAN-16, LIF-4).

Whoever made it was told that the lead had moved, or was back, and it is not: so somebody here must note it. The desks
that got a copy of the offer believe what we said, and are told again what stands. Both follow from stored messages;
nothing else is kept.
"""

from typing import Final

from connectors.cases.register import Register
from connectors.cases.returned import LABEL, NOTE, is_noted
from connectors.cases.sides import ROLES
from connectors.cases.terms import dates_of
from connectors.faults import DAMAGED
from connectors.store import outgoing, recipients
from connectors.store.engine import Transaction
from connectors.store.moves import MoveRow
from connectors.store.outgoing import OutgoingMessage
from connectors.store.recipients import Plan
from connectors.store.sequences import Direction
from connectors.store.speaking import ANSWER
from connectors.store.threads import ThreadRow
from protocol import ids
from protocol.content import encode_payload
from protocol.ids import MessageId
from protocol.kinds.base import MessageKind, Payload, RegisterNumbers
from protocol.kinds.catalogue import KINDS, decode_payload, kind_for
from protocol.kinds.handover import ChangeDate
from protocol.kinds.reasons import HandoverEndReason
from protocol.lifecycle.alerts import Alert, AlertKind
from protocol.lifecycle.copies import in_vain, misled, standing
from protocol.lifecycle.handover import HANDOVER, TOLD, Event
from protocol.lifecycle.history import GIVEN_UP, History
from protocol.sections import Actor

_EVENTS: Final = {
    kind.name: kind.event
    for kind in KINDS.values()
    if kind.machine is HANDOVER and kind.event is not None and kind.event in TOLD
}
"""The kinds of what copies are told, each with its event."""


def _begun_here(row: ThreadRow) -> bool:
    return row.machine == HANDOVER.name and row.side == ROLES[HANDOVER.name].begins


async def alerts(tx: Transaction, row: ThreadRow, history: History, stored: list[MoveRow]) -> tuple[Alert, ...]:
    """Return the alert that a step of ours had no effect, as long as nobody here has noted that since."""
    found = in_vain(history) if _begun_here(row) else None
    if found is None:
        return ()
    step, theirs = found
    if all(one.message_id != theirs.message_id or one.direction is not Direction.IN for one in stored):
        return ()
    try:
        if is_noted(await outgoing.later(tx, step.message_id, ANSWER), theirs.message_id):
            return ()
    except DAMAGED:
        # An answer that cannot be read has noted nothing: the alert can be noted once more.
        pass
    return (Alert(AlertKind.STEP_REFUSED, step.at, theirs.message_id, what=NOTE, by=ROLES[row.machine].begins),)


async def tell_again(
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
    """Tell the desks that got a copy of the offer what stands, where what we said to them last does not (HAN-16).

    It is the last step of ours that had effect, as it was said, without sections; where only the offer had, the day
    that counts. The service signs what it tells, at `now` and for `life` ms. It moves nothing here: it is no step of
    ours.
    """
    if not _begun_here(row) or all(step.move.event not in TOLD for step in history.steps):
        return
    try:
        newest = await outgoing.newest(tx, row.thread, _EVENTS.keys())
    except DAMAGED:
        return
    if newest is None or not _is_placed(history, newest.message_id):
        return
    if not misled(history, _EVENTS[newest.payload_type]):
        return
    desks = [one.desk for one in await recipients.of(tx, row.begun_by) if one.desk != row.peer_desk]
    if not desks:
        return
    numbers = RegisterNumbers(**await register.numbers(tx, row.thread, desks))
    if (said := _said(row, history, stored, numbers, now)) is None:
        return
    kind, payload = said
    message = OutgoingMessage(
        message_id=MessageId(ids.new_id()),
        thread=row.thread,
        klass=kind.klass,
        sender_desk=row.own_desk,
        payload_type=kind.name,
        payload_version=kind.version,
        label=LABEL,
        actor=service,
        created_at=now,
        deadline=now + life,
        payload=encode_payload(payload),
    )
    await outgoing.add(tx, message, dict.fromkeys(desks, Plan()))
    await register.composed(tx, message, desks)


def _is_placed(history: History, newest: MessageId) -> bool:
    """Tell whether it is certain what became of what we said last; what is no step of ours was told again before."""
    step = next((one for one in history.steps if one.move.message_id == newest), None)
    return step is None or step.refused in (None, GIVEN_UP) or step.move.index is not None


def _said(
    row: ThreadRow, history: History, stored: list[MoveRow], numbers: RegisterNumbers, now: int
) -> tuple[MessageKind, Payload] | None:
    """Return what stands, as a message of its kind; None where the offer itself is not known."""
    step = standing(history)
    event = Event.CHANGE_DATE if step is None else step.move.event
    kind = kind_for(HANDOVER.name, event)
    if kind is None:
        return None
    if step is not None:
        payload = decode_payload(kind, next(one.payload for one in stored if one.message_id == step.move.message_id))
        assert isinstance(payload, Payload)  # noqa: S101 - every kind of a step that is told is one
        return kind, payload.model_copy(update={"register_numbers": numbers})
    dates = dates_of(history, stored)
    if dates is None:
        return None
    return kind, ChangeDate(
        register_numbers=numbers,
        subject=row.subject,
        occurred_at=now,
        trigger=dates.trigger,
        reason=HandoverEndReason.OTHER,
    )
