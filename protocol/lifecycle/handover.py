# SPDX-License-Identifier: Apache-2.0
"""The handover: responsibility moves from one agency to another, at one instant (HAN-1).

Two things move, apart from each other: the *coordination lead*, which exactly one agency has at every instant
(HAN-2), and the *legal supervisor*, of whom there may be none, with a reason. Whatever goes wrong, the lead stays
where it was: a handover that is declined, withdrawn, expired or failed leaves it with the sender.
"""

from collections.abc import Mapping
from enum import StrEnum

from protocol.lifecycle.machine import Machine, Row, Turn


class State(StrEnum):
    """Where a handover stands."""

    PROPOSED = "proposed"
    OFFERED = "offered"
    ACKNOWLEDGED = "acknowledged"
    ACCEPTED = "accepted"
    ACCEPTED_PARTIAL = "accepted-partial"
    DUAL_RUNNING = "dual-running"
    """Both work with the person; the sender still leads."""
    EFFECTIVE = "effective"
    """The lead has moved; papers and open items may still be on their way."""
    COMPLETED = "completed"
    DECLINED = "declined"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"
    FAILED_EFFECTIVE = "failed-effective"
    """The instant came and the release did not, or was taken back."""
    ENTERED_IN_ERROR = "entered-in-error"


class Event(StrEnum):
    """What can happen to a handover."""

    OFFER = "offer"
    RECEIVE = "receive"
    ACKNOWLEDGE = "acknowledge"
    ACCEPT = "accept"
    ACCEPT_PART = "accept-part"
    DECLINE = "decline"
    BIND = "bind"
    REVIEW = "review"
    RUN_TOGETHER = "run-together"
    CHANGE_DATE = "change-date"
    TAKE_EFFECT = "take-effect"
    FAIL = "fail"
    COMPLETE = "complete"
    WITHDRAW = "withdraw"
    ESCALATE = "escalate"
    EXPIRE = "expire"
    OFFER_AGAIN = "offer-again"
    ENTERED_IN_ERROR = "entered-in-error"


class Actor(StrEnum):
    """Who moves a handover."""

    SENDER = "sender"
    RECEIVER = "receiver"
    CLOCK = "clock"
    """Time itself; the move is made and signed by the sender's connector."""
    PROTECTION = "data-protection"


_S, _R = frozenset({Actor.SENDER}), frozenset({Actor.RECEIVER})
_CLOCK, _DPO = frozenset({Actor.CLOCK}), frozenset({Actor.PROTECTION})

_OPEN = (State.OFFERED, State.ACKNOWLEDGED)
_ANSWERED = (State.ACCEPTED, State.ACCEPTED_PARTIAL)
AGREED = (*_ANSWERED, State.DUAL_RUNNING)
"""States in which both sides wait for the instant."""
FINAL: frozenset[State] = frozenset(
    {State.COMPLETED, State.DECLINED, State.WITHDRAWN, State.EXPIRED, State.FAILED_EFFECTIVE, State.ENTERED_IN_ERROR}
)


def _row(
    number: int, sources: tuple[State, ...], event: Event, actors: frozenset[Actor], target: str, needs: str = ""
) -> Row:
    return Row(
        number=number,
        sources=sources,
        event=event,
        actors=frozenset(actors),
        target=target,
        needs=frozenset(needs.split()),
    )


# fmt: off
# Notes:
#   7   an emergency handover binds only where a configured statute says so; then it can be reviewed, not declined.
#   10  a release that moves takes the date with it and asks nobody to accept again.
#   11  is the instant. The clock makes it where a date was agreed, the sender where an event (the release) was, and the
#       clock again where the release was told before anybody had accepted.
#   12  is said by somebody, never by time: a release that comes later than was thought still is the instant.
#   13  a release taken back within its window takes the lead back too.
ROWS: tuple[Row, ...] = (
    _row(1, (State.PROPOSED,), Event.OFFER, _S, State.OFFERED, "offer"),
    _row(2, (State.OFFERED,), Event.RECEIVE, _R, Turn.SAME, "receipt"),
    _row(3, (State.OFFERED,), Event.ACKNOWLEDGE, _R, State.ACKNOWLEDGED, "officer answer_by"),
    _row(4, (State.ACKNOWLEDGED,), Event.ACCEPT, _R, State.ACCEPTED, "officer supervisor items"),
    _row(5, (State.ACKNOWLEDGED,), Event.ACCEPT_PART, _R, State.ACCEPTED_PARTIAL, "officer supervisor items"),
    _row(6, (State.ACKNOWLEDGED,), Event.DECLINE, _R, State.DECLINED, "reason text"),
    _row(7, _OPEN, Event.BIND, _S, State.ACCEPTED, "statute"),
    _row(8, (*AGREED, State.EFFECTIVE), Event.REVIEW, _R, Turn.SAME, "text"),
    _row(9, _ANSWERED, Event.RUN_TOGETHER, _S | _R, State.DUAL_RUNNING),
    _row(10, (*_OPEN, *AGREED), Event.CHANGE_DATE, _S, Turn.SAME, "trigger reason"),
    _row(11, AGREED, Event.TAKE_EFFECT, _S | _CLOCK, State.EFFECTIVE, "effective_at"),
    _row(12, AGREED, Event.FAIL, _S, State.FAILED_EFFECTIVE, "reason"),
    _row(13, (State.EFFECTIVE,), Event.FAIL, _S, State.FAILED_EFFECTIVE, "reason"),
    _row(14, (State.EFFECTIVE,), Event.COMPLETE, _R, State.COMPLETED, "items"),
    _row(15, (State.PROPOSED, *_OPEN, *AGREED), Event.WITHDRAW, _S, State.WITHDRAWN, "reason"),
    _row(16, (*_OPEN, *AGREED, State.EFFECTIVE), Event.ESCALATE, _CLOCK, Turn.SAME, "level"),
    _row(17, _OPEN, Event.EXPIRE, _CLOCK, State.EXPIRED),
    _row(18, (State.DECLINED, State.EXPIRED, State.FAILED_EFFECTIVE), Event.OFFER_AGAIN, _S, State.OFFERED,
         "trigger acknowledge_by answer_by reason"),
    _row(19, (State.PROPOSED, *_OPEN), Event.ENTERED_IN_ERROR, _S, State.ENTERED_IN_ERROR, "reason"),
    _row(19, (State.PROPOSED, *_OPEN, *AGREED, State.EFFECTIVE, *sorted(FINAL - {State.ENTERED_IN_ERROR})),
         Event.ENTERED_IN_ERROR, _DPO, State.ENTERED_IN_ERROR, "reason"),
)
# fmt: on

HANDOVER = Machine("handover", State.PROPOSED, ROWS, FINAL)
"""The handover's life cycle."""

_KNOWN = (
    State.OFFERED,
    State.EFFECTIVE,
    State.FAILED_EFFECTIVE,
    State.WITHDRAWN,
    State.EXPIRED,
    State.ENTERED_IN_ERROR,
)
"""States in which a desk with a copy can be once the offer is there."""

# fmt: off
# Whoever got a copy of the offer is told by the sender alone, so this says nothing of what the receiver answered. Nor
# can it know which of the sender's steps had no effect, since an answer of the receiver's stood before it (LIF-4) or
# the receiver never had it (SEQ-11). Its sender does, and goes on from there: what he says next counts from any state.
COPY_ROWS: tuple[Row, ...] = (
    _row(1, (State.PROPOSED,), Event.OFFER, _S, State.OFFERED, "offer"),
    _row(10, _KNOWN, Event.CHANGE_DATE, _S, State.OFFERED, "trigger reason"),
    _row(11, _KNOWN, Event.TAKE_EFFECT, _S | _CLOCK, State.EFFECTIVE, "effective_at"),
    _row(12, tuple(sorted({*_KNOWN} - {State.EFFECTIVE})), Event.FAIL, _S, State.FAILED_EFFECTIVE, "reason"),
    _row(13, (State.EFFECTIVE,), Event.FAIL, _S, State.FAILED_EFFECTIVE, "reason"),
    _row(15, _KNOWN, Event.WITHDRAW, _S, State.WITHDRAWN, "reason"),
    _row(17, _KNOWN, Event.EXPIRE, _CLOCK, State.EXPIRED),
    _row(18, _KNOWN, Event.OFFER_AGAIN, _S, State.OFFERED, "trigger acknowledge_by answer_by reason"),
    _row(19, _KNOWN, Event.ENTERED_IN_ERROR, _S | _DPO, State.ENTERED_IN_ERROR, "reason"),
)
# fmt: on

COPY = Machine(
    "handover-copy",
    State.PROPOSED,
    COPY_ROWS,
    frozenset({State.EFFECTIVE, State.FAILED_EFFECTIVE, State.WITHDRAWN, State.EXPIRED, State.ENTERED_IN_ERROR}),
)
"""The handover as a desk follows it that has no part in it: it is told who leads, and has nothing to do (HAN-5)."""
TOLD = frozenset(COPY.events) - {Event.OFFER}
"""The sender's moves that go to every desk which got a copy of the offer."""

AT_COPY: Mapping[str, State] = {row.event: State(row.target) for row in COPY_ROWS}
"""Where a desk with a copy stands once the sender said an event, whatever he said before it (HAN-5)."""

_LED_BY_RECEIVER = frozenset({State.EFFECTIVE, State.COMPLETED})


def lead(state: State) -> Actor:
    """Return which side has the coordination lead in `state`: always one, never two (HAN-2)."""
    return Actor.RECEIVER if state in _LED_BY_RECEIVER else Actor.SENDER
