# SPDX-License-Identifier: Apache-2.0
"""What is due in a case, from the messages alone: what, by which agency, until when.

Pure. A thread says it by its state and the dates that its steps named; a message that moves nothing says it by a date
of its own: an answer is due until it is given, anything else until its date is past.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from connectors.cases.sides import ROLES
from connectors.cases.terms import dates_of
from connectors.cases.threads import OBSERVER
from connectors.store.moves import MoveRow
from connectors.store.threads import ThreadRow
from protocol.address import AgencyAddress
from protocol.clocks import Ack, Calendar, deadline
from protocol.content import Content
from protocol.handover import Priority
from protocol.kinds.base import Payload
from protocol.kinds.catalogue import decode_payload, kind_for
from protocol.lifecycle import handover
from protocol.lifecycle.history import History
from protocol.lifecycle.referral import REFERRAL, Event, State
from protocol.lifecycle.timers import AWAITING_ANSWER, LAPSE
from protocol.lifecycle.timers import due as due_by


@dataclass(frozen=True, slots=True)
class Due:
    """Something to do: at a time (ms UTC), on a day, or with no date set."""

    what: str
    by: AgencyAddress
    at: int | None = None
    on: date | None = None

    def ends(self, calendar: Calendar) -> int | None:
        """Return when it is late, in ms UTC; None where no date is set."""
        if self.at is not None:
            return self.at
        return None if self.on is None else calendar.close_of(self.on)


_LAST: Final[Mapping[str, tuple[str, str, str]]] = {
    State.INFO_REQUESTED: (Event.ASK, "due", "answer-question"),
    State.ACCEPTED: (Event.ACCEPT, "start_by", "start"),
    State.ACCEPTED_PARTIAL: (Event.ACCEPT_PART, "start_by", "start"),
    State.SCHEDULED: (Event.SCHEDULE, "appointment", "appointment"),
    State.ON_HOLD: (Event.HOLD, "review_on", "review"),
}
"""In these states the newest step of that event names the date, in that field, by which that is due."""

_DATED: Final[Mapping[str, tuple[str, str, bool]]] = {
    "appointment.scheduled": ("appointment", "appointment", True),
    "appointment.changed": ("appointment", "appointment", True),
    "alert.risk": ("answer", "answer_by", False),
    "prerelease.start": ("answer", "answer_by", False),
    "record.request": ("answer", "answer_by", False),
    "case.meeting-call": ("meeting", "meets_at", True),
    "case.meeting-action": ("action", "due", False),
}
"""Kinds whose field names a date: what is due, in which field, and whether the sender does it (or the recipient)."""


def of_thread(
    row: ThreadRow, history: History, stored: Sequence[MoveRow], calendar: Calendar, *, now: int
) -> Iterator[Due]:
    """Yield what is due in a referral or handover; `calendar` is that of its answering agency."""
    if not row.live:
        return
    if row.machine == REFERRAL.name:
        yield from _referral(row, history, stored, calendar, now)
    else:
        yield from _handover(row, history, stored)


def of_message(
    payload: Content, sender: AgencyAddress, recipients: Sequence[AgencyAddress], calendar: Calendar, *, now: int
) -> Iterator[Due]:
    """Yield what a message that moves no thread makes due; whether it was answered, other messages say."""
    kind = getattr(payload, "kind", "")
    if kind not in _DATED:
        return
    what, name, by_sender = _DATED[kind]
    for agency in [sender] if by_sender else recipients:
        found = _dated(what, agency, getattr(payload, name))
        ends = found.ends(calendar)
        if ends is not None and (what == "answer" or ends >= now):
            yield found


def _referral(
    row: ThreadRow, history: History, stored: Sequence[MoveRow], calendar: Calendar, now: int
) -> Iterator[Due]:
    state, priority = history.state, Priority(row.priority)
    if state in (State.SENT, State.DELIVERED):
        yield Due("acknowledge", row.answers, at=due_by(history, priority, calendar, Ack.A2, now=now))
    if state in AWAITING_ANSWER:
        yield Due("answer", row.answers, at=due_by(history, priority, calendar, Ack.A3, now=now))
    if state in _LAST:
        event, name, what = _LAST[state]
        found = _newest(row, history, stored, event)
        if found is not None:
            actor, payload, _ = found
            by = row.begins if actor == ROLES[row.machine].begins or state == State.INFO_REQUESTED else row.answers
            yield _dated(what, by, getattr(payload, name))
    if state == State.CANCEL_REQUESTED:
        found = _newest(row, history, stored, Event.WITHDRAW)
        if found is not None:
            yield Due("confirm-cancel", row.answers, at=deadline(found[2], LAPSE, calendar, now=now))
    if state == State.AWAITING_OUTCOME:
        yield Due("report-outcome", row.answers)
    if state == State.COMPLETED:
        yield Due("close", row.begins)


def _handover(row: ThreadRow, history: History, stored: Sequence[MoveRow]) -> Iterator[Due]:
    state, dates = history.state, dates_of(history, stored)
    if dates is None:
        return
    if row.side == OBSERVER:
        # What the receiver answered is not known here; the day of the instant is (HAN-5).
        if state == handover.State.OFFERED:
            yield Due("take-effect", row.begins, on=dates.trigger.expected_on)
        return
    if state == handover.State.OFFERED:
        yield Due("acknowledge", row.answers, on=dates.acknowledge_by)
    if state in (handover.State.OFFERED, handover.State.ACKNOWLEDGED):
        yield Due("answer", row.answers, on=dates.answer_by)
    if state in (handover.State.ACCEPTED, handover.State.ACCEPTED_PARTIAL, handover.State.DUAL_RUNNING):
        yield Due("take-effect", row.begins, on=dates.trigger.expected_on)
    if state == handover.State.EFFECTIVE:
        yield Due("complete", row.answers)


def _newest(row: ThreadRow, history: History, stored: Sequence[MoveRow], event: str) -> tuple[str, Payload, int] | None:
    """Return the actor, the payload and the time of the newest step of `event` that had an effect."""
    payloads = {one.message_id: one.payload for one in stored}
    for step in reversed(tuple(history.done)):
        kind = kind_for(row.machine, step.move.event)
        if step.move.event == event and kind is not None:
            payload = decode_payload(kind, payloads[step.move.message_id])
            if isinstance(payload, Payload):
                return step.move.actor, payload, step.move.at
    return None


def _dated(what: str, by: AgencyAddress, when: int | date | None) -> Due:
    if isinstance(when, date):
        return Due(what, by, on=when)
    return Due(what, by, at=when)
