# SPDX-License-Identifier: Apache-2.0
"""The instant that time makes lies where somebody had agreed to it, whenever that was (HAN-3)."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from protocol.handover import Priority, Trigger, TriggerEvent
from protocol.ids import MessageId
from protocol.lifecycle.handover import HANDOVER, Actor, Event
from protocol.lifecycle.handover_timers import agreed_at, earliest, timers
from protocol.lifecycle.history import History, Move, fold
from protocol.lifecycle.owed import Dates, Release
from protocol.limits import DAY, HOUR
from tests.protocol.lifecycle.test_owed import BEGAN, CALENDAR, TODAY

AGREEING = (Event.ACCEPT, Event.ACCEPT_PART, Event.BIND)
AFTERWARDS = (Event.RUN_TOGETHER, Event.CHANGE_DATE, Event.REVIEW)
NEEDS = frozenset().union(*(row.needs for row in HANDOVER.rows))


def told(*events: tuple[str, int]) -> History:
    """Return what `events`, each at so many hours after the beginning, make."""
    by = {row.event: min(row.actors) for row in HANDOVER.rows} | {Event.RUN_TOGETHER: Actor.RECEIVER}
    moves = [
        Move(
            message_id=MessageId(bytes([number]) * 16),
            index=number,
            at=BEGAN + hours * HOUR,
            event=event,
            actor=by[event],
            signer="somebody",
            carried=NEEDS,
        )
        for number, (event, hours) in enumerate(events, start=1)
    ]
    history = fold(HANDOVER, moves)
    assert history.conflicts == ()
    return history


@given(
    st.sampled_from(AGREEING),
    st.integers(0, 2_000),
    st.lists(st.sampled_from(AFTERWARDS), unique=True),
    st.integers(0, 500),
    st.integers(-90, 90),
    st.sampled_from([None, TriggerEvent.RELEASE_NOTICE]),
    st.integers(0, 3_000),
)
def test_han_3_no_instant_of_time_s_lies_before_the_acceptance_or_before_its_day_was_named(
    agreeing: Event,
    hours: int,
    after: list[Event],
    more: int,
    days: int,
    event: TriggerEvent | None,
    released: int,
) -> None:
    accepted, changed = BEGAN + hours * HOUR, BEGAN + (hours + more) * HOUR
    begun = [(Event.OFFER, 0), *([(Event.ACKNOWLEDGE, 0)] if agreeing is not Event.BIND else [])]
    history = told(*begun, (agreeing, hours), *((one, hours + more) for one in after))
    day: date = TODAY + timedelta(days=days)
    at = BEGAN + released * HOUR
    release = None if event is None else Release(at, at, MessageId(bytes(16)))
    dates = Dates(TODAY, TODAY, Trigger(event=event, expected_on=day), release)
    (made,) = [
        one
        for one in timers(history, dates, Priority.NORMAL, CALENDAR, now=changed + 400 * DAY)
        if one.event == Event.TAKE_EFFECT
    ]
    assert agreed_at(history) == accepted
    assert made.effective_at == made.at >= earliest(history, dates, CALENDAR) >= accepted
    if event is None:
        opens = BEGAN - BEGAN % DAY + days * DAY + 9 * HOUR
        named = changed if Event.CHANGE_DATE in after else 0
        assert made.effective_at == max(opens, accepted, named)
    else:
        assert made.effective_at == max(at, accepted)


def test_han_3_what_was_agreed_in_an_earlier_round_counts_no_more() -> None:
    first = ((Event.OFFER, 0), (Event.ACKNOWLEDGE, 0), (Event.ACCEPT, 1), (Event.TAKE_EFFECT, 2), (Event.FAIL, 3))
    again = ((Event.OFFER_AGAIN, 4), (Event.ACKNOWLEDGE, 5))
    assert agreed_at(told(*first, *again, (Event.ACCEPT, 9))) == BEGAN + 9 * HOUR
    assert agreed_at(told((Event.OFFER, 0), (Event.ACKNOWLEDGE, 0))) == 0
