# SPDX-License-Identifier: Apache-2.0
"""What somebody must hear of without asking: a person who did not come, an appointment that nobody reported (REF-5).

So is a forward that was proposed and not decided: it leaves the state as it is, so nothing else shows it (REF-4).

An alert is no message of its own: it follows from the signed moves and the recipient's calendar alone, so every side
computes the same, and an outage neither loses one nor raises one twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from protocol.clocks import Calendar, Span, deadline
from protocol.errors import IllegalTransition
from protocol.ids import MessageId
from protocol.lifecycle import handover
from protocol.lifecycle.history import History, Move, Step
from protocol.lifecycle.referral import Actor, Event, State
from protocol.lifecycle.timers import newest, rounds

REPORT_WITHIN: Final = Span(working_days=1)
"""How long after an appointment the recipient has to say whether the person came."""
AGAIN: Final = 2
"""Missed appointments, since the person came last, after which every one is an alert."""


class AlertKind(StrEnum):
    """Why somebody is alerted."""

    FIRST_MISSED = "first-missed"
    """The person did not come to the first appointment, and has not come since."""
    MISSED_AGAIN = "missed-again"
    """The person has missed two appointments or more since coming last."""
    UNREPORTED = "unreported"
    """An appointment has passed, and nobody has said whether the person came."""
    FORWARD_PROPOSED = "forward-proposed"
    """The recipient proposed another agency, and the requester has not decided (REF-4)."""
    OVERDUE = "overdue"
    """What the thread waits for is late (LIF-7)."""
    BOUND = "bound"
    """A statute bound us to a handover that nobody here has looked at (HAN-14)."""
    BROUGHT_FORWARD = "brought-forward"
    """The day of a handover that we accepted is earlier than we knew, and nobody here has looked at it (HAN-17)."""
    LEAD_RETURNED = "lead-returned"
    """The other side ended a handover that had taken effect; nobody here has noted that the lead is back (HAN-11)."""
    STEP_REFUSED = "step-refused"
    """Our step that was to move the lead had no effect; nobody here has noted it (HAN-16)."""
    HANDED_OVER_TWICE = "handed-over-twice"
    """Two agencies have accepted the same person from us, and neither handover has been taken back (HAN-12)."""


HEARS: Final[Mapping[AlertKind, frozenset[str]]] = {
    AlertKind.FIRST_MISSED: frozenset({Actor.REQUESTER}),
    AlertKind.MISSED_AGAIN: frozenset({Actor.REQUESTER}),
    AlertKind.UNREPORTED: frozenset({Actor.REQUESTER, Actor.RECIPIENT}),
    AlertKind.FORWARD_PROPOSED: frozenset({Actor.REQUESTER}),
    AlertKind.OVERDUE: frozenset(
        {Actor.REQUESTER, Actor.RECIPIENT, handover.Actor.SENDER, handover.Actor.RECEIVER},
    ),
    AlertKind.BOUND: frozenset({handover.Actor.RECEIVER}),
    AlertKind.BROUGHT_FORWARD: frozenset({handover.Actor.RECEIVER}),
    AlertKind.LEAD_RETURNED: frozenset({handover.Actor.SENDER}),
    AlertKind.STEP_REFUSED: frozenset({handover.Actor.SENDER}),
    AlertKind.HANDED_OVER_TWICE: frozenset({handover.Actor.SENDER}),
}
"""Which side is alerted: who is responsible hears of the person, and of a silence or a delay both sides do."""


@dataclass(frozen=True, slots=True)
class Visit:
    """What a move says of an appointment: when it is (ms UTC), and whether a person who did not come is excused."""

    at: int
    excused: bool = False


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert that stands: since when (ms UTC), and the message that proves it.

    It is about an `appointment`, or about something else that is late: what, and of which side.
    """

    kind: AlertKind
    since: int
    message_id: MessageId
    appointment: int | None = None
    what: str | None = None
    by: str | None = None

    @property
    def mark(self) -> str:
        """One word by which it is known again while it stands: what is late is late once, by whatever message."""
        about = self.message_id.hex() if self.what is None else f"{self.what}:{self.by}"
        return f"{self.kind}:{about}"


@dataclass(frozen=True, slots=True)
class Watch:
    """The alerts that stand now, and when (ms UTC) the next one would be raised by time alone."""

    standing: tuple[Alert, ...] = ()
    next_at: int | None = None

    def with_(self, other: "Watch") -> "Watch":
        """Return what there is to hear of both."""
        due = [at for at in (self.next_at, other.next_at) if at is not None]
        return Watch(self.standing + other.standing, min(due, default=None))

    def heard_by(self, side: str) -> tuple[Alert, ...]:
        """Return the alerts that `side` is to hear of."""
        return tuple(alert for alert in self.standing if side in HEARS[alert.kind])


def watch(history: History, visits: Mapping[MessageId, Visit], calendar: Calendar, *, now: int) -> Watch:
    """Return which alerts a referral gives rise to; `visits` holds every move's that is about an appointment.

    `calendar` is the recipient's, `now` in ms UTC. Whoever comes ends the alert, and so does the end of the referral;
    a referral that was reopened begins anew.
    """
    proposed = proposed_forward(history)
    open_ = () if proposed is None else (Alert(AlertKind.FORWARD_PROPOSED, proposed.at, proposed.message_id),)
    return _of_visits(history, visits, calendar, now=now).with_(Watch(open_))


def proposed_forward(history: History) -> Move | None:
    """Return the proposal to forward that the requester could approve now, the newest; None where there is none."""
    try:
        history.machine.row(history.position, Event.APPROVE_FORWARD, Actor.REQUESTER)
    except IllegalTransition:
        return None
    step = newest(history, Event.PROPOSE_FORWARD)
    return None if step is None else step.move


def _of_visits(history: History, visits: Mapping[MessageId, Visit], calendar: Calendar, *, now: int) -> Watch:
    if history.state in history.machine.finals:
        return Watch()
    missed, came, open_at = list[Step](), False, None
    for step in history.steps[max(rounds(history), default=0) :]:
        visit = visits.get(step.move.message_id)
        if step.refused is not None or visit is None:
            continue
        match step.move.event:
            case Event.SCHEDULE:
                open_at = step
            case Event.ATTENDED:
                missed, came, open_at = [], True, None
            case Event.NO_SHOW:
                missed, open_at = missed if visit.excused else [*missed, step], None
            case _:
                open_at = None
    standing = list[Alert]()
    if missed and (len(missed) >= AGAIN or not came):
        kind = AlertKind.MISSED_AGAIN if len(missed) >= AGAIN else AlertKind.FIRST_MISSED
        last = missed[-1].move
        standing.append(Alert(kind, last.at, last.message_id, visits[last.message_id].at))
    if open_at is None or history.state != State.SCHEDULED:
        return Watch(tuple(standing))
    visit = visits[open_at.move.message_id]
    due = deadline(visit.at, REPORT_WITHIN, calendar, now=now)
    if now < due:
        return Watch(tuple(standing), due)
    return Watch((*standing, Alert(AlertKind.UNREPORTED, due, open_at.move.message_id, visit.at)))
