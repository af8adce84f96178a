# SPDX-License-Identifier: Apache-2.0
"""What time itself will do to a handover, computed from its history and its terms alone (CLK-4, HAN-3, HAN-7).

Dates are those of the offer: by when it is to be acknowledged and answered, and on which day it takes effect. Where
the release itself is the trigger the sender makes that move when it happens; where a day was agreed, time does, and
where the release was told before anybody had accepted.
"""

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime

from protocol.clocks import SPANS, Ack, Calendar, Span, deadline
from protocol.handover import Priority, TriggerEvent
from protocol.lifecycle.handover import AGREED, Event, State
from protocol.lifecycle.history import History
from protocol.lifecycle.owed import Dates, day_of, ending, review_of, stirred, to_look_at
from protocol.lifecycle.timers import Level, Timer, still_to_come

_BEGINS = (Event.OFFER, Event.OFFER_AGAIN)
AWAITING_ANSWER = frozenset({State.OFFERED, State.ACKNOWLEDGED})
"""States in which the receiver's answer is what everybody waits for."""
LEAST = Span(working_days=1)
"""How long an offer can be answered at least, also one whose dates were over when it was made."""
RELEASED = SPANS[Priority.EMERGENCY][Ack.A2].ms
"""How long after the word that the person is out, and nobody has accepted, headquarters is told as well."""


def timers(
    history: History, dates: Dates, priority: Priority, calendar: Calendar, *, now: int, secret: bytes = b""
) -> tuple[Timer, ...]:
    """Return what time will still do to the handover, soonest first; `calendar` is the receiver's, `now` in ms UTC.

    What is late is told to a supervisor when its day ends and to headquarters one working day later: an
    acknowledgement, an answer, the release that was expected, the word that all has arrived, a look at what a statute
    bound the receiver to (HAN-14) or at an earlier day (HAN-17). What nobody has answered when the day of the release
    ends, or of the answer if that is later, expires: the lead stays with the sender.
    """
    begun = [step for step in history.done if step.move.event in _BEGINS]
    if not begun:
        return ()
    last = begun[-1].move
    found = [*_all(history, last.message_id.hex(), last.at, dates, calendar, now)]
    seen, review = to_look_at(history, dates), review_of(history, dates, priority, calendar, now=now)
    if seen is not None and review is not None:
        found += _late(f"{seen[1].message_id.hex()} {review.what}", review.late_at, calendar, ack=Ack.A2)
    return still_to_come(history, (replace(one, secret=secret) for one in found))


def _all(history: History, round_: str, begun_at: int, dates: Dates, calendar: Calendar, now: int) -> Iterator[Timer]:
    expected = dates.trigger.expected_on
    if history.state == State.OFFERED:
        yield from _late(f"{round_} {Ack.A2}", calendar.close_of(dates.taken_up_on), calendar, ack=Ack.A2)
    if history.state in AWAITING_ANSWER:
        yield from _late(f"{round_} {Ack.A3}", calendar.close_of(dates.answered_on), calendar, ack=Ack.A3)
        yield from _released(dates)
        last = max(dates.answer_by, expected or dates.answer_by)
        ends = max(calendar.close_of(last), deadline(begun_at, LEAST, calendar, now=now))
        yield Timer(ends + 1, Event.EXPIRE, f"{round_} expire")
    if history.state in AGREED:
        yield from _instant(history, round_, dates, calendar, now)
    if history.state == State.EFFECTIVE:
        for owed in ending(history, dates, calendar, now=now):
            yield from _late(f"{round_} {owed.what}", owed.late_at, calendar, awaited=owed.what)


def _instant(history: History, round_: str, dates: Dates, calendar: Calendar, now: int) -> Iterator[Timer]:
    expected, release = dates.trigger.expected_on, dates.release
    first = earliest(history, dates, calendar)
    if dates.trigger.event is None and expected is not None:
        # Named by its day: a date that was moved makes another timer, not the same one again.
        yield Timer(first, Event.TAKE_EFFECT, f"{round_} effective {expected.isoformat()}", effective_at=first)
    elif dates.trigger.event is TriggerEvent.RELEASE_NOTICE and release is not None:
        at = max(release.told_at, first)
        yield Timer(at, Event.TAKE_EFFECT, f"{round_} effective {release.notice.hex()}", effective_at=at)
    else:
        for owed in ending(history, dates, calendar, now=now):
            # Named by its day, or where there is none by the step since which nothing has happened.
            last = stirred(history)
            named = expected.isoformat() if expected else last.message_id.hex() if last else ""
            yield from _late(f"{round_} {owed.what} {named}", owed.late_at, calendar, awaited=owed.what)


def agreed_at(history: History) -> int:
    """Return when the receiver accepted the handover last, or was bound to it, in ms UTC; 0 where neither was."""
    at = agreed = 0
    for step in history.done:
        if step.after.state != step.before.state:
            at = max(at, step.move.at)
            if step.after.state in AGREED and step.before.state not in AGREED:
                agreed = at
    return agreed


def earliest(history: History, dates: Dates, calendar: Calendar) -> int:
    """Return the first moment (ms UTC) that can be the instant: nobody leads what he has not accepted (HAN-8).

    Where a day was agreed it is no earlier than that day's opening, in the receiver's `calendar`, nor than the step
    that named the day: a lead does not move on a day that was over when somebody said so.
    """
    first, day = agreed_at(history), dates.trigger.expected_on
    if dates.trigger.event is not None or day is None:
        return first
    opens = int(datetime.combine(day, calendar.opens, calendar.zone).timestamp() * 1000)
    named = max((step.move.at for step in history.done if step.move.event == Event.CHANGE_DATE), default=0)
    return max(first, opens, named)


def _released(dates: Dates) -> Iterator[Timer]:
    """Yield who is told that somebody is out whom nobody has accepted: at once, and two hours later."""
    release = dates.release
    if release is None or dates.trigger.event is None:
        return
    for level, at in ((Level.SUPERVISOR, release.told_at), (Level.HEADQUARTERS, release.told_at + RELEASED)):
        yield Timer(at, Event.ESCALATE, f"{release.notice.hex()} released {level}", Ack.A3, level)


def _late(
    name: str, ends: int, calendar: Calendar, *, ack: Ack | None = None, awaited: str | None = None
) -> Iterator[Timer]:
    yield Timer(ends, Event.ESCALATE, f"{name} {Level.SUPERVISOR}", ack, Level.SUPERVISOR, awaited)
    later = calendar.close_of(calendar.add(day_of(ends, calendar), 1))
    yield Timer(later, Event.ESCALATE, f"{name} {Level.HEADQUARTERS}", ack, Level.HEADQUARTERS, awaited)
