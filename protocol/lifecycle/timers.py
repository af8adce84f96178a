# SPDX-License-Identifier: Apache-2.0
"""What time itself will do to a referral, computed from its history alone (CLK-4).

Nothing is counted down: a timer is a fact that follows from the moves, the priority and the recipient's calendar, so
an outage of any length neither misses nor doubles one. The requester's connector makes the move when it is due, under
a name that is the same however often it is computed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from enum import StrEnum
from hashlib import sha256
from typing import TypeAlias

from protocol.clocks import SPANS, Ack, Calendar, Span, Stop, deadline
from protocol.handover import Priority
from protocol.ids import MessageId
from protocol.lifecycle.history import History, Step
from protocol.lifecycle.referral import Event, State

LAPSE = Span(working_days=5)
"""How long a recipient has to confirm a withdrawal (row 20)."""
EXPIRY = 300
"""Hundredths of the answer's span after which an unanswered referral expires (row 24)."""


class Level(StrEnum):
    """Who hears of a clock that has run out, within the recipient's own hierarchy."""

    SUPERVISOR = "supervisor"
    HEADQUARTERS = "headquarters"


AFTER: Mapping[Level, int] = {Level.SUPERVISOR: 100, Level.HEADQUARTERS: 150}
"""Hundredths of a span after which each level is told."""

_BEGINS = (Event.SEND, Event.REOPEN, Event.APPEAL)
_WAITING_FOR: Mapping[Ack, frozenset[str]] = {
    Ack.A1: frozenset({State.SENT}),
    Ack.A2: frozenset({State.SENT, State.DELIVERED}),
    Ack.A3: frozenset({State.SENT, State.DELIVERED, State.ACKNOWLEDGED}),
}
AWAITING_ANSWER = _WAITING_FOR[Ack.A3]
"""States in which the recipient's answer is what everybody waits for."""
_STOPPED = frozenset({State.INFO_REQUESTED, State.BLOCKED_CONSENT})

Named: TypeAlias = date | int
"""What a step named: a day, or a moment in ms UTC."""


@dataclass(frozen=True, slots=True, order=True)
class Timer:
    """One move that time will make: when (ms UTC), which event, for whom, and the name that makes it happen once."""

    at: int
    event: str
    name: str
    ack: Ack | None = None
    level: Level | None = None
    awaited: str | None = None
    """What is late, where that is no acknowledgement."""
    effective_at: int | None = None
    """The instant, where the move is one: in ms UTC."""
    secret: bytes = field(default=b"", repr=False)
    """What only the agency that makes the move knows: nobody else can take its id beforehand."""

    @property
    def move_id(self) -> MessageId:
        """The message_id of the move that this timer makes: always the same 16 bytes, so it is made once (CLK-4)."""
        return MessageId(sha256(b"tc/1 timer\0" + self.secret + self.name.encode()).digest()[:16])


def rounds(history: History) -> Iterator[int]:
    """Yield the place of each step with which a round of waiting for an answer began."""
    return (place for place, step in enumerate(history.steps) if not step.refused and step.move.event in _BEGINS)


def stops(history: History, since: int) -> tuple[Stop, ...]:
    """Return when the answer's clock stood still, from the step at the place `since` on (CLK-3)."""
    found, begun = list[Stop](), None
    for step in history.steps[since:]:
        if step.after.state in _STOPPED and begun is None:
            begun = step.move.at
        elif step.after.state not in _STOPPED and begun is not None:
            # The end may have been told before a beginning that had to be sealed anew.
            found.append(Stop(begun, max(begun, step.move.at)))
            begun = None
    return (*found, Stop(begun)) if begun is not None else tuple(found)


def due(history: History, priority: Priority, calendar: Calendar, ack: Ack, *, now: int) -> int | None:
    """Return until when (ms UTC) `ack` of the present round is due, or None before the referral is sent."""
    begun = list(rounds(history))
    if not begun:
        return None
    return _deadline(history, begun[-1], SPANS[priority][ack], calendar, ack, now)


def newest(history: History, event: str) -> Step | None:
    """Return the newest step of `event` that had an effect."""
    return next((step for step in reversed(tuple(history.done)) if step.move.event == event), None)


def question_due(
    history: History, named: Mapping[MessageId, Named], priority: Priority, calendar: Calendar, *, now: int
) -> int:
    """Return until when (ms UTC) the open question of a referral is to be answered (REF-12).

    It is the end of the day that the question names, but no earlier than when it was asked, or a block ended, and no
    later than a referral without an answer would have expired: who asks can neither end a referral nor park it.
    """
    asked, since = newest(history, Event.ASK), history.since
    day = named.get(asked.move.message_id) if asked else None
    most = deadline(since, SPANS[priority][Ack.A3].times(EXPIRY), calendar, now=now)
    if not isinstance(day, date):
        return most
    return min(max(calendar.close_of(day), since), most)


def timers(
    history: History,
    priority: Priority,
    calendar: Calendar,
    *,
    named: Mapping[MessageId, Named],
    now: int,
    secret: bytes = b"",
) -> tuple[Timer, ...]:
    """Return what time will still do to the referral, soonest first; what it has done already is left out.

    `calendar` is the recipient's, `now` in ms UTC; `named` holds the day that a question is to be answered by. While
    the answer's clock stands still for a question, the question has its own.
    """
    begun = list(rounds(history))
    if not begun:
        return ()
    round_ = history.steps[begun[-1]].move.message_id.hex()
    found = [
        Timer(
            _deadline(history, begun[-1], SPANS[priority][ack].times(share), calendar, ack, now),
            Event.ESCALATE,
            f"{round_} {ack} {level}",
            ack,
            level,
        )
        for ack, waiting in _WAITING_FOR.items()
        if history.state in waiting
        for level, share in AFTER.items()
    ]
    if history.state in AWAITING_ANSWER:
        span = SPANS[priority][Ack.A3].times(EXPIRY)
        at = _deadline(history, begun[-1], span, calendar, Ack.A3, now)
        found.append(Timer(at, Event.EXPIRE, f"{round_} expire"))
    if history.state == State.INFO_REQUESTED:
        asked = question_due(history, named, priority, calendar, now=now)
        at = deadline(asked, SPANS[priority][Ack.A3].times(EXPIRY), calendar, now=now)
        found.append(Timer(at, Event.EXPIRE, f"{round_} expire"))
    if history.state == State.CANCEL_REQUESTED:
        withdrawn = next(
            step for step in reversed(history.steps) if step.move.event == Event.WITHDRAW and not step.refused
        )
        at = deadline(withdrawn.move.at, LAPSE, calendar, now=now)
        found.append(Timer(at, Event.LAPSE, f"{withdrawn.move.message_id.hex()} lapse"))
    return still_to_come(history, (replace(timer, secret=secret) for timer in found))


def still_to_come(history: History, found: Iterable[Timer]) -> tuple[Timer, ...]:
    """Return those of `found` whose move is not made yet, soonest first.

    A move without effect is made again under another name where the thread calls for it: one that was given up
    (SEQ-11), and one that came to stand where the table refuses it (LIF-4). That somebody was told that something is
    late is not said again.
    """
    made = {step.move.message_id: step.refused is not None for step in history.steps}
    left = list[Timer]()
    for timer in found:
        again, one = 0, timer
        while made.get(one.move_id) and timer.event != Event.ESCALATE:
            again += 1
            one = replace(timer, name=f"{timer.name} again {again}")
        if one.move_id not in made:
            left.append(one)
    return tuple(sorted(left))


def _deadline(history: History, begun: int, span: Span, calendar: Calendar, ack: Ack, now: int) -> int:
    stood = stops(history, begun) if ack is Ack.A3 else ()
    return deadline(history.steps[begun].move.at, span, calendar, stood, now=now)
