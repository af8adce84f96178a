# SPDX-License-Identifier: Apache-2.0
"""All sides converge: the same moves in any order are one history, and what lost is told and has no effect."""

import itertools
import random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.clocks import Ack, Calendar
from protocol.handover import Priority
from protocol.ids import MessageId
from protocol.lifecycle.history import History, Move, fold
from protocol.lifecycle.ladder import ladder
from protocol.lifecycle.referral import LIVE, REFERRAL, Actor, Event, State
from protocol.lifecycle.timers import Level, Timer, due, stops, timers
from protocol.limits import DAY, HOUR, MINUTE

CALENDAR = Calendar(ZoneInfo("Europe/Skopje"), lambda _: False)
MONDAY = 1_799_658_000_000
"""2027-01-11 at ten in the morning in Skopje."""
RECEIPT = (Event.RECEIVE, Actor.RECIPIENT)
EVERYTHING = frozenset().union(*(row.needs for row in REFERRAL.rows))
_numbers = itertools.count(1)


def move(event: str, actor: str, index: int | None, *, at: int = MONDAY, number: int | None = None) -> Move:
    message_id = MessageId((number or next(_numbers)).to_bytes(16))
    return Move(message_id=message_id, index=index, at=at, event=event, actor=actor, signer="x", carried=EVERYTHING)


def history(*moves: Move) -> History:
    return fold(REFERRAL, moves, receipt=RECEIPT)


def begun(at: int = MONDAY) -> list[Move]:
    return [
        move(Event.SEND, Actor.REQUESTER, 1, at=at),
        move(Event.RECEIVE, Actor.RECIPIENT, 2, at=at + MINUTE),
        move(Event.ACKNOWLEDGE, Actor.RECIPIENT, 3, at=at + HOUR),
    ]


def test_lif_4_two_moves_at_once_are_ordered_by_the_log_and_the_loser_is_told() -> None:
    accept = move(Event.ACCEPT, Actor.RECIPIENT, 4)
    withdraw = move(Event.WITHDRAW, Actor.REQUESTER, 5)
    decline = move(Event.DECLINE, Actor.RECIPIENT, 6)
    found = history(*begun(), decline, withdraw, accept)
    assert found.state == State.CANCEL_REQUESTED
    assert [(step.move.event, step.refused) for step in found.conflicts] == [(Event.DECLINE, "illegal-transition")]


def test_lif_4_a_recipients_move_that_overtook_its_receipt_proves_it() -> None:
    send = move(Event.SEND, Actor.REQUESTER, 1)
    acknowledge, late = move(Event.ACKNOWLEDGE, Actor.RECIPIENT, 2), move(Event.RECEIVE, Actor.RECIPIENT, 3)
    found = history(send, late, acknowledge)
    assert (found.state, found.conflicts) == (State.ACKNOWLEDGED, ())
    assert [step.move.event for step in found.done] == [Event.SEND, Event.ACKNOWLEDGE]


def test_lif_4_what_the_hub_has_not_accepted_yet_stands_at_the_end_and_may_still_lose() -> None:
    mine = move(Event.WITHDRAW, Actor.REQUESTER, None, at=MONDAY + DAY)
    before = history(*begun(), mine)
    assert (before.state, before.settled) == (State.CANCEL_REQUESTED, False)
    theirs = move(Event.DECLINE, Actor.RECIPIENT, 4)
    after = history(*begun(), mine, theirs)
    assert after.state == State.DECLINED
    assert [step.move.message_id for step in after.conflicts] == [mine.message_id]


@pytest.mark.parametrize("copies", [1, 3])
def test_lif_4_a_message_that_comes_again_counts_once_at_its_first_place(copies: int) -> None:
    again = move(Event.ACCEPT, Actor.RECIPIENT, 9, number=77)
    first = move(Event.ACCEPT, Actor.RECIPIENT, 4, number=77)
    found = history(*begun(), *[again] * copies, first)
    assert [step.move.index for step in found.steps][-1] == 4
    assert found.conflicts == ()


MOVES = st.lists(
    st.tuples(st.sampled_from(Event), st.sampled_from([*Actor, "stranger"]), st.one_of(st.none(), st.integers(0, 30))),
    max_size=25,
)


@given(MOVES, st.randoms(use_true_random=False))
def test_lif_4_every_order_of_arrival_gives_the_same_history(
    asked: list[tuple[str, str, int | None]], chance: random.Random
) -> None:
    """Invariants (a) and (e): a total order, one state, the same on every side."""
    moves = [move(event, actor, index, number=n + 1) for n, (event, actor, index) in enumerate(asked)]
    found = history(*moves)
    shuffled = list(moves) + moves[: len(moves) // 2]
    chance.shuffle(shuffled)
    assert history(*shuffled) == found
    assert all(step.move.actor != "stranger" for step in found.done)
    for step in found.conflicts:
        assert step.after == step.before
    places = [step.move.index for step in found.steps if step.move.index is not None]
    assert places == sorted(places)


def test_clk_4_the_timers_of_a_referral_that_nobody_opens() -> None:
    sent = history(move(Event.SEND, Actor.REQUESTER, 1))
    found = timers(sent, Priority.EMERGENCY, CALENDAR, named={}, now=MONDAY)
    assert [(timer.at - MONDAY, timer.event, timer.ack, timer.level) for timer in found] == [
        (15 * MINUTE, Event.ESCALATE, Ack.A1, Level.SUPERVISOR),
        (22 * MINUTE + 30_000, Event.ESCALATE, Ack.A1, Level.HEADQUARTERS),
        (2 * HOUR, Event.ESCALATE, Ack.A2, Level.SUPERVISOR),
        (3 * HOUR, Event.ESCALATE, Ack.A2, Level.HEADQUARTERS),
        (24 * HOUR, Event.ESCALATE, Ack.A3, Level.SUPERVISOR),
        (36 * HOUR, Event.ESCALATE, Ack.A3, Level.HEADQUARTERS),
        (72 * HOUR, Event.EXPIRE, None, None),
    ]


def made(timer: Timer, index: int) -> Move:
    return Move(
        message_id=timer.move_id,
        index=index,
        at=timer.at,
        event=timer.event,
        actor=Actor.CLOCK,
        signer="clock",
        carried=EVERYTHING,
    )


def test_clk_4_a_timer_that_was_made_is_not_there_any_more_however_often_it_is_computed() -> None:
    moves = [move(Event.SEND, Actor.REQUESTER, 1)]
    names = []
    while found := timers(history(*moves), Priority.NORMAL, CALENDAR, named={}, now=MONDAY):
        assert found == timers(history(*moves), Priority.NORMAL, CALENDAR, named={}, now=found[0].at)
        moves.append(made(found[0], len(moves) + 1))
        names.append(found[0].name)
    assert len(set(names)) == len(names) == 7
    assert history(*moves).state == State.EXPIRED
    assert history(*moves).conflicts == ()


def test_clk_3_while_a_question_is_open_the_answers_clock_stands() -> None:
    asked = move(Event.ASK, Actor.RECIPIENT, 4, at=MONDAY + 2 * HOUR)
    waiting = history(*begun(), asked)
    left = timers(waiting, Priority.EMERGENCY, CALENDAR, named={}, now=MONDAY + 3 * DAY)
    assert [timer.event for timer in left] == ["expire"], "the question has a clock of its own (REF-12)"
    answered = move(Event.ANSWER, Actor.REQUESTER, 5, at=MONDAY + 5 * HOUR)
    again = history(*begun(), asked, answered)
    assert due(again, Priority.EMERGENCY, CALENDAR, Ack.A3, now=MONDAY) == MONDAY + 27 * HOUR
    assert due(again, Priority.EMERGENCY, CALENDAR, Ack.A2, now=MONDAY) == MONDAY + 2 * HOUR


def test_clk_4_a_reopened_referral_begins_a_round_of_its_own() -> None:
    later = MONDAY + 10 * DAY
    moves = [
        *begun(),
        move(Event.DECLINE, Actor.RECIPIENT, 4, at=MONDAY + 2 * HOUR),
        move(Event.APPEAL, Actor.REQUESTER, 5, at=later),
    ]
    assert due(history(*moves), Priority.EMERGENCY, CALENDAR, Ack.A3, now=later) == later + DAY


@pytest.mark.parametrize(
    ("after", "state", "refused"), [(0, State.ACKNOWLEDGED, []), (1, State.DECLINED, ["too-late"])]
)
def test_ref_7_what_is_over_is_reopened_within_thirty_days_and_not_a_moment_later(
    after: int, state: State, refused: list[str]
) -> None:
    decided = MONDAY + DAY
    moves = [
        *begun(),
        move(Event.DECLINE, Actor.RECIPIENT, 4, at=decided),
        # What changes no state does not begin the time anew, and neither does a move that is refused.
        move(Event.ACCEPT, Actor.RECIPIENT, 5, at=decided + 20 * DAY),
        move(Event.REOPEN, Actor.REQUESTER, 6, at=decided + 30 * DAY + after),
    ]
    found = history(*random.Random(1).sample(moves, len(moves)))
    assert found.state == state
    assert [step.refused for step in found.conflicts] == ["illegal-transition", *refused]


@settings(max_examples=60)
@given(MOVES, st.sampled_from(Priority))
def test_clk_4_only_a_live_referral_has_timers_and_each_is_a_legal_move(
    asked: list[tuple[str, str, int | None]], priority: Priority
) -> None:
    moves = [move(Event.SEND, Actor.REQUESTER, -1, number=999)]
    moves += [move(event, actor, index, number=n + 1) for n, (event, actor, index) in enumerate(asked)]
    found = history(*moves)
    for timer in timers(found, priority, CALENDAR, named={}, now=MONDAY):
        assert found.state in LIVE
        REFERRAL.step(found.position, timer.event, Actor.CLOCK, EVERYTHING)
    for stop in stops(found, 0):
        assert stop.end is None or stop.end >= stop.begin


def test_lif_5_each_rung_has_its_own_time_and_signer_and_a_new_round_begins_anew() -> None:
    moves = [*begun(), move(Event.DECLINE, Actor.RECIPIENT, 4, at=MONDAY + 3 * HOUR)]
    rungs = ladder(history(*moves))
    assert [(ack, rung.at - MONDAY) for ack, rung in rungs.items()] == [
        (Ack.A1, MINUTE),
        (Ack.A2, HOUR),
        (Ack.A3, 3 * HOUR),
    ]
    assert len({rung.message_id for rung in rungs.values()}) == 3
    again = move(Event.APPEAL, Actor.REQUESTER, 5, at=MONDAY + DAY)
    assert list(ladder(history(*moves, again))) == [Ack.A1]


def test_lif_5_an_officers_question_counts_as_taking_it_up() -> None:
    asked = [*begun()[:2], move(Event.ASK, Actor.RECIPIENT, 3, at=MONDAY + HOUR)]
    assert list(ladder(history(*asked))) == [Ack.A1, Ack.A2]
