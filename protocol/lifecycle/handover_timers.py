# SPDX-License-Identifier: Apache-2.0
"""What time itself will do to a handover, computed from its history and its terms alone (CLK-4, HAN-3).

Dates are those of the offer: by when it is to be acknowledged and answered, and on which day it takes effect. Where
the release itself is the trigger the sender makes that move when it happens; where a day was agreed, time does.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import date, datetime

from protocol.clocks import Ack, Calendar
from protocol.handover import Trigger
from protocol.lifecycle.handover import AGREED, Event, State
from protocol.lifecycle.history import History
from protocol.lifecycle.timers import Level, Timer

_BEGINS = (Event.OFFER, Event.OFFER_AGAIN)
AWAITING_ANSWER = frozenset({State.OFFERED, State.ACKNOWLEDGED})
"""States in which the receiver's answer is what everybody waits for."""


@dataclass(frozen=True, slots=True)
class Dates:
    """The dates that count now: those of the offer, with the trigger as it was changed last."""

    acknowledge_by: date
    answer_by: date
    trigger: Trigger


def timers(history: History, dates: Dates, calendar: Calendar, *, secret: bytes = b"") -> tuple[Timer, ...]:
    """Return what time will still do to the handover, soonest first; `calendar` is the receiver's.

    An acknowledgement or an answer that is late is told to the receiver's supervisor when its day ends and to its
    headquarters one working day later. What nobody has answered when the day of the release ends, or of the answer if
    that is later, expires: the lead stays with the sender.
    """
    begun = [step for step in history.done if step.move.event in _BEGINS]
    if not begun:
        return ()
    made = {step.move.message_id for step in history.steps}
    round_ = begun[-1].move.message_id.hex()
    found = [replace(timer, secret=secret) for timer in _all(history, round_, dates, calendar)]
    return tuple(sorted(timer for timer in found if timer.move_id not in made))


def _all(history: History, round_: str, dates: Dates, calendar: Calendar) -> Iterator[Timer]:
    expected = dates.trigger.expected_on
    if history.state == State.OFFERED:
        yield from _late(round_, Ack.A2, dates.acknowledge_by, calendar)
    if history.state in AWAITING_ANSWER:
        yield from _late(round_, Ack.A3, dates.answer_by, calendar)
        last = max(dates.answer_by, expected or dates.answer_by)
        yield Timer(calendar.close_of(last) + 1, Event.EXPIRE, f"{round_} expire")
    if history.state in AGREED and dates.trigger.event is None and expected is not None:
        opens = datetime.combine(expected, calendar.opens, calendar.zone)
        # Named by its day: a date that was moved makes another timer, not the same one again.
        yield Timer(int(opens.timestamp() * 1000), Event.TAKE_EFFECT, f"{round_} effective {expected.isoformat()}")


def _late(round_: str, ack: Ack, day: date, calendar: Calendar) -> Iterator[Timer]:
    ends = calendar.close_of(day)
    yield Timer(ends, Event.ESCALATE, f"{round_} {ack} {Level.SUPERVISOR}", ack, Level.SUPERVISOR)
    later = calendar.close_of(calendar.add(day, 1))
    yield Timer(later, Event.ESCALATE, f"{round_} {ack} {Level.HEADQUARTERS}", ack, Level.HEADQUARTERS)
