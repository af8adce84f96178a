# SPDX-License-Identifier: Apache-2.0
"""What a thread waits for: what somebody is to do next, which side that is, and from when on it is late (LIF-7).

Every state that is no end waits for somebody, and so for a time: the day that a step named, the span of its priority,
or, where nobody named a day, so many working days after the last step. All of it follows from the signed moves and
the answering agency's calendar, so both sides know the same, also while the other is away.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Final

from protocol.clocks import SPANS, Ack, Calendar, Span, deadline
from protocol.handover import Priority, Trigger
from protocol.ids import MessageId
from protocol.lifecycle import handover, referral
from protocol.lifecycle.alerts import REPORT_WITHIN, Alert, AlertKind, Watch, proposed_forward
from protocol.lifecycle.history import History, Move
from protocol.lifecycle.timers import LAPSE, Named, due, newest, question_due
from protocol.limits import DAY

REST: Final = Span(working_days=10)
"""How long a thread may rest where nobody named a day: two working weeks."""
WORK: Final = Span(working_days=20)
"""How long a service may go on without a word of how it goes: four working weeks."""
MOST: Final = Span(working_days=260)
"""How long a referral rests at most, whatever day a step named: a working year."""


class Awaited(StrEnum):
    """What can be late once a handover was accepted."""

    TAKE_EFFECT = "take-effect"
    """The instant: the release that was expected, or the agreed day."""
    COMPLETE = "complete"
    """The word that papers and open items have arrived."""


REVIEW: Final = "review"
"""What a receiver owes whom a statute bound, or to whom somebody comes sooner, as whoever set a referral aside does."""
HEARD: Final = "heard"
"""What a sender owes who says that the lead has moved: that the receiver has it from him (HAN-15)."""
SAID: Final = SPANS[Priority.EMERGENCY][Ack.A2].ms
"""How long an instant may be on its way at least, also one that was said in the evening, before anybody is alerted.

So long has a receiver at least to look at a day that is over when it hears of it.
"""
ESCALATE: Final = (handover.Event.ESCALATE, referral.Event.ESCALATE)
"""Time's word that something is late, in either life cycle."""
_CLOCKS: Final = (handover.Actor.CLOCK, referral.Actor.CLOCK)


@dataclass(frozen=True, slots=True)
class Owed:
    """What `by`, a side in the words of the table, is to do: from when on it is late, and what it named itself.

    `late_at` and `at` are in ms UTC. `quiet` is what has an alert of its own.
    """

    what: str
    by: str
    late_at: int
    on: date | None = None
    at: int | None = None
    quiet: bool = False

    @property
    def due_at(self) -> int:
        """Until when it is due, in ms UTC."""
        return self.late_at if self.at is None else self.at


@dataclass(frozen=True, slots=True)
class Release:
    """A release that the sender told of, and did not take back: when it was, when it was told, by which message."""

    at: int
    told_at: int
    notice: MessageId


@dataclass(frozen=True, slots=True)
class Dates:
    """The dates of a handover that count now: those of the last offer, with the trigger as it was changed last."""

    acknowledge_by: date
    answer_by: date
    trigger: Trigger
    release: Release | None = None
    """Known to the sender only, who makes the moves of time."""
    brought_forward: MessageId | None = None
    """The last step that brought the day forward, where it is earlier than the receiver has seen (HAN-17)."""

    @property
    def taken_up_on(self) -> date:
        """The day on which the acknowledgement is late: its own, or that of the release where that comes first."""
        return min(self.acknowledge_by, self.trigger.expected_on or self.acknowledge_by)

    @property
    def answered_on(self) -> date:
        """The day on which the answer is late: its own, or that of the release where that comes first."""
        return min(self.answer_by, self.trigger.expected_on or self.answer_by)


_ANSWERING: Final = frozenset({handover.State.OFFERED, handover.State.ACKNOWLEDGED, handover.State.EFFECTIVE})
_ASKED: Final = frozenset({referral.State.INFO_REQUESTED, referral.State.BLOCKED_CONSENT})
OWED_BY: Final[Mapping[str, Mapping[str, frozenset[str]]]] = {
    referral.REFERRAL.name: {
        referral.Actor.REQUESTER: _ASKED | {referral.State.ON_HOLD},
        referral.Actor.RECIPIENT: frozenset(referral.LIVE) - _ASKED,
    },
    handover.HANDOVER.name: {
        handover.Actor.SENDER: frozenset(handover.AGREED),
        handover.Actor.RECEIVER: _ANSWERING,
    },
}
"""In which states a side can be the one that is waited for; who set a referral aside looks at it again.

A proposal to forward is in no state of its own: it stands in the list of alerts (REF-4).
"""


def of_referral(
    history: History, named: Mapping[MessageId, Named], priority: Priority, calendar: Calendar, *, now: int
) -> tuple[Owed, ...]:
    """Return what a referral waits for, the answer or whatever ends the state last.

    `named` holds the day or moment that a step named; `calendar` is the recipient's. A proposal to forward comes first
    where it is open: the recipient's own clock does not stand still for it (REF-4).
    """
    waited = _of_state(history, named, priority, calendar, now=now)
    proposed = proposed_forward(history)
    if proposed is None:
        return waited
    late = deadline(proposed.at, REST, calendar, now=now)
    return (Owed("decide-forward", referral.Actor.REQUESTER, late), *waited)


def _of_state(
    history: History, named: Mapping[MessageId, Named], priority: Priority, calendar: Calendar, *, now: int
) -> tuple[Owed, ...]:
    state, asks, serves = history.state, referral.Actor.REQUESTER, referral.Actor.RECIPIENT
    match state:
        case referral.State.SENT | referral.State.DELIVERED | referral.State.ACKNOWLEDGED:
            answer = Owed("answer", serves, due(history, priority, calendar, Ack.A3, now=now) or 0)
            if state == referral.State.ACKNOWLEDGED:
                return (answer,)
            return (Owed("acknowledge", serves, due(history, priority, calendar, Ack.A2, now=now) or 0), answer)
        case referral.State.INFO_REQUESTED:
            asked = newest(history, referral.Event.ASK)
            day = named.get(asked.move.message_id) if asked else None
            late = question_due(history, named, priority, calendar, now=now)
            counts = isinstance(day, date) and calendar.close_of(day) == late
            return (Owed("answer-question", asks, late, on=day if counts and isinstance(day, date) else None),)
        case referral.State.ACCEPTED | referral.State.ACCEPTED_PARTIAL:
            event = referral.Event.ACCEPT if state == referral.State.ACCEPTED else referral.Event.ACCEPT_PART
            return (_by_day("start", serves, history, named, event, calendar, now),)
        case referral.State.SCHEDULED:
            return (_appointment(history, named, calendar, now),)
        case referral.State.ACTIVE:
            return (Owed("report-progress", serves, deadline(_last_at(history), WORK, calendar, now=now)),)
        case referral.State.ON_HOLD:
            held = newest(history, referral.Event.HOLD)
            by = held.move.actor if held else serves
            return (_by_day("review", by, history, named, referral.Event.HOLD, calendar, now),)
        case referral.State.CANCEL_REQUESTED:
            asked = newest(history, referral.Event.WITHDRAW)
            since = asked.move.at if asked else history.since
            return (Owed("confirm-cancel", serves, deadline(since, LAPSE, calendar, now=now)),)
        case referral.State.AWAITING_OUTCOME:
            return (Owed("report-outcome", serves, _rested(history, calendar, now)),)
        case referral.State.BLOCKED_CONSENT:
            return (Owed("unblock", asks, _rested(history, calendar, now)),)
        case _:
            return ()


def of_handover(
    history: History, dates: Dates, priority: Priority, calendar: Calendar, *, now: int
) -> tuple[Owed, ...]:
    """Return what a handover waits for, the answer or whatever ends the state last; `calendar` is the receiver's."""
    review, rest = review_of(history, dates, priority, calendar, now=now), ending(history, dates, calendar, now=now)
    return rest if review is None else (review, *rest)


def bound(history: History) -> Move | None:
    """Return the step by which a statute bound the receiver, if it has made none since (HAN-14).

    That has an alert from the start, so it is in the list of these and in no list of what is due in some state.
    """
    if history.state not in (*handover.AGREED, handover.State.EFFECTIVE):
        return None
    for step in reversed(tuple(history.done)):
        if step.move.event == handover.Event.BIND:
            return step.move
        if step.move.actor == handover.Actor.RECEIVER:
            return None
    return None


def to_look_at(history: History, dates: Dates) -> tuple[AlertKind, Move] | None:
    """Return the step that the receiver has to look at, if it has made none since: that bound it, or its day earlier.

    While it has not accepted, the day of the release makes its answer due earlier, and that is all (HAN-3).
    """
    step = bound(history)
    if step is not None:
        return AlertKind.BOUND, step
    if history.state not in (*handover.AGREED, handover.State.EFFECTIVE):
        return None
    moves = (step.move for step in history.done if step.move.message_id == dates.brought_forward)
    return next(((AlertKind.BROUGHT_FORWARD, move) for move in moves), None)


def review_of(history: History, dates: Dates, priority: Priority, calendar: Calendar, *, now: int) -> Owed | None:
    """Return until when the receiver looks at what it did not ask for: the span of the priority for A2 (HAN-14).

    An earlier day is to be looked at before it ends, but for one that was told too late for that (HAN-17).
    """
    found = to_look_at(history, dates)
    if found is None:
        return None
    kind, step = found
    late = deadline(step.at, SPANS[priority][Ack.A2], calendar, now=now)
    day = dates.trigger.expected_on
    if kind is AlertKind.BROUGHT_FORWARD and day is not None:
        late = min(late, max(calendar.close_of(day), step.at + SAID))
    return Owed(REVIEW, handover.Actor.RECEIVER, late)


def unseen(history: History, dates: Dates) -> Watch:
    """Return the receiver's alert that it has something to look at, as long as it has made no step (HAN-14, HAN-17)."""
    found = to_look_at(history, dates)
    if found is None:
        return Watch()
    kind, step = found
    return Watch((Alert(kind, step.at, step.message_id, what=REVIEW, by=handover.Actor.RECEIVER),))


def unheard(history: History, opened: Collection[MessageId], calendar: Calendar) -> Owed | None:
    """Return until when the receiver is to have opened the instant, where it has not: by the end of its day (HAN-15).

    `opened` are the moves for which an A1 came. Whoever made a step since has the instant too (LIF-4).
    """
    if history.state != handover.State.EFFECTIVE:
        return None
    for step in reversed(tuple(history.done)):
        if step.move.actor == handover.Actor.RECEIVER or step.move.message_id in opened:
            return None
        if step.move.event == handover.Event.TAKE_EFFECT:
            late = max(calendar.close_of(day_of(step.move.at, calendar)), step.move.at + SAID)
            return Owed(HEARD, handover.Actor.SENDER, late)
    return None


def ending(history: History, dates: Dates, calendar: Calendar, *, now: int) -> tuple[Owed, ...]:
    """Return what a handover waits for to leave its state; `calendar` is the receiver's."""
    state, gives, takes = history.state, handover.Actor.SENDER, handover.Actor.RECEIVER
    if state in (handover.State.OFFERED, handover.State.ACKNOWLEDGED):
        answer = Owed("answer", takes, calendar.close_of(dates.answered_on), on=dates.answered_on)
        if state == handover.State.ACKNOWLEDGED:
            return (answer,)
        return (Owed("acknowledge", takes, calendar.close_of(dates.taken_up_on), on=dates.taken_up_on), answer)
    if state in handover.AGREED:
        day = dates.trigger.expected_on
        late = _rested(history, calendar, now) if day is None else calendar.close_of(day)
        return (Owed(Awaited.TAKE_EFFECT, gives, late, on=day),)
    if state == handover.State.EFFECTIVE:
        return (Owed(Awaited.COMPLETE, takes, deadline(history.since, REST, calendar, now=now)),)
    return ()


def of_copy(history: History, dates: Dates, calendar: Calendar) -> tuple[Owed, ...]:
    """Return what a desk that got a copy of the offer sees of it: the day of the instant (HAN-5)."""
    day = dates.trigger.expected_on
    if history.state != handover.State.OFFERED or day is None:
        return ()
    return (Owed(Awaited.TAKE_EFFECT, handover.Actor.SENDER, calendar.close_of(day), on=day),)


def overdue(history: History, owed: Sequence[Owed], *, now: int) -> Watch:
    """Return the alert that something of a side's is late, and when (ms UTC) time alone would raise one (LIF-7).

    What a clock was told of to somebody's hierarchy is late as well: whoever hears of it need not know why.
    """
    last = history.steps[-1].move.message_id if history.steps else None
    if last is None or history.state in history.machine.finals:
        return Watch()
    loud = [one for one in owed if not one.quiet]
    late = [(one.late_at, one) for one in loud if one.late_at <= now]
    called = [one.at for one in _since_stirred(history) if one.event in ESCALATE]
    late += [(called[0], one) for one in loud[-1:] if called and not late]
    first = dict[str, tuple[int, Owed]]()
    for since, one in sorted(late, key=lambda found: found[0]):
        first.setdefault(one.by, (since, one))
    standing = tuple(Alert(AlertKind.OVERDUE, since, last, what=one.what, by=one.by) for since, one in first.values())
    return Watch(standing, min((one.late_at for one in loud if one.by not in first), default=None))


def stirred(history: History) -> Move | None:
    """Return the last move by which somebody did something; time itself is nobody."""
    done = [step.move for step in history.done if step.move.actor not in _CLOCKS]
    return done[-1] if done else None


def _since_stirred(history: History) -> Sequence[Move]:
    """Return time's own moves since somebody did something last."""
    done = [step.move for step in history.done]
    last = max((place for place, one in enumerate(done) if one.actor not in _CLOCKS), default=-1)
    return done[last + 1 :]


def day_of(at: int, calendar: Calendar) -> date:
    """Return the day of `at` (ms UTC) where the calendar counts."""
    return datetime.fromtimestamp(at / 1_000, UTC).astimezone(calendar.zone).date()


def _rested(history: History, calendar: Calendar, now: int) -> int:
    return deadline(_last_at(history), REST, calendar, now=now)


def _last_at(history: History) -> int:
    last = stirred(history)
    return max(history.since, last.at if last else 0)


def _at_most(history: History, at: int, calendar: Calendar, now: int) -> int:
    """Return until when a referral rests at most, or `at` where that is near: years are not counted day by day."""
    last = _last_at(history)
    return at if at - last < MOST.working_days * DAY else deadline(last, MOST, calendar, now=now)


def _by_day(
    what: str,
    by: str,
    history: History,
    named: Mapping[MessageId, Named],
    event: str,
    calendar: Calendar,
    now: int,
) -> Owed:
    step = newest(history, event)
    day = named.get(step.move.message_id) if step else None
    if not isinstance(day, date):
        return Owed(what, by, _rested(history, calendar, now))
    late, most = calendar.close_of(day), _at_most(history, calendar.close_of(day), calendar, now)
    return Owed(what, by, late, on=day) if late <= most else Owed(what, by, most)


def _appointment(history: History, named: Mapping[MessageId, Named], calendar: Calendar, now: int) -> Owed:
    """Return the appointment that is open, of which a silence is an alert of its own (REF-5); else a new one is due."""
    events = frozenset(
        {
            referral.Event.SCHEDULE,
            referral.Event.NO_SHOW,
            referral.Event.APPOINTMENT_CANCELLED,
        }
    )
    last = next((step for step in reversed(tuple(history.done)) if step.move.event in events), None)
    at = named.get(last.move.message_id) if last and last.move.event == referral.Event.SCHEDULE else None
    if not isinstance(at, int):
        return Owed("schedule", referral.Actor.RECIPIENT, _rested(history, calendar, now))
    most = _at_most(history, at, calendar, now)
    if at > most:
        return Owed("appointment", referral.Actor.RECIPIENT, most)
    late = deadline(at, REPORT_WITHIN, calendar, now=now)
    return Owed("appointment", referral.Actor.RECIPIENT, late, at=at, quiet=True)
