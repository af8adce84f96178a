# SPDX-License-Identifier: Apache-2.0
"""A receiver that a statute bound has to look, and one that leads has to know it: both are late where neither is so."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from protocol.clocks import SPANS, Ack, deadline
from protocol.handover import Priority
from protocol.ids import MessageId
from protocol.lifecycle import handover, handover_timers
from protocol.lifecycle.alerts import AlertKind
from protocol.lifecycle.handover import HANDOVER
from protocol.lifecycle.history import fold
from protocol.lifecycle.machine import Row
from protocol.lifecycle.owed import REVIEW, Dates, of_handover, overdue, unheard, unseen
from protocol.limits import DAY, HOUR
from tests.protocol.lifecycle.test_owed import BEGAN, CALENDAR, CLOCK, TODAY, TRIGGERS, Case, along, ways

BOUND = [("offer", "sender"), ("bind", "sender")]
OTHERS = [("take-effect", "sender"), ("change-date", "sender"), ("run-together", "sender"), ("escalate", CLOCK)]


@given(st.sampled_from(Priority), st.lists(st.sampled_from(OTHERS), max_size=6), st.integers(0, 10))
def test_han_14_whom_a_statute_bound_is_alerted_and_late_until_it_has_made_a_step_whatever_others_do(
    priority: Priority, others: list[tuple[str, str]], days: int
) -> None:
    position, way = HANDOVER.begin(), list[tuple[Row, str]]()
    for event, actor in [*BOUND, *others]:
        row = next((one for one in HANDOVER.open_to(position, actor) if one.event == event), None)
        if row is not None:
            position = HANDOVER.step(position, event, actor, row.needs)
            way.append((row, actor))
    history = along(HANDOVER, way)
    dates = Dates(TODAY, TODAY, TRIGGERS["an event"])
    (alert,) = unseen(history, dates).standing
    assert (alert.kind, alert.since, alert.message_id) == (AlertKind.BOUND, BEGAN + 2, history.steps[1].move.message_id)
    assert unseen(history, dates).heard_by("sender") == ()
    late = deadline(BEGAN + 2, SPANS[priority][Ack.A2], CALENDAR, now=BEGAN)
    first, *rest = of_handover(history, dates, priority, CALENDAR, now=BEGAN)
    assert (first.what, first.by, first.late_at, len(rest)) == (REVIEW, "receiver", late, 1)
    levels = [
        (one.at, one.level)
        for one in handover_timers.timers(history, dates, priority, CALENDAR, now=BEGAN)
        if one.ack is Ack.A2
    ]
    assert levels[0] == (late, "supervisor")
    assert [level for _, level in levels] == ["supervisor", "headquarters"]
    by_then = overdue(history, (first, *rest), now=late + days * DAY)
    assert ("receiver", REVIEW) in {(one.by, one.what) for one in by_then.standing}
    review = next(row for row in HANDOVER.rows if row.event == "review")
    seen = along(HANDOVER, [*way, (review, "receiver")])
    assert unseen(seen, dates).standing == ()
    assert REVIEW not in {one.what for one in of_handover(seen, dates, priority, CALENDAR, now=BEGAN)}


def test_lif_7_what_the_one_side_owes_hides_nothing_that_the_other_does() -> None:
    """A receiver that never looked at what bound it must not keep the release that does not come out of sight."""
    case = Case(HANDOVER, along(HANDOVER, ways(HANDOVER)[handover.State.ACCEPTED]), TRIGGERS["an event"], None)
    review, instant = case.owed(BEGAN)
    assert review.late_at < instant.late_at
    found = overdue(case.history, (review, instant), now=review.late_at)
    assert [(one.what, one.by) for one in found.standing] == [("review", "receiver")]
    assert found.next_at == instant.late_at
    found = overdue(case.history, (review, instant), now=instant.late_at)
    assert [(one.what, one.by) for one in found.standing] == [("review", "receiver"), ("take-effect", "sender")]


@given(
    st.integers(0, 23), st.booleans(), st.lists(st.sampled_from(["change-date", "escalate", "complete"]), max_size=3)
)
def test_han_15_an_instant_that_nobody_opened_is_late_at_the_end_of_its_day_and_two_hours_old(
    hour: int, opened: bool, others: list[str]
) -> None:
    way = [*BOUND, ("take-effect", "sender")]
    rows = [next((row, by) for row in HANDOVER.rows for by in row.actors if (row.event, by) == said) for said in way]
    moves = [step.move for step in along(HANDOVER, rows).steps]
    midnight = BEGAN - BEGAN % DAY
    said = midnight + hour * HOUR
    moves[2] = replace(moves[2], at=said)
    for number, event in enumerate(others, start=4):
        actor = {"change-date": "sender", "escalate": CLOCK, "complete": "receiver"}[event]
        needs = frozenset().union(*(row.needs for row in HANDOVER.rows))
        more = replace(moves[0], message_id=MessageId(bytes([number]) * 16), index=number, at=said, event=event)
        moves.append(replace(more, actor=actor, carried=needs))
    history = fold(HANDOVER, moves)
    found = unheard(history, {moves[2].message_id} if opened else (), CALENDAR)
    if opened or "complete" in others:
        assert found is None
    else:
        assert found is not None
        assert (found.what, found.by) == ("heard", "sender")
        assert found.late_at == max(midnight + 17 * HOUR, said + 2 * HOUR)
