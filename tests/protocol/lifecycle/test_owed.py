# SPDX-License-Identifier: Apache-2.0
"""No state waits for ever: wherever a thread stands, a clock runs that somebody on each side will hear (LIF-7).

The tables drive this. Each state that is no end is reached by the shortest way that its table knows, with each trigger
and with and without the days that steps can name; a new state without a clock fails here, and so does a row of the
clock that no timer makes.
"""

import itertools
import re
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from protocol.clocks import Calendar
from protocol.handover import Priority, Trigger, TriggerEvent
from protocol.ids import MessageId
from protocol.lifecycle import handover, handover_timers, referral
from protocol.lifecycle.alerts import AlertKind, Visit, Watch, watch
from protocol.lifecycle.handover import COPY, HANDOVER
from protocol.lifecycle.history import History, Move, fold
from protocol.lifecycle.machine import Machine, Position, Row
from protocol.lifecycle.owed import (
    OWED_BY,
    REVIEW,
    Dates,
    Owed,
    Release,
    of_handover,
    of_referral,
    overdue,
    unseen,
)
from protocol.lifecycle.referral import REFERRAL
from protocol.lifecycle.timers import Named, Timer, timers
from protocol.limits import DAY, HOUR

DOCUMENT = Path(__file__).parents[3] / "docs" / "lifecycles.md"
BEGAN = 1_799_996_400_000
TODAY = datetime.fromtimestamp(BEGAN / 1_000, UTC).date()
CALENDAR = Calendar(UTC, lambda _: False)
FAR = 500 * DAY
"""Nothing takes longer: by then every clock that ever runs has run out."""
MACHINES = {machine.name: machine for machine in (REFERRAL, HANDOVER)}
SIDES = {
    REFERRAL.name: (referral.Actor.REQUESTER, referral.Actor.RECIPIENT),
    HANDOVER.name: (handover.Actor.SENDER, handover.Actor.RECEIVER),
}
CLOCK = referral.Actor.CLOCK
NOBODY_WAITS: Mapping[str, Collection[str]] = {
    REFERRAL.name: {referral.State.DRAFT},
    HANDOVER.name: {handover.State.PROPOSED},
}
"""States before anything was sent: the document says so."""
NOT_BY_TIME = {(REFERRAL.name, referral.Event.CUSTODY_MOVED), (REFERRAL.name, referral.Event.BLOCK)}
"""Rows of the clock that somebody tells it of: the document says who."""
TRIGGERS = {
    "a date": Trigger(expected_on=TODAY + timedelta(days=5)),
    "an event": Trigger(event=TriggerEvent.RELEASE_NOTICE),
    "an event on a date": Trigger(event=TriggerEvent.RELEASE_NOTICE, expected_on=TODAY + timedelta(days=5)),
}


def ways(machine: Machine) -> dict[str, list[tuple[Row, str]]]:
    """Return the shortest way to each state of `machine`, as rows and who makes them."""
    found: dict[str, list[tuple[Row, str]]] = {machine.initial: []}
    open_: list[tuple[Position, list[tuple[Row, str]]]] = [(machine.begin(), [])]
    while open_:
        position, way = open_.pop(0)
        for actor in sorted(machine.actors):
            for row in machine.open_to(position, actor):
                after = machine.step(position, row.event, actor, row.needs)
                if after.state not in found:
                    found[after.state] = [*way, (row, actor)]
                    open_.append((after, found[after.state]))
    return found


def along(machine: Machine, way: list[tuple[Row, str]]) -> History:
    moves = [
        Move(
            message_id=MessageId(number.to_bytes(16, "big")),
            index=number,
            at=BEGAN + number,
            event=row.event,
            actor=actor,
            signer="somebody",
            carried=row.needs,
        )
        for number, (row, actor) in enumerate(way, start=1)
    ]
    history = fold(machine, moves)
    assert history.conflicts == ()
    return history


def named_in(history: History, day: date | None) -> dict[MessageId, Named]:
    """Return what the steps name: `day`, or a moment on it for an appointment; nothing where it is None."""
    if day is None:
        return {}
    moment = int(datetime(day.year, day.month, day.day, 9, tzinfo=UTC).timestamp() * 1_000)
    return {
        step.move.message_id: moment if step.move.event == referral.Event.SCHEDULE else day for step in history.steps
    }


class Case:
    """One state of a machine, reached in one way, with what its messages name."""

    def __init__(self, machine: Machine, history: History, trigger: Trigger, day: date | None) -> None:
        self.machine = machine
        self.history = history
        self.named = named_in(history, day)
        self.dates = Dates(TODAY + timedelta(days=2), TODAY + timedelta(days=4), trigger)

    def owed(self, now: int) -> tuple[Owed, ...]:
        if self.machine is REFERRAL:
            return of_referral(self.history, self.named, Priority.NORMAL, CALENDAR, now=now)
        return of_handover(self.history, self.dates, Priority.NORMAL, CALENDAR, now=now)

    def timers(self, now: int) -> tuple[Timer, ...]:
        if self.machine is REFERRAL:
            return timers(self.history, Priority.NORMAL, CALENDAR, named=self.named, now=now)
        return handover_timers.timers(self.history, self.dates, Priority.NORMAL, CALENDAR, now=now)

    def watch(self, now: int) -> Watch:
        late = overdue(self.history, self.owed(now), now=now)
        if self.machine is not REFERRAL:
            return late.with_(unseen(self.history, self.dates))
        visits = {key: Visit(value) for key, value in self.named.items() if isinstance(value, int)}
        return watch(self.history, visits, CALENDAR, now=now).with_(late)


def cases(machine: Machine) -> Iterator[tuple[str, Case]]:
    triggers: Mapping[str, Trigger] = TRIGGERS if machine is HANDOVER else {"none": TRIGGERS["a date"]}
    days = {
        "named": TODAY + timedelta(days=7),
        "over": TODAY - timedelta(days=7),
        "far": TODAY + timedelta(days=30_000),
        "not named": None,
    }
    for (state, way), (word, trigger), (when, day) in itertools.product(
        ways(machine).items(), triggers.items(), days.items()
    ):
        if machine is HANDOVER and when != "named":
            continue
        yield f"{state}, trigger {word}, days {when}", Case(machine, along(machine, way), trigger, day)


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_lif_7_every_state_that_is_no_end_has_a_clock_that_each_side_hears(machine: Machine) -> None:
    silent = []
    for name, case in cases(machine):
        state = case.history.state
        first = case.watch(BEGAN + len(case.history.steps))
        heard = {alert.kind for alert in first.standing} or first.next_at is not None
        if state in machine.finals or state in NOBODY_WAITS[machine.name]:
            assert not heard, name
            assert case.timers(BEGAN + FAR) == (), name
            continue
        by_the_end = case.watch(BEGAN + FAR)
        for side in SIDES[machine.name]:
            if not heard or not by_the_end.heard_by(side):
                silent.append(f"{name}: the {side} never hears of it")
        owed = case.owed(BEGAN + FAR)
        if not any(one.late_at <= BEGAN + FAR for one in owed):
            silent.append(f"{name}: nobody owes anything")
        for one in owed:
            alerted = machine is HANDOVER and one.what == REVIEW and first.heard_by(one.by)
            if state not in OWED_BY[machine.name].get(one.by, ()) and not alerted:
                silent.append(f"{name}: the {one.by} owes {one.what}, and no list of its holds it")
    assert silent == []


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_clk_4_every_row_of_the_clock_is_made_by_a_timer_from_each_of_its_states(machine: Machine) -> None:
    made = {(case.history.state, timer.event) for _, case in cases(machine) for timer in case.timers(BEGAN + FAR)}
    made |= {(case.history.state, timer.event) for case in told(machine) for timer in case.timers(BEGAN + FAR)}
    rows = {
        (source, row.event)
        for row in machine.rows
        if CLOCK in row.actors and (machine.name, row.event) not in NOT_BY_TIME
        for source in row.sources
    }
    assert rows - made == set(), "rows of the clock that no timer makes"
    assert made - rows == set(), "timers whose move no row permits"


def told(machine: Machine) -> Iterator[Case]:
    """Yield every state of a handover in which the release was told already."""
    if machine is not HANDOVER:
        return
    for _, case in cases(machine):
        release = Release(BEGAN, BEGAN, MessageId(bytes(16)))
        case.dates = Dates(case.dates.acknowledge_by, case.dates.answer_by, case.dates.trigger, release)
        yield case


def test_clk_4_a_copy_is_moved_by_time_as_the_two_sides_are() -> None:
    rows = {row.event for row in HANDOVER.rows if CLOCK in row.actors}
    assert {row.event for row in COPY.rows if CLOCK in row.actors} <= rows


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_clk_4_what_time_does_it_does_once_and_the_end_is_rest_or_an_end(machine: Machine) -> None:
    """From every state, time alone is let run: each of its moves is permitted, and it comes to a rest."""
    for name, case in cases(machine):
        moves = [step.move for step in case.history.steps]
        for _ in range(40):
            found = case.timers(BEGAN + FAR)
            if not found:
                break
            first = found[0]
            needs = frozenset().union(*(row.needs for row in machine.rows if row.event == first.event))
            move = Move(
                message_id=first.move_id,
                index=len(moves) + 1,
                at=max(first.at, moves[-1].at),
                event=first.event,
                actor=CLOCK,
                signer="somebody",
                carried=needs,
            )
            moves.append(move)
            case.history = fold(machine, moves)
            assert case.history.conflicts == (), (name, first)
        assert case.timers(BEGAN + FAR) == (), name


def test_lif_7_the_document_says_why_nobody_waits_where_no_clock_runs() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    rule = text[text.index("## Nobody waits for ever") : text.index("## Referral")]
    for states in NOBODY_WAITS.values():
        for state in states:
            assert f"*{state}*" in rule
    for _, event in NOT_BY_TIME:
        assert f"*{event}*" in rule
    for machine in MACHINES.values():
        for state in sorted(set(machine.states) - machine.finals):
            assert re.search(rf"\b{state}\b", rule), state


@pytest.mark.parametrize(("state", "at"), [(referral.State.SCHEDULED, AlertKind.UNREPORTED)])
def test_ref_5_an_appointment_has_its_own_alert_and_is_not_late_as_well(state: str, at: AlertKind) -> None:
    case = Case(REFERRAL, along(REFERRAL, ways(REFERRAL)[state]), TRIGGERS["a date"], TODAY)
    assert [alert.kind for alert in case.watch(BEGAN + FAR).standing] == [at]


def test_han_3_an_answer_is_late_when_the_day_of_the_release_ends_also_where_it_was_due_later() -> None:
    for trigger in (Trigger(expected_on=TODAY), Trigger(event=TriggerEvent.RELEASE_NOTICE, expected_on=TODAY)):
        for state in (handover.State.OFFERED, handover.State.ACKNOWLEDGED):
            case = Case(HANDOVER, along(HANDOVER, ways(HANDOVER)[state]), trigger, None)
            closes = CALENDAR.close_of(TODAY)
            assert {one.late_at for one in case.owed(BEGAN)} == {closes}
            found = case.timers(BEGAN)
            assert found[0].at == closes
            assert next(one.at for one in found if one.event == "expire") > CALENDAR.close_of(case.dates.answer_by)


def step(event: str, actor: str) -> tuple[Row, str]:
    return next((row, actor) for row in REFERRAL.rows if row.event == event and actor in row.actors)


ASKED = [step("send", "requester"), step("receive", "recipient"), step("ask", "recipient")]


@pytest.mark.parametrize("priority", Priority)
@pytest.mark.parametrize("days", [-4_000, -1, 0, 3, 40, 4_000])
def test_ref_12_a_question_neither_ends_a_referral_at_once_nor_parks_it(priority: Priority, days: int) -> None:
    history = along(REFERRAL, ASKED)
    asked_at = BEGAN + len(ASKED)
    named = named_in(history, TODAY + timedelta(days=days))
    (owed,) = of_referral(history, named, priority, CALENDAR, now=asked_at)
    (expires,) = timers(history, priority, CALENDAR, named=named, now=asked_at)
    assert (owed.what, owed.by, expires.event) == ("answer-question", "requester", "expire")
    assert asked_at <= owed.late_at < expires.at
    assert expires.at - asked_at >= 3 * DAY - HOUR
    assert expires.at - asked_at <= 100 * DAY
    later = timers(history, priority, CALENDAR, named=named, now=asked_at + 30 * DAY)
    assert later == (expires,), "it stands still for nobody"
    if days == 3 and priority is Priority.NORMAL:
        assert (owed.on, owed.late_at) == (TODAY + timedelta(days=3), CALENDAR.close_of(TODAY + timedelta(days=3)))


def test_ref_12_a_question_that_a_block_interrupted_is_not_expired_when_the_block_ends() -> None:
    block = [step("block", "data-protection"), step("unblock", "requester")]
    history = along(REFERRAL, [*ASKED, *block])
    moves = [step_.move for step_ in history.steps]
    ended = BEGAN + 200 * DAY
    last = moves[-1]
    moves[-1] = Move(
        message_id=last.message_id,
        index=last.index,
        at=ended,
        event=last.event,
        actor=last.actor,
        signer=last.signer,
        carried=last.carried,
    )
    again = fold(REFERRAL, moves)
    assert again.state == referral.State.INFO_REQUESTED
    (expires,) = timers(again, Priority.EMERGENCY, CALENDAR, named=named_in(again, TODAY), now=ended)
    assert expires.at >= ended + 3 * DAY


def test_clk_4_a_step_of_time_that_was_refused_is_made_again_where_the_thread_calls_for_it() -> None:
    """A block crosses the expiry and has the earlier leaf; once it ends, the referral must not wait for ever."""
    sent = along(REFERRAL, ways(REFERRAL)[referral.State.ACKNOWLEDGED])
    (expires,) = [one for one in waiting(sent) if one.event == referral.Event.EXPIRE]
    crossing = [step("block", "data-protection"), step("expire", "clock"), step("unblock", "requester")]
    block, expire, unblock = [
        Move(
            message_id=expires.move_id if row.event == referral.Event.EXPIRE else MessageId(bytes([number]) * 16),
            index=100 + number,
            at=BEGAN + 100 + number,
            event=row.event,
            actor=actor,
            signer="somebody",
            carried=row.needs,
        )
        for number, (row, actor) in enumerate(crossing)
    ]
    moves = [one.move for one in sent.steps]
    blocked = fold(REFERRAL, [*moves, block, expire])
    assert (blocked.state, blocked.steps[-1].refused) == (referral.State.BLOCKED_CONSENT, "illegal-transition")
    assert waiting(blocked) == (), "a block waits for no answer"
    unblocked = fold(REFERRAL, [*moves, block, expire, unblock])
    assert unblocked.state == referral.State.ACKNOWLEDGED
    (again,) = [one for one in waiting(unblocked) if one.event == referral.Event.EXPIRE]
    assert again.move_id != expires.move_id


def waiting(history: History) -> tuple[Timer, ...]:
    return timers(history, Priority.NORMAL, CALENDAR, named={}, now=BEGAN)


def test_lif_7_an_appointment_that_was_cancelled_or_missed_waits_for_the_next_one() -> None:
    for event in ("appointment-cancelled", "no-show"):
        way = [*ways(REFERRAL)[referral.State.SCHEDULED], step(event, "recipient")]
        case = Case(REFERRAL, along(REFERRAL, way), TRIGGERS["a date"], TODAY)
        (owed,) = case.owed(BEGAN)
        assert (owed.what, owed.by, owed.quiet) == ("schedule", "recipient", False)
        assert case.watch(BEGAN + FAR).heard_by("recipient")


def test_lif_7_time_itself_stirs_nothing() -> None:
    way = [
        next((row, actor) for row in HANDOVER.rows for actor in row.actors if (row.event, actor) == said)
        for said in (("offer", "sender"), ("acknowledge", "receiver"), ("accept", "receiver"))
    ]
    case = Case(HANDOVER, along(HANDOVER, way), TRIGGERS["an event"], None)
    late = case.owed(BEGAN)[0].late_at
    assert next(timer.at for timer in case.timers(BEGAN)) == late
    moves = [one.move for one in case.history.steps]
    first = case.timers(BEGAN)[0]
    escalated = Move(
        message_id=first.move_id,
        index=len(moves) + 1,
        at=first.at,
        event="escalate",
        actor=CLOCK,
        signer="somebody",
        carried=frozenset({"level"}),
    )
    case.history = fold(HANDOVER, [*moves, escalated])
    assert case.owed(BEGAN)[0].late_at == late
    assert [timer.level for timer in case.timers(BEGAN)] == ["headquarters"]
