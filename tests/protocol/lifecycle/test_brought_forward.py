# SPDX-License-Identifier: Apache-2.0
"""A person who comes sooner than the receiver knew: somebody there has to look, and both sides hear if nobody did."""

from dataclasses import replace
from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from protocol.clocks import SPANS, Ack, deadline
from protocol.handover import Priority, Trigger, TriggerEvent
from protocol.lifecycle import handover_timers
from protocol.lifecycle.alerts import AlertKind
from protocol.lifecycle.handover import AGREED, HANDOVER, State
from protocol.lifecycle.history import History
from protocol.lifecycle.owed import REVIEW, Dates, of_handover, overdue, to_look_at, unseen
from protocol.limits import DAY, HOUR
from tests.protocol.lifecycle.test_owed import BEGAN, CALENDAR, CLOCK, TODAY, along, ways

TAKEN = [("offer", "sender"), ("acknowledge", "receiver"), ("accept", "receiver"), ("change-date", "sender")]
OTHERS = [("take-effect", "sender"), ("run-together", "sender"), ("escalate", CLOCK)]


def walked(*steps: tuple[str, str]) -> History:
    """Return the history that these steps make, as far as the table lets them."""
    position, way = HANDOVER.begin(), []
    for event, actor in steps:
        row = next((one for one in HANDOVER.open_to(position, actor) if one.event == event), None)
        if row is not None:
            position = HANDOVER.step(position, event, actor, row.needs)
            way.append((row, actor))
    return along(HANDOVER, way)


def sooner(history: History, days: int) -> Dates:
    """Return the dates of a handover that its fourth step brought forward to so many days from its beginning."""
    trigger = Trigger(event=TriggerEvent.RELEASE_NOTICE, expected_on=TODAY + timedelta(days=days))
    return Dates(TODAY, TODAY, trigger, brought_forward=history.steps[3].move.message_id)


@given(
    st.sampled_from(Priority), st.integers(-5, 30), st.lists(st.sampled_from(OTHERS), max_size=4), st.integers(0, 10)
)
def test_han_17_an_earlier_day_is_an_alert_and_late_by_a2_or_its_own_end_whatever_the_sender_does(
    priority: Priority, days: int, others: list[tuple[str, str]], passed: int
) -> None:
    history = walked(*TAKEN, *others)
    dates, step = sooner(history, days), history.steps[3].move
    (alert,) = unseen(history, dates).standing
    assert (alert.kind, alert.since, alert.message_id) == (AlertKind.BROUGHT_FORWARD, step.at, step.message_id)
    assert unseen(history, dates).heard_by("receiver") == (alert,)
    assert unseen(history, dates).heard_by("sender") == ()
    by_priority = deadline(step.at, SPANS[priority][Ack.A2], CALENDAR, now=BEGAN)
    late = min(by_priority, max(CALENDAR.close_of(TODAY + timedelta(days=days)), step.at + 2 * HOUR))
    first, *rest = of_handover(history, dates, priority, CALENDAR, now=BEGAN)
    assert (first.what, first.by, first.late_at, len(rest)) == (REVIEW, "receiver", late, 1)
    told = [
        (one.at, one.level)
        for one in handover_timers.timers(history, dates, priority, CALENDAR, now=BEGAN)
        if one.ack is Ack.A2
    ]
    assert told[0] == (late, "supervisor")
    assert [level for _, level in told] == ["supervisor", "headquarters"]
    by_then = overdue(history, (first, *rest), now=late + passed * DAY)
    assert ("receiver", REVIEW) in {(one.by, one.what) for one in by_then.standing}
    as_before = replace(dates, brought_forward=None)
    assert unseen(history, as_before).standing == ()
    assert REVIEW not in {one.what for one in of_handover(history, as_before, priority, CALENDAR, now=BEGAN)}


def test_han_17_only_who_has_accepted_and_is_not_done_has_a_day_to_look_at() -> None:
    for state, way in ways(HANDOVER).items():
        history = along(HANDOVER, way)
        if not way or any(row.event == "bind" for row, _ in way):
            continue
        dates = Dates(TODAY, TODAY, Trigger(expected_on=TODAY), brought_forward=history.steps[-1].move.message_id)
        assert (to_look_at(history, dates) is not None) == (state in (*AGREED, State.EFFECTIVE)), state


def test_han_14_han_17_whom_a_statute_bound_has_one_thing_to_look_at() -> None:
    history = walked(("offer", "sender"), ("bind", "sender"), ("run-together", "sender"), ("change-date", "sender"))
    (alert,) = unseen(history, sooner(history, 3)).standing
    assert alert.kind == AlertKind.BOUND
