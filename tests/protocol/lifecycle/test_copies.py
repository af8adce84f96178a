# SPDX-License-Identifier: Apache-2.0
"""What copies believe, and what became of it: whatever crosses, one more word of the sender puts them right."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.ids import MessageId
from protocol.lifecycle.copies import in_vain, misled, standing
from protocol.lifecycle.handover import AT_COPY, COPY, FINAL, HANDOVER, TOLD, Actor, Event, State, lead
from protocol.lifecycle.history import GIVEN_UP, History, Move, fold

NEEDS = frozenset().union(*(row.needs for row in HANDOVER.rows))
STEPS = sorted({(row.event, actor) for row in HANDOVER.rows for actor in row.actors} - {(Event.OFFER, Actor.SENDER)})
SENDERS = (Actor.SENDER, Actor.CLOCK)
TAKEN = [("bind", "sender"), ("take-effect", "sender")]


def move(number: int, event: str, actor: str, *, void: bool = False) -> Move:
    return Move(
        message_id=MessageId(number.to_bytes(16, "big")),
        index=number,
        at=1_800_000_000_000 + number,
        event=event,
        actor=actor,
        signer="somebody",
        carried=NEEDS,
        void=GIVEN_UP if void else None,
    )


def said(*steps: tuple[str, str]) -> list[Move]:
    """Return the moves of a thread that was offered, each at the next place of the log."""
    return [move(number, *step) for number, step in enumerate([("offer", "sender"), *steps], start=1)]


def told(moves: list[Move]) -> list[Move]:
    return [one for one in moves if one.event in TOLD and one.actor in SENDERS]


def next_word(history: History) -> str:
    step = standing(history)
    return Event.CHANGE_DATE if step is None else step.move.event


@given(st.lists(st.tuples(st.sampled_from(STEPS), st.booleans()), max_size=12))
def test_han_16_whatever_crossed_a_copy_knows_who_leads_after_at_most_one_more_word(
    steps: list[tuple[tuple[str, str], bool]],
) -> None:
    moves = said()
    for number, ((event, actor), lost) in enumerate(steps, start=2):
        moves.append(move(number, event, actor, void=lost and actor in SENDERS))
    history = fold(HANDOVER, moves)
    state, words = State(history.state), [one.event for one in told(moves)]
    if state == State.ENTERED_IN_ERROR:
        assert not words or not misled(history, words[-1]), "that is told by another rule"
        return
    if not words:
        assert lead(state) == Actor.SENDER
        return
    again = next_word(history)
    newest = again if misled(history, words[-1]) else words[-1]
    assert not misled(history, newest), "what was told again is not told once more"
    assert lead(AT_COPY[newest]) == lead(state)
    assert not (AT_COPY[newest] in FINAL and state not in FINAL)


@given(st.lists(st.sampled_from(sorted(TOLD)), min_size=1, max_size=8))
def test_han_5_the_last_word_of_the_sender_alone_says_where_a_copy_stands(events: list[str]) -> None:
    by = {row.event: min(row.actors & set(SENDERS)) for row in COPY.rows if row.actors & set(SENDERS)}
    history = fold(COPY, said(*((event, by[event]) for event in events)))
    assert (history.conflicts, history.state) == ((), AT_COPY[events[-1]])


@given(st.lists(st.sampled_from(STEPS), max_size=12))
def test_han_16_a_step_in_vain_is_one_that_did_not_lead_where_it_said_for_a_step_of_the_other_side(
    steps: list[tuple[str, str]],
) -> None:
    history = fold(HANDOVER, said(*steps))
    found = in_vain(history)
    if found is None:
        return
    vain, theirs = found
    places = {step.move.message_id: place for place, step in enumerate(history.steps)}
    assert history.steps[places[vain.message_id]].refused == "illegal-transition"
    assert history.steps[places[theirs.message_id]].refused is None
    assert places[theirs.message_id] < places[vain.message_id]
    assert theirs.actor not in SENDERS
    assert lead(AT_COPY[vain.event]) != lead(State(history.state))


BACK = said(*TAKEN, ("complete", "receiver"), ("fail", "sender"))
NEVER = said(("acknowledge", "receiver"), ("decline", "receiver"), *TAKEN)


@pytest.mark.parametrize(("moves", "theirs", "word"), [(BACK, "complete", "take-effect"), (NEVER, "decline", None)])
def test_han_16_whoever_said_where_the_lead_is_in_vain_is_known_and_so_is_what_stands(
    moves: list[Move], theirs: str, word: str | None
) -> None:
    history = fold(HANDOVER, moves)
    found = in_vain(history)
    assert found is not None
    assert (found[0], found[1].event) == (moves[-1], theirs)
    step = standing(history)
    assert misled(history, moves[-1].event)
    assert (None if step is None else step.move.event) == word


def test_han_16_nothing_is_in_vain_before_its_place_is_known_and_once_its_sender_went_on() -> None:
    assert in_vain(fold(HANDOVER, [*BACK[:-1], replace(BACK[-1], index=None)])) is None
    assert in_vain(fold(HANDOVER, [*BACK[:-1], replace(BACK[-1], void=GIVEN_UP)])) is None, "told as lost"
    early = said(("acknowledge", "receiver"), ("take-effect", "sender"))
    assert [step.refused is None for step in fold(HANDOVER, early).steps][-1] is False
    assert in_vain(fold(HANDOVER, early)) is None, "behind no end of the receiver's: what it built on was lost (SEQ-11)"
    assert in_vain(fold(HANDOVER, [*NEVER, move(9, "offer-again", "sender")])) is None
    assert in_vain(fold(HANDOVER, said(*TAKEN, ("fail", "sender"), ("complete", "receiver")))) is None
