# SPDX-License-Identifier: Apache-2.0
"""How a message looks from here: at its sender with the fate at every desk, at a recipient with its own part."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from connectors.faults import desk_of_row
from connectors.handover_form import stored_package
from connectors.lost_receipts import LOST
from connectors.receipts import MISSING
from connectors.store import attachments, attempts, incoming, recipients, sealings
from connectors.store.attachments import Expected, FetchState, Unreadable
from connectors.store.engine import Transaction
from connectors.store.incoming import IncomingState, ReceivedMessage
from connectors.store.outgoing import OutgoingMessage
from connectors.store.recipients import Plan, RecipientRow, RecipientState
from connectors.store.sealings import CALLED_BACK, Sealing
from protocol.address import DeskAddress
from protocol.content import encode_payload
from protocol.errors import (
    CODES,
    AttachmentMissing,
    CannotOpen,
    Conflict,
    Expired,
    KeystoreError,
    NotFound,
    NothingToSend,
    SequenceError,
)
from protocol.handover import PackageSection
from protocol.http.handovers import (
    AttachmentView,
    Direction,
    HandoverView,
    MessageState,
    NotUnderstood,
    Origin,
    RecipientPlan,
    RecipientView,
    SealingView,
    SectionGoing,
    SectionView,
    SectionWithheld,
)
from protocol.sections import Attachment
from protocol.slices import parse_slice

_STATES = {
    RecipientState.QUEUED: MessageState.QUEUED,
    RecipientState.SEALED: MessageState.QUEUED,
    RecipientState.ACCEPTED: MessageState.ACCEPTED,
    RecipientState.OPENED: MessageState.OPENED,
    RecipientState.FAILED: MessageState.FAILED,
    RecipientState.EXPIRED: MessageState.EXPIRED,
}
_FETCHED = {
    FetchState.WAITING: "waiting",
    FetchState.STORED: "stored",
    FetchState.KEPT: "stored",
    FetchState.FAILED: "failed",
}
_LEAST_FIRST = (
    MessageState.FAILED,
    MessageState.EXPIRED,
    MessageState.QUEUED,
    MessageState.ACCEPTED,
    MessageState.OPENED,
)
_WHY: Final = {
    Expired.code: "Nobody at that desk opened it in time.",
    CannotOpen.code: "That desk's connector could not open it.",
    KeystoreError.code: "What was sealed of it cannot be read here any more; it is sealed anew.",
    AttachmentMissing.code: "An attachment of it is not whole at the hub, or was damaged or lost here: look at the "
    "disk (throughcare doctor), and send the handover again with each of its files anew, for an attachment belongs to "
    "one handover.",
    NothingToSend.code: "By the rules as they stand now no section of it may go to that desk.",
    "device-replaced": "Another device serves that desk, or sends from here, than when it was sealed.",
    "no-notice": "The hub took it long ago, and nothing was heard of it since.",
    LOST: "The hub came back from a backup and does not have it any more.",
    CALLED_BACK: "Its thread was stopped before it left here; it goes out without its sections.",
    MISSING: "That desk does not have it and asked for it.",
}
"""Plain words for what is no error, or where the error's own are meant for whoever made a request."""
_ASKED = "Later messages of this thread came there, and this one did not or was lost: that desk asked for it."


def overall(rows: Sequence[RecipientRow]) -> MessageState:
    """Return the state of a message of ours: that of the desk where it has come least far."""
    states = {_STATES[row.state] for row in rows}
    return next(state for state in _LEAST_FIRST if state in states)


def planned(sections: Sequence[PackageSection], plans: Mapping[DeskAddress, Plan]) -> list[RecipientPlan]:
    """Return what each desk will get of a message of ours with these sections, and what not (CON-7)."""
    return [
        RecipientPlan(desk=desk, sections=_going(plan), withheld=_withheld(sections, plan))
        for desk, plan in plans.items()
    ]


def _going(plan: Plan) -> list[SectionGoing]:
    return [SectionGoing(number=number, category=category) for number, category in plan.going]


def _withheld(sections: Sequence[PackageSection], plan: Plan) -> list[SectionWithheld]:
    """Return which of `sections` a desk does not get, and why.

    A plan lists the reasons in the order of the sections, and every one either goes or is withheld.
    """
    going = {number for number, _ in plan.going}
    kept = [(n, section) for n, section in enumerate(sections, start=1) if n not in going]
    return [
        SectionWithheld(number=number, category=category, purpose=section.purpose, reason=reason)
        for (number, section), (category, reason) in zip(kept, plan.withheld, strict=False)  # not planned yet: none
    ]


async def sent_view(tx: Transaction, message: OutgoingMessage) -> HandoverView:
    """Return a handover of ours, with what goes to whom, what is withheld, and all receipts."""
    rows = await recipients.of(tx, message.message_id)
    package = stored_package(message)
    return HandoverView(
        id=message.message_id,
        thread=message.thread,
        direction=Direction.SENT,
        state=overall(rows),
        at=message.created_at,
        offer=json.loads(message.payload),
        sections=sent_sections(message, package.sections),
        recipients=await at_desks(tx, rows, package.sections),
        origin=None,
        not_understood=[NotUnderstood(**note) for note in json.loads(message.notes)],
    )


def sent_sections(message: OutgoingMessage, sections: Sequence[PackageSection]) -> list[SectionView]:
    """Return the sections of a message of ours, each with the ground in law on which it went."""
    return [
        SectionView(
            number=number,
            category=section.category,
            purpose=section.purpose,
            label=section.label,
            body=_json(encode_payload(section.body)),
            attachments=_own([entry for place, entry in message.attachments if place == number]),
            basis=section.basis,
            citation=section.citation,
        )
        for number, section in enumerate(sections, start=1)
    ]


def came_sections(message: ReceivedMessage) -> list[SectionView]:
    """Return the sections of a message that came, each with the desk of ours that got it."""
    return [
        SectionView(
            number=one.number,
            category=one.category,
            purpose=one.purpose,
            label=one.label,
            body=_json(one.body),
            desks=[message.recipient_desk],
        )
        for one in message.sections
    ]


def _own(entries: Sequence[Attachment]) -> list[AttachmentView]:
    return [_attachment(place, entry, "sent") for place, entry in enumerate(entries)]


def _attachment(place: int, entry: Attachment, state: str) -> AttachmentView:
    return AttachmentView(
        place=place, name=entry.name, media_type=entry.media_type, size=entry.plaintext_size, state=state
    )


async def at_desks(
    tx: Transaction, rows: Sequence[RecipientRow], sections: Sequence[PackageSection]
) -> list[RecipientView]:
    """Return how a message of ours with these sections stands at its desks, `rows`, whatever its kind."""
    known = await sealings.of(tx, rows)
    return [await _recipient(tx, sections, row, known.get(row.desk, ())) for row in rows]


async def _recipient(
    tx: Transaction, sections: Sequence[PackageSection], row: RecipientRow, known: Sequence[Sealing]
) -> RecipientView:
    error, detail = row.error, None
    if row.state is RecipientState.SEALED and error is None and row.envelope_id is not None:
        # On its way to the hub: what the last try ended with.
        attempt = await attempts.by_id(tx, row.envelope_id)
        error = None if attempt is None else attempt.error
    if error is not None:
        detail = _WHY.get(error) or (CODES[error].default if error in CODES else None)
    if row.asked_at is not None and row.state is not RecipientState.OPENED:
        error, detail = SequenceError.code, _ASKED
    one, plan = sealings.telling(row, known), sealings.shown(row, known)
    accepted = None if one is None or row.state is not RecipientState.OPENED else one.accepted
    return RecipientView(
        desk=desk_of_row(row.desk),
        state=_STATES[row.state],
        sections=_going(plan),
        withheld=_withheld(sections, plan),
        envelope_id=row.envelope_id if one is None else one.envelope_id,
        attempts=row.seals,
        accepted_at=row.accepted_at if accepted is None else accepted.leaf.at,
        opened_at=row.opened_at,
        error=error,
        detail=detail,
        marks=list(dict.fromkeys((*plan.marks, *(one.plan.marks if one is not None else ())))),
        receipt=None if one is None else one.receipt,
        sealings=[_sealing(sections, one) for one in known],
    )


def _sealing(sections: Sequence[PackageSection], one: Sealing) -> SealingView:
    accepted, record = one.accepted, one.record
    return SealingView(
        envelope_id=one.envelope_id,
        digest=one.digest.hex(),
        sealed_at=None if record is None else record.at,
        accepted_at=None if accepted is None else accepted.leaf.at,
        leaf_index=None if accepted is None else accepted.place,
        opened_at=one.opened_at,
        taken_in=one.taken_in,
        function=None if record is None else record.function,
        sections=_going(one.plan),
        withheld=_withheld(sections, one.plan),
        signer=None if record is None else record.actor.name,
        delegation=None if record is None else record.actor.delegation.hex(),
        marks=list(one.plan.marks),
        receipt=one.receipt,
    )


async def received_view(tx: Transaction, messages: Sequence[ReceivedMessage]) -> HandoverView:
    """Return a handover of one sender that came for one or more of our desks; `NotFound` if none did.

    Held messages show that they are there and nothing of their content: the one before them is missing. `Conflict` for
    what is not the same at each desk: one thread and one offer (CON-9).
    """
    if not messages:
        raise NotFound
    known = [one for one in messages if one.state is IncomingState.DELIVERED]
    if len({one.thread for one in messages}) > 1 or len({one.payload for one in known}) > 1:
        raise Conflict(
            "Its sender sent several handovers under this id, to several desks of ours. Say at which: --recipient DESK "
            "(?recipient=)."
        )
    first = (known or messages)[0]
    came = [one for one in await attachments.standing(tx, first.message_id) if one.sender_desk == first.sender_desk]
    state = MessageState.HELD if first.state is IncomingState.HELD else MessageState.RECEIVED
    return HandoverView(
        id=first.message_id,
        thread=first.thread,
        direction=Direction.RECEIVED,
        state=state,
        at=first.accepted_at,
        offer={} if state is MessageState.HELD else _json(first.payload),
        sections=[
            view
            for message in messages
            if message.state is IncomingState.DELIVERED
            for view in _sections(message, [one for one in came if one.recipient_desk == message.recipient_desk])
        ],
        recipients=[await _own_desk(tx, message) for message in messages],
        origin=Origin(
            agency=first.agency,
            desk=first.sender_desk,
            device=first.device_id,
            officer=first.actor.name,
            officer_kind=first.actor.kind.name.lower(),
            leaf_index=first.leaf_index,
            marks=list(first.marks),
        ),
        not_understood=[],
    )


def _came(one: Expected | Unreadable) -> AttachmentView:
    if isinstance(one, Unreadable):
        return AttachmentView(place=one.place, name="", media_type="", size=0, state="damaged")
    return _attachment(one.place, one.entry, _FETCHED[one.state])


def _sections(message: ReceivedMessage, came: Sequence[Expected | Unreadable]) -> list[SectionView]:
    return [
        SectionView(
            number=section.number,
            category=section.category,
            purpose=section.purpose,
            label=section.label,
            body=_json(section.body),
            attachments=[
                _came(one) for one in sorted(came, key=lambda one: one.place) if one.section == section.number
            ],
            desks=[message.recipient_desk],
        )
        for section in message.sections
    ]


async def _own_desk(tx: Transaction, message: ReceivedMessage) -> RecipientView:
    raw = await incoming.slice_of(tx, message)
    return RecipientView(
        desk=message.recipient_desk,
        state=MessageState.HELD if message.state is IncomingState.HELD else MessageState.RECEIVED,
        sections=[SectionGoing(number=section.number, category=section.category) for section in message.sections],
        withheld=[],
        envelope_id=message.envelope_id,
        attempts=0,
        accepted_at=message.accepted_at,
        opened_at=message.received_at,
        error=None,
        detail=None,
        marks=[],
        receipt=parse_slice(raw).receipt,
    )


def _json(content: bytes) -> dict[str, Any]:
    value = json.loads(content)
    if not isinstance(value, dict):
        raise TypeError("content is an object: it was checked when it came")
    return value
