# SPDX-License-Identifier: Apache-2.0
"""The referral: from a draft to a closed loop (REF-1). Responsibility stays with the agency that refers.

`ROWS` is the whole life cycle. Numbers are those of the specification's 32 rows; where a row has several outcomes
(attended or not, completed or ended early) each is a row of its own with the same number.
"""

from enum import StrEnum

from protocol.lifecycle.machine import Machine, Row, Turn
from protocol.limits import DAY


class State(StrEnum):
    """Where a referral stands."""

    DRAFT = "draft"
    SENT = "sent"
    DELIVERED = "delivered"
    """A1: a connector of the recipient opened it."""
    ACKNOWLEDGED = "acknowledged"
    """A2: a named officer took it up."""
    INFO_REQUESTED = "info-requested"
    """The recipient asked; the answer clock stands still."""
    ACCEPTED = "accepted"
    ACCEPTED_PARTIAL = "accepted-partial"
    ON_HOLD = "on-hold"
    SCHEDULED = "scheduled"
    ACTIVE = "active"
    CANCEL_REQUESTED = "cancel-requested"
    AWAITING_OUTCOME = "awaiting-outcome"
    DECLINED = "declined"
    COMPLETED = "completed"
    """The recipient has reported its outcome; the requester has not confirmed it yet."""
    CLOSED = "closed"
    """The loop is closed: the requester said what changed for the person."""
    ENDED_EARLY = "ended-early"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    BLOCKED_CONSENT = "blocked-consent"
    ENTERED_IN_ERROR = "entered-in-error"
    SUPERSEDED = "superseded"


class Event(StrEnum):
    """What can happen to a referral; each is one signed message, or one receipt."""

    SEND = "send"
    RECEIVE = "receive"
    ACKNOWLEDGE = "acknowledge"
    ESCALATE = "escalate"
    ASK = "ask"
    ANSWER = "answer"
    CANNOT_ANSWER = "cannot-answer"
    ACCEPT = "accept"
    ACCEPT_PART = "accept-part"
    DECLINE = "decline"
    DECLINE_LATE = "decline-late"
    SCHEDULE = "schedule"
    ATTENDED = "attended"
    NO_SHOW = "no-show"
    APPOINTMENT_CANCELLED = "appointment-cancelled"
    PROGRESS = "progress"
    HOLD = "hold"
    RESUME = "resume"
    WITHDRAW = "withdraw"
    CONFIRM_CANCEL = "confirm-cancel"
    LAPSE = "lapse"
    FINISH = "finish"
    COMPLETE = "complete"
    END_EARLY = "end-early"
    CLOSE = "close"
    EXPIRE = "expire"
    BLOCK = "block"
    UNBLOCK = "unblock"
    ENTERED_IN_ERROR = "entered-in-error"
    REASSIGN = "reassign"
    PROPOSE_FORWARD = "propose-forward"
    APPROVE_FORWARD = "approve-forward"
    CUSTODY_MOVED = "custody-moved"
    REOPEN = "reopen"
    APPEAL = "appeal"


class Actor(StrEnum):
    """Who moves a referral."""

    REQUESTER = "requester"
    RECIPIENT = "recipient"
    CLOCK = "clock"
    """Time itself; the move is made and signed by the requester's connector."""
    PROTECTION = "data-protection"
    """The data-protection officer of either side."""


_Q, _R = frozenset({Actor.REQUESTER}), frozenset({Actor.RECIPIENT})
_CLOCK, _DPO = frozenset({Actor.CLOCK}), frozenset({Actor.PROTECTION})
_EITHER = _Q | _R

_ACCEPTED = (State.ACCEPTED, State.ACCEPTED_PARTIAL)
_UNANSWERED = (State.SENT, State.DELIVERED, State.ACKNOWLEDGED, State.INFO_REQUESTED)
_AT_WORK = (*_ACCEPTED, State.SCHEDULED, State.ACTIVE)
_ARRIVED = (
    State.DELIVERED,
    State.ACKNOWLEDGED,
    State.INFO_REQUESTED,
    *_AT_WORK,
    State.ON_HOLD,
    State.CANCEL_REQUESTED,
    State.AWAITING_OUTCOME,
)
LIVE: tuple[State, ...] = (State.SENT, *_ARRIVED)
"""States in which somebody still has something to do; `draft` is nobody's yet, `blocked-consent` waits."""
FINAL: frozenset[State] = frozenset(
    {
        State.DECLINED,
        State.COMPLETED,
        State.CLOSED,
        State.ENDED_EARLY,
        State.CANCELLED,
        State.EXPIRED,
        State.ENTERED_IN_ERROR,
        State.SUPERSEDED,
    }
)
_REOPENED = (State.DECLINED, State.COMPLETED, State.CLOSED, State.ENDED_EARLY, State.EXPIRED)

REOPENED_WITHIN = 30 * DAY
"""Milliseconds in which what is over can begin again (REF-7); later a new referral names it."""
_FORWARD = "forward"


def _row(
    number: int,
    sources: tuple[State, ...],
    event: Event,
    actors: frozenset[Actor],
    target: str,
    needs: str = "",
    *,
    parks: bool = False,
    opens: str | None = None,
    wants: str | None = None,
    within: int | None = None,
) -> Row:
    return Row(
        number=number,
        sources=sources,
        event=event,
        actors=frozenset(actors),
        target=target,
        needs=frozenset(needs.split()),
        parks=parks,
        opens=opens,
        wants=wants,
        within=within,
    )


# fmt: off
# Every end that somebody chose carries a reason (REF-2). `parks` is what a hold and a block set aside (REF-3); a
# forward is a matter that one side opens and the other closes (REF-4).
# Notes where the specification left a decision:
#   4   escalates an answer that is late as well (A3): the clocks of all three acknowledgements have supervisors.
#   10  is an event of its own, since its list of reasons is shorter and it hands back what was done so far.
#   11  serves the first appointment and every further one, so it leads from `scheduled` and `active` too.
#   26  is the requester's move, and carries the reference under which the data-protection officer agreed.
#   28, 29  begin at `delivered`: what is only sent nobody at the recipient knows.
#   30  leaves out what is blocked: nothing of the person goes where no basis stands, and it follows row 26 (REF-9).
#   31  reopens a closed loop as well: closing says what is known, and later something else may be.
ROWS: tuple[Row, ...] = (
    _row(1, (State.DRAFT,), Event.SEND, _Q, State.SENT, "request"),
    _row(2, (State.SENT,), Event.RECEIVE, _R, State.DELIVERED, "receipt"),
    _row(3, (State.DELIVERED,), Event.ACKNOWLEDGE, _R, State.ACKNOWLEDGED, "officer answer_by"),
    _row(4, (State.SENT, State.DELIVERED, State.ACKNOWLEDGED), Event.ESCALATE, _CLOCK, Turn.SAME, "level"),
    _row(5, (State.DELIVERED, State.ACKNOWLEDGED), Event.ASK, _R, State.INFO_REQUESTED, "question due"),
    _row(6, (State.INFO_REQUESTED,), Event.ANSWER, _Q, State.ACKNOWLEDGED, "text"),
    _row(6, (State.INFO_REQUESTED,), Event.CANNOT_ANSWER, _Q, State.ACKNOWLEDGED, "reason"),
    _row(7, (State.ACKNOWLEDGED,), Event.ACCEPT, _R, State.ACCEPTED, "officer start_by"),
    _row(8, (State.ACKNOWLEDGED,), Event.ACCEPT_PART, _R, State.ACCEPTED_PARTIAL, "officer start_by services"),
    _row(9, (State.ACKNOWLEDGED,), Event.DECLINE, _R, State.DECLINED, "reason text alternative"),
    _row(10, _AT_WORK, Event.DECLINE_LATE, _R, State.DECLINED, "reason text handback"),
    _row(11, _AT_WORK, Event.SCHEDULE, _R, State.SCHEDULED, "appointment"),
    _row(12, (State.SCHEDULED,), Event.ATTENDED, _R, State.ACTIVE, "appointment"),
    _row(12, (State.SCHEDULED,), Event.NO_SHOW, _R, State.SCHEDULED, "appointment"),
    _row(12, (State.SCHEDULED,), Event.APPOINTMENT_CANCELLED, _R, State.SCHEDULED, "appointment reason"),
    _row(13, (*_ACCEPTED, State.ACTIVE), Event.PROGRESS, _R, State.ACTIVE, "period"),
    _row(14, _AT_WORK, Event.HOLD, _EITHER, State.ON_HOLD, "reason review_on", parks=True),
    _row(15, (State.ON_HOLD,), Event.RESUME, _EITHER, Turn.BACK),
    _row(16, (State.ACKNOWLEDGED, State.INFO_REQUESTED, *_AT_WORK, State.ON_HOLD), Event.WITHDRAW, _Q,
         State.CANCEL_REQUESTED, "reason"),
    _row(17, (State.SENT, State.DELIVERED), Event.WITHDRAW, _Q, State.CANCELLED, "reason"),
    _row(18, (State.CANCEL_REQUESTED,), Event.CONFIRM_CANCEL, _R, State.CANCELLED, "done data_action"),
    _row(19, (State.CANCEL_REQUESTED,), Event.COMPLETE, _R, State.COMPLETED, "outcome data_action"),
    _row(19, (State.CANCEL_REQUESTED,), Event.END_EARLY, _R, State.ENDED_EARLY, "reason outcome data_action"),
    _row(20, (State.CANCEL_REQUESTED,), Event.LAPSE, _CLOCK, State.CANCELLED),
    _row(21, (State.ACTIVE,), Event.FINISH, _R, State.AWAITING_OUTCOME),
    _row(22, (State.ACTIVE, State.AWAITING_OUTCOME), Event.COMPLETE, _R, State.COMPLETED, "outcome data_action"),
    _row(22, (State.ACTIVE, State.AWAITING_OUTCOME), Event.END_EARLY, _R, State.ENDED_EARLY,
         "reason outcome data_action"),
    _row(23, (State.COMPLETED,), Event.CLOSE, _Q, State.CLOSED, "changed"),
    _row(24, _UNANSWERED, Event.EXPIRE, _CLOCK, State.EXPIRED),
    _row(25, LIVE, Event.BLOCK, _CLOCK | _DPO, State.BLOCKED_CONSENT, "reason", parks=True),
    _row(26, (State.BLOCKED_CONSENT,), Event.UNBLOCK, _Q, Turn.BACK, "basis agreed_by"),
    _row(27, (State.DRAFT, *_UNANSWERED), Event.ENTERED_IN_ERROR, _Q, State.ENTERED_IN_ERROR, "reason"),
    _row(27, (State.DRAFT, *LIVE, State.BLOCKED_CONSENT, *sorted(FINAL - {State.ENTERED_IN_ERROR})),
         Event.ENTERED_IN_ERROR, _DPO, State.ENTERED_IN_ERROR, "reason"),
    _row(28, _ARRIVED, Event.REASSIGN, _R, Turn.SAME, "officer"),
    _row(29, _ARRIVED, Event.PROPOSE_FORWARD, _R, Turn.SAME, "agency reason", opens=_FORWARD),
    _row(29, _ARRIVED, Event.APPROVE_FORWARD, _Q, State.SUPERSEDED, "new_thread", wants=_FORWARD),
    _row(30, LIVE, Event.CUSTODY_MOVED, _CLOCK, Turn.SAME, "officer"),
    _row(31, _REOPENED, Event.REOPEN, _EITHER, State.ACKNOWLEDGED, "reason", within=REOPENED_WITHIN),
    _row(32, (State.DECLINED,), Event.APPEAL, _Q, State.ACKNOWLEDGED, "reason"),
)
# fmt: on

REFERRAL = Machine("referral", State.DRAFT, ROWS, FINAL)
"""The referral's life cycle. One live state for each thread; what is absent is illegal, for everybody."""
