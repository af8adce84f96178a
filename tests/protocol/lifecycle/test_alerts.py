# SPDX-License-Identifier: Apache-2.0
"""When somebody must hear of a person who does not come: every order of appointments that can be."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.clocks import Calendar
from protocol.ids import MessageId
from protocol.lifecycle.alerts import AlertKind, Visit, Watch, watch
from protocol.lifecycle.history import Move, fold
from protocol.lifecycle.referral import REFERRAL
from protocol.limits import DAY

CALENDAR = Calendar(UTC, lambda _: False)
BEGAN = 1_799_996_400_000
BEFORE = ["send", "receive", "acknowledge", "accept"]


def watched(*events: str, now: int = BEGAN) -> Watch:
    """Return what there is to hear after `events`; a miss that is excused is written `excused`."""
    moves, visits = [], {}
    for number, event in enumerate([*BEFORE, *events]):
        message_id = MessageId(number.to_bytes(16, "big"))
        name = "no-show" if event == "excused" else event
        actor = "requester" if name in ("send", "close", "reopen") else "recipient"
        needs = frozenset().union(*(row.needs for row in REFERRAL.rows if row.event == name))
        moves.append(
            Move(
                message_id=message_id,
                index=number,
                at=BEGAN + number,
                event=name,
                actor=actor,
                signer="social worker",
                carried=needs,
            )
        )
        if name in ("schedule", "attended", "no-show", "appointment-cancelled"):
            visits[message_id] = Visit(BEGAN, excused=event == "excused")
    history = fold(REFERRAL, moves)
    assert history.conflicts == ()
    return watch(history, visits, CALENDAR, now=now)


@pytest.mark.parametrize(
    ("events", "found"),
    [
        ("schedule no-show", [AlertKind.FIRST_MISSED]),
        ("schedule excused", []),
        ("schedule no-show schedule", [AlertKind.FIRST_MISSED]),
        ("schedule no-show schedule attended", []),
        ("schedule no-show schedule no-show", [AlertKind.MISSED_AGAIN]),
        ("schedule attended schedule no-show", []),
        ("schedule attended schedule no-show schedule no-show", [AlertKind.MISSED_AGAIN]),
        ("schedule attended schedule no-show schedule attended schedule no-show", []),
        ("schedule no-show decline-late", []),
        ("schedule no-show decline-late reopen", []),
        ("schedule appointment-cancelled", []),
    ],
)
def test_ref_5_who_misses_the_first_or_a_second_appointment_is_heard_of(events: str, found: list[AlertKind]) -> None:
    assert [alert.kind for alert in watched(*events.split()).standing] == found


def test_ref_5_a_silence_is_an_alert_when_the_next_working_day_ends_and_not_before() -> None:
    due = watched("schedule").next_at
    assert due is not None
    assert due > BEGAN
    assert watched("schedule", now=due - 1) == watched("schedule")
    late = watched("schedule", now=due)
    assert [(alert.kind, alert.since) for alert in late.standing] == [(AlertKind.UNREPORTED, due)]
    assert late.next_at is None
    assert watched("schedule", "appointment-cancelled", now=due).standing == ()
    assert watched("schedule", "hold", now=due).standing == ()


ROUNDS = st.lists(st.sampled_from(["attended", "no-show", "excused", "appointment-cancelled"]), max_size=8)


@given(ROUNDS, st.integers(0, 10 * DAY))
def test_ref_5_at_most_one_alert_of_the_person_stands_and_it_counts_what_was_missed_since(
    rounds: list[str], later: int
) -> None:
    events = [event for reported in rounds for event in ("schedule", reported)]
    standing = watched(*events, now=BEGAN + later).standing
    came = max((place for place, one in enumerate(rounds) if one == "attended"), default=None)
    missed = (rounds if came is None else rounds[came:]).count("no-show")
    expected = missed >= 2 or (missed == 1 and came is None)
    assert len(standing) == expected
    if standing:
        assert (standing[0].kind is AlertKind.MISSED_AGAIN) == (missed >= 2)
