# SPDX-License-Identifier: Apache-2.0
"""What is due in a case, from the messages alone: what, by which agency, until when.

Pure. A thread says it by its state and the dates that its steps named; a message that moves nothing says it by a date
of its own: an answer is due until it is given, anything else until its date is past.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

from connectors.cases.sides import ROLES
from connectors.cases.waiting import owed_in
from connectors.store.moves import MoveRow
from connectors.store.threads import ThreadRow
from protocol.address import AgencyAddress
from protocol.clocks import Ack, Calendar
from protocol.content import Content
from protocol.kinds.awaiting import AWAITED, times
from protocol.lifecycle.history import History
from protocol.lifecycle.referral import REFERRAL, State


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


NOTE: Final = "note"
"""What is due of a message that somebody has to take up: that an officer has noted it (KIND-7)."""
ANSWER: Final = "answer"
_DATED: Final[Mapping[str, tuple[str, str, bool]]] = {
    "appointment.scheduled": ("appointment", "appointment", True),
    "appointment.changed": ("appointment", "appointment", True),
    "alert.risk": (ANSWER, "answer_by", False),
    "prerelease.start": (ANSWER, "answer_by", False),
    "record.request": (ANSWER, "answer_by", False),
    "case.meeting-call": ("meeting", "meets_at", True),
    "case.meeting-action": ("action", "due", False),
}
"""Kinds whose field names a date: what is due, in which field, and whether the sender does it (or the recipient)."""


def of_thread(
    row: ThreadRow, history: History, stored: Sequence[MoveRow], calendar: Calendar, *, now: int
) -> Iterator[Due]:
    """Yield what is due in a referral or handover; `calendar` is that of its answering agency."""
    if row.machine == REFERRAL.name and history.state == State.COMPLETED:
        # Over for the recipient; the requester still has to say what changed for the person.
        yield Due("close", row.begins)
    if not row.live:
        return
    for one in owed_in(row, history, stored, calendar, now=now):
        by = row.begins if one.by == ROLES[row.machine].begins else row.answers
        yield Due(one.what, by, at=one.due_at) if one.on is None else Due(one.what, by, on=one.on)


def of_message(
    payload: Content,
    sender: AgencyAddress,
    recipients: Sequence[AgencyAddress],
    calendar: Callable[[AgencyAddress], Calendar],
    *,
    since: int,
    now: int,
) -> Iterator[Due]:
    """Yield what a message that moves no thread makes due; whether it was answered, other messages say.

    By when it is to be noted and answered is counted in the calendar of the agency that has to (KIND-7).
    """
    kind = getattr(payload, "kind", "")
    what, name, by_sender = _DATED.get(kind, ("", "", False))
    if kind in AWAITED:
        for agency in recipients:
            for ack, at in times(kind, payload, since, calendar(agency)).items():
                if ack is Ack.A2:
                    yield Due(NOTE, agency, at=at)
                elif what != ANSWER:
                    yield Due(ANSWER, agency, at=at)
    if not what:
        return
    for agency in [sender] if by_sender else recipients:
        found = _dated(what, agency, getattr(payload, name))
        ends = found.ends(calendar(agency))
        if ends is not None and (what == ANSWER or ends >= now):
            yield found


def _dated(what: str, by: AgencyAddress, when: int | date | None) -> Due:
    if isinstance(when, date):
        return Due(what, by, on=when)
    return Due(what, by, at=when)
