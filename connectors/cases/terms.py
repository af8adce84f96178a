# SPDX-License-Identifier: Apache-2.0
"""What a thread's own messages say about its terms: whom it is about, how urgent it is, which dates count."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

from connectors.cases.sides import ROLES
from connectors.store.moves import MoveRow
from connectors.store.sequences import Direction
from connectors.store.threads import ThreadRow
from protocol import ids
from protocol.address import AgencyAddress
from protocol.content import Content
from protocol.handover import HandoverOffer, decode_offer
from protocol.ids import Kind, MessageId, OfficerId
from protocol.kinds.base import Payload
from protocol.kinds.catalogue import decode_payload, kind_for
from protocol.kinds.handover import ChangeDate, OfferAgain
from protocol.kinds.referral.serving import AppointmentCancelled, Attended, NoShow, Schedule
from protocol.lifecycle.alerts import Visit
from protocol.lifecycle.handover import HANDOVER, Actor, Event
from protocol.lifecycle.history import History
from protocol.lifecycle.owed import Dates, Release
from protocol.lifecycle.referral import REFERRAL
from protocol.lifecycle.referral import Event as ReferralEvent
from protocol.lifecycle.timers import Named

NAMED: Final = 8
"""How many moves of the sender's a step of the receiver's names at most; claims have room for 32."""
_ABOUT_APPOINTMENTS: Final = frozenset(
    {ReferralEvent.SCHEDULE, ReferralEvent.ATTENDED, ReferralEvent.NO_SHOW, ReferralEvent.APPOINTMENT_CANCELLED}
)

_NAMES: Final[Mapping[str, str]] = {
    ReferralEvent.ASK: "due",
    ReferralEvent.ACCEPT: "start_by",
    ReferralEvent.ACCEPT_PART: "start_by",
    ReferralEvent.SCHEDULE: "appointment",
    ReferralEvent.HOLD: "review_on",
}
"""Which field of which step names by when what comes next is due."""


def terms_of(payload: Content, recipient: AgencyAddress) -> tuple[str, str, AgencyAddress]:
    """Return the subject, the priority and the answering agency that a beginning names."""
    if isinstance(payload, HandoverOffer):
        return payload.parties.subject, payload.terms.priority, AgencyAddress(payload.parties.next_responsible)
    assert isinstance(payload, Payload)  # noqa: S101 - every other kind is one
    return payload.subject, payload.priority, recipient


def dates_of(history: History, stored: Sequence[MoveRow], *, release: Release | None = None) -> Dates | None:
    """Return the dates of a handover that count now, or None before it was offered; `release` was told in it."""
    rows = {one.message_id: one for one in stored}
    places = {step.move.message_id: place for place, step in enumerate(history.steps)}
    dates: Dates | None = None
    days = _Days(None)
    for step in history.done:
        move, row = step.move, rows[step.move.message_id]
        if move.event == Event.OFFER:
            terms = decode_offer(row.payload).terms
            dates = Dates(terms.acknowledge_by, terms.answer_by, terms.trigger)
            days = _Days(terms.trigger.expected_on)
        elif dates is not None and move.actor == Actor.RECEIVER and move.event != Event.RECEIVE:
            # Whoever makes a step has looked at every day that had come there by then; a receipt makes itself.
            days.look(max((places.get(one, -1) for one in row.after), default=len(places)))
        elif dates is not None and move.event in (Event.CHANGE_DATE, Event.OFFER_AGAIN):
            kind = kind_for(HANDOVER.name, move.event)
            if kind is None:
                continue
            changed = decode_payload(kind, row.payload)
            if isinstance(changed, ChangeDate):
                dates = replace(dates, trigger=changed.trigger)
                days.told.append((places[move.message_id], move.message_id, changed.trigger.expected_on))
            elif isinstance(changed, OfferAgain):
                dates = Dates(changed.acknowledge_by, changed.answer_by, changed.trigger)
                days = _Days(changed.trigger.expected_on)
    return None if dates is None else replace(dates, release=release, brought_forward=days.brought_forward)


def had(row: ThreadRow, history: History, stored: Sequence[MoveRow]) -> tuple[MessageId, ...]:
    """Return the newest moves of the sender's that a receiver has, for a step of its own to name them (HAN-17).

    It names a few, for a sender whose machine was lost may not know the last. Nobody else's step names any.
    """
    if row.machine != HANDOVER.name or row.side != Actor.RECEIVER:
        return ()
    theirs = {one.message_id for one in stored if one.direction is Direction.IN}
    return tuple(step.move.message_id for step in history.steps if step.move.message_id in theirs)[-NAMED:]


@dataclass
class _Days:
    """The day that the receiver knew at its last step, and each that it was told of since: place, message, day."""

    known: date | None
    told: list[tuple[int, MessageId, date | None]] = field(default_factory=list)

    def look(self, last: int) -> None:
        """Take note of a step whose maker had what stands up to the place `last` of the history, and no more."""
        while self.told and self.told[0][0] <= last:
            self.known = self.told.pop(0)[2]

    @property
    def brought_forward(self) -> MessageId | None:
        """What brought the day forward last; None where the day is no earlier than the known one (HAN-17)."""
        since, before = None, self.known
        for _, message_id, day in self.told:
            if not _is_sooner(day, self.known):
                since = None
            elif since is None or _is_sooner(day, before):
                # A still earlier day has its own time to be looked at.
                since = message_id
            before = day
        return since


def _is_sooner(day: date | None, known: date | None) -> bool:
    """Tell whether somebody who knew one day has to hear of another at once: an earlier one, or one where none was."""
    return day is not None and (known is None or day < known)


def named_by(stored: Sequence[MoveRow]) -> dict[MessageId, Named]:
    """Return the days and moments that the moves of a referral name for what comes next."""
    named = dict[MessageId, Named]()
    for one in stored:
        kind = kind_for(REFERRAL.name, one.event)
        if kind is not None and one.event in _NAMES:
            named[one.message_id] = getattr(decode_payload(kind, one.payload), _NAMES[one.event])
    return named


def visits_of(stored: Sequence[MoveRow]) -> dict[MessageId, Visit]:
    """Return what the moves of a referral say of appointments."""
    visits = dict[MessageId, Visit]()
    for one in stored:
        kind = kind_for(REFERRAL.name, one.event)
        if kind is None or one.event not in _ABOUT_APPOINTMENTS:
            continue
        payload = decode_payload(kind, one.payload)
        if isinstance(payload, (Schedule, Attended, NoShow, AppointmentCancelled)):
            visits[one.message_id] = Visit(payload.appointment, isinstance(payload, NoShow) and payload.excused)
    return visits


def officer_of(row: ThreadRow, history: History, stored: dict[MessageId, MoveRow]) -> OfficerId | None:
    """Return who has the thread at the answering side: the officer whom its last move named."""
    for step in reversed(tuple(history.done)):
        if step.move.actor == ROLES[row.machine].answers:
            kind = kind_for(row.machine, step.move.event)
            if kind is None:
                continue
            named = getattr(decode_payload(kind, stored[step.move.message_id].payload), "officer", None)
            if isinstance(named, str):
                return OfficerId(ids.raw(Kind.OFFICER, named))
    return None
