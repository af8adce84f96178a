# SPDX-License-Identifier: Apache-2.0
"""A proposed forward waits for the requester wherever he can decide it, and nowhere else (REF-4)."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.clocks import Calendar
from protocol.handover import Priority
from protocol.ids import MessageId
from protocol.lifecycle.alerts import AlertKind, Watch, proposed_forward, watch
from protocol.lifecycle.history import History, Move, fold
from protocol.lifecycle.owed import REST, Owed, of_referral, overdue
from protocol.lifecycle.referral import REFERRAL, Actor, Event, State
from protocol.lifecycle.timers import timers
from protocol.limits import DAY

CALENDAR = Calendar(UTC, lambda _: False)
BEGAN = 1_799_996_400_000
FAR = 60 * DAY


def told(*steps: tuple[str, str]) -> History:
    """Return the history of these steps, each an event and its actor, a second apart."""
    moves = [
        Move(
            message_id=MessageId(number.to_bytes(16, "big")),
            index=number,
            at=BEGAN + 1_000 * number,
            event=event,
            actor=actor,
            signer="somebody",
            carried=frozenset().union(*(row.needs for row in REFERRAL.rows if row.event == event)),
        )
        for number, (event, actor) in enumerate(steps)
    ]
    return fold(REFERRAL, moves)


def heard(history: History, now: int = BEGAN) -> Watch:
    late = overdue(history, waits(history, now), now=now)
    return watch(history, {}, CALENDAR, now=now).with_(late)


def waits(history: History, now: int = BEGAN) -> tuple[Owed, ...]:
    return of_referral(history, {}, Priority.NORMAL, CALENDAR, now=now)


BEFORE = (("send", "requester"), ("receive", "recipient"), ("acknowledge", "recipient"))
PROPOSED = (*BEFORE, ("propose-forward", "recipient"))


def test_ref_4_a_proposed_forward_waits_for_the_requester_from_the_moment_it_is_made() -> None:
    history = told(*PROPOSED)
    (alert,) = heard(history).standing
    assert (alert.kind, alert.since) == (AlertKind.FORWARD_PROPOSED, BEGAN + 3_000)
    assert heard(history).heard_by(Actor.REQUESTER) == (alert,)
    assert heard(history).heard_by(Actor.RECIPIENT) == ()
    decide, answer = waits(history)
    assert (decide.what, decide.by) == ("decide-forward", "requester")
    assert answer == waits(told(*BEFORE))[-1], "the recipient's clock goes on as if nothing had been proposed"
    assert timers(history, Priority.NORMAL, CALENDAR, named={}, now=BEGAN) == timers(
        told(*BEFORE), Priority.NORMAL, CALENDAR, named={}, now=BEGAN
    )


def test_ref_4_what_nobody_decided_in_ten_working_days_is_late_at_both_sides() -> None:
    at_work = (*PROPOSED[:-1], ("accept", "recipient"), PROPOSED[-1])
    history = told(*at_work)
    (decide,) = [one for one in waits(history) if one.what == "decide-forward"]
    assert decide.late_at - history.steps[-1].move.at <= (REST.working_days + 5) * DAY
    found = heard(history, BEGAN + FAR)
    for side in (Actor.REQUESTER, Actor.RECIPIENT):
        assert AlertKind.OVERDUE in {one.kind for one in found.heard_by(side)}


@pytest.mark.parametrize(
    ("then", "open_"),
    [
        ((("progress", "recipient"),), False),
        ((("reassign", "recipient"),), True),
        ((("hold", "recipient"),), True),
        ((("hold", "recipient"), ("resume", "recipient")), True),
        ((("block", "data-protection"),), False),
        ((("block", "data-protection"), ("unblock", "requester")), True),
        ((("approve-forward", "requester"),), False),
        ((("withdraw", "requester"),), False),
    ],
    ids=lambda one: "-".join(event for event, _ in one) if isinstance(one, tuple) else "",
)
def test_ref_4_it_waits_as_long_as_it_can_be_approved(then: tuple[tuple[str, str], ...], open_: bool) -> None:
    history = told(*BEFORE, ("accept", "recipient"), ("propose-forward", "recipient"), *then)
    assert history.conflicts == ()
    assert (proposed_forward(history) is not None) is open_
    assert (AlertKind.FORWARD_PROPOSED in {one.kind for one in heard(history).standing}) is open_


STEPS = sorted({(row.event, actor) for row in REFERRAL.rows for actor in row.actors})


@given(st.lists(st.sampled_from(STEPS), max_size=30))
def test_ref_4_in_whatever_order_steps_come_it_waits_exactly_where_it_can_be_approved(
    steps: list[tuple[str, str]],
) -> None:
    history = told(("send", "requester"), ("receive", "recipient"), *steps)
    open_ = Event.APPROVE_FORWARD in {row.event for row in REFERRAL.open_to(history.position, Actor.REQUESTER)}
    assert (proposed_forward(history) is not None) is open_
    assert [one.what for one in waits(history)].count("decide-forward") == int(open_)
    assert ("decide-forward" not in {one.what for one in waits(history)[-1:]}) or not open_
    if history.state in (*REFERRAL.finals, State.BLOCKED_CONSENT):
        assert not open_
