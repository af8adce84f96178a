# SPDX-License-Identifier: Apache-2.0
"""What is due in a case, from the messages alone: what, by which agency, until when.

Pure. A thread says it by its state and the dates that its steps named; a message that moves nothing says it by a date
of its own, and is due until that is past. That one is to be noted or answered `hearing` knows, until it was (KIND-7).
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
from protocol.clocks import Calendar
from protocol.content import Content
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
"""And of one that asks something."""
_DATED: Final[Mapping[str, tuple[str, str, bool]]] = {
    "appointment.scheduled": ("appointment", "appointment", True),
    "appointment.changed": ("appointment", "appointment", True),
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
    now: int,
) -> Iterator[Due]:
    """Yield what a message that moves no thread says will be done on a day or at a time that has not passed."""
    what, name, by_sender = _DATED.get(getattr(payload, "kind", ""), ("", "", False))
    if not what:
        return
    for agency in [sender] if by_sender else recipients:
        found = _dated(what, agency, getattr(payload, name))
        ends = found.ends(calendar(agency))
        if ends is not None and ends >= now:
            yield found


def _dated(what: str, by: AgencyAddress, when: int | date | None) -> Due:
    if isinstance(when, date):
        return Due(what, by, on=when)
    return Due(what, by, at=when)
