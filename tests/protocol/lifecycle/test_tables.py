# SPDX-License-Identifier: Apache-2.0
"""Every arrow of both tables is walked, everything beside them is refused, and a stranger never moves anything."""

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.errors import IllegalTransition, MoveIncomplete
from protocol.lifecycle import handover, referral
from protocol.lifecycle.handover import COPY, HANDOVER, TOLD, lead
from protocol.lifecycle.machine import Machine, Position, Row, Turn
from protocol.lifecycle.referral import REFERRAL
from protocol.lifecycle.walking import walk

MACHINES = {machine.name: machine for machine in (REFERRAL, HANDOVER)}
TABLES = {**MACHINES, COPY.name: COPY}
STRANGER = "stranger"
BELOW = "what-was-set-aside"
"""The state that stands below in a position from which a row leads back."""


def arrows(machine: Machine) -> list[tuple[Row, str, str]]:
    return [(row, source, actor) for row in machine.rows for source in row.sources for actor in sorted(row.actors)]


def standing(row: Row, source: str) -> Position:
    parked = (BELOW,) if row.target == Turn.BACK else ()
    return Position(source, parked, frozenset({row.wants} if row.wants else ()))


def sentence(machine: str, row: Row, source: str, actor: str) -> str:
    return f"{machine} row {row.number}: {actor} may {row.event} when {source}"


@pytest.mark.parametrize(
    ("machine", "row", "source", "actor"),
    [
        pytest.param(machine, row, source, actor, id=sentence(machine.name, row, source, actor))
        for machine in TABLES.values()
        for row, source, actor in arrows(machine)
    ],
)
def test_lif_1_a_row_leads_where_it_says_and_needs_what_it_says(
    machine: Machine, row: Row, source: str, actor: str
) -> None:
    before = standing(row, source)
    after = machine.step(before, row.event, actor, row.needs)
    expected = {Turn.SAME: source, Turn.BACK: BELOW}.get(Turn(row.target)) if row.target in set(Turn) else row.target
    assert after.state == expected
    if row.parks:
        assert after.parked[-1] == source
    for needed in row.needs:
        with pytest.raises(MoveIncomplete, match=needed):
            machine.step(before, row.event, actor, row.needs - {needed})
    with pytest.raises(IllegalTransition):
        machine.step(before, row.event, STRANGER, row.needs)


@pytest.mark.parametrize("machine", TABLES.values(), ids=TABLES)
def test_lif_1_what_no_row_says_is_illegal_for_everybody(machine: Machine) -> None:
    told = {(source, row.event, actor) for row, source, actor in arrows(machine)}
    everything = frozenset().union(*(row.needs for row in machine.rows))
    asked = 0
    for state in machine.states:
        for event in machine.events:
            for actor in machine.actors - {actor for s, e, actor in told if (s, e) == (state, event)}:
                with pytest.raises(IllegalTransition):
                    machine.step(Position(state, (BELOW,), frozenset({"forward"})), event, actor, everything)
                asked += 1
    assert asked + len(told) == len(machine.states) * len(machine.events) * len(machine.actors)


@pytest.mark.parametrize("machine", TABLES.values(), ids=TABLES)
def test_lif_3_every_state_can_be_reached_and_every_thread_can_end(machine: Machine) -> None:
    found = walk(machine)
    assert found.unreachable == ()
    assert found.unfinished == ()
    assert found.idle == ()
    assert set(found.dead_ends) <= machine.finals


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_the_enumerations_and_the_table_name_the_same_things(machine: Machine) -> None:
    module = {"referral": referral, "handover": handover}[machine.name]
    assert set(machine.states) == set(module.State)
    assert set(machine.events) == set(module.Event)
    assert machine.actors == set(module.Actor)
    assert machine.finals <= set(machine.states)


def test_han_5_a_copy_follows_the_senders_moves_as_the_two_sides_do_and_the_receivers_not_at_all() -> None:
    assert {event for event in COPY.events if event != handover.Event.OFFER} == TOLD
    assert handover.Actor.RECEIVER not in COPY.actors
    for row, source, actor in arrows(COPY):
        twin = [
            one for one in HANDOVER.rows if (one.number, one.event) == (row.number, row.event) and actor in one.actors
        ]
        # What leaves the two sides where they are has no such state here: they are all *offered*.
        targets = [handover.State.OFFERED if one.target == Turn.SAME else one.target for one in twin]
        assert targets == [row.target], (row.number, source)
        assert twin[0].needs == row.needs


def test_han_5_a_copy_takes_every_word_of_its_sender_s_from_every_state_after_the_offer() -> None:
    """It cannot know which word before had no effect at the two sides; whoever speaks does."""
    told = {(row.event, actor, source) for row, source, actor in arrows(COPY) if row.event in TOLD}
    known = set(COPY.states) - {COPY.initial}
    assert told == {(event, actor, source) for event, actor, _ in told for source in known}


@given(
    st.lists(
        st.tuples(st.sampled_from(sorted({(row.event, actor) for row, _, actor in arrows(HANDOVER)})), st.booleans()),
        max_size=30,
    )
)
def test_han_5_whatever_its_sender_said_without_effect_his_next_word_with_one_tells_a_copy_who_leads(
    moves: list[tuple[tuple[str, str], bool]],
) -> None:
    """A word that the two sides refuse, or of which the receiver hears nothing, goes to a copy all the same."""
    everything = frozenset().union(*(row.needs for row in HANDOVER.rows))
    both, copy = (
        one.step(one.begin(), handover.Event.OFFER, handover.Actor.SENDER, everything) for one in (HANDOVER, COPY)
    )
    for (event, actor), heard in moves:
        counts = False
        if heard:
            with suppress(IllegalTransition):
                both, counts = HANDOVER.step(both, event, actor, everything), True
        if event in TOLD and actor in COPY.actors:
            copy = COPY.step(copy, event, actor, everything)
            assert not counts or lead(handover.State(copy.state)) == lead(handover.State(both.state))


def test_ref_1_the_specifications_32_rows_are_all_there() -> None:
    assert {row.number for row in REFERRAL.rows} == set(range(1, 33))


def test_ref_2_every_end_but_an_error_and_a_finished_service_has_a_reason() -> None:
    """Invariant (b): declined, ended early, cancelled by somebody, blocked, in error: each carries a coded reason."""
    reasoned = {referral.State.DECLINED, referral.State.ENDED_EARLY, referral.State.ENTERED_IN_ERROR}
    for row in REFERRAL.rows:
        if row.target in reasoned or row.event in (referral.Event.WITHDRAW, referral.Event.BLOCK):
            assert "reason" in row.needs, row


def test_lif_2_two_rows_for_the_same_move_are_refused() -> None:
    row = Row(number=1, sources=("a",), event="go", actors=frozenset({"x"}), target="b")
    with pytest.raises(ValueError, match="same state, event and actor"):
        Machine("doubled", "a", (row, Row(number=2, sources=("a",), event="go", actors=row.actors, target="c")))


def test_ref_3_a_hold_leads_back_to_where_it_began_also_through_a_block() -> None:
    step = REFERRAL.step
    position = Position(referral.State.SCHEDULED)
    position = step(position, "hold", "requester", {"reason", "review_on"})
    position = step(position, "block", "data-protection", {"reason"})
    with pytest.raises(IllegalTransition):
        step(position, "resume", "requester")
    position = step(position, "unblock", "requester", {"basis", "agreed_by"})
    assert position.state == referral.State.ON_HOLD
    assert step(position, "resume", "recipient") == Position(referral.State.SCHEDULED)


def test_ref_4_a_forward_is_approved_only_where_it_was_proposed_and_once() -> None:
    step = REFERRAL.step
    begun = Position(referral.State.ACKNOWLEDGED)
    with pytest.raises(IllegalTransition):
        step(begun, "approve-forward", "requester", {"new_thread"})
    proposed = step(begun, "propose-forward", "recipient", {"agency", "reason"})
    assert step(proposed, "approve-forward", "requester", {"new_thread"}) == Position(referral.State.SUPERSEDED)
    accepted = step(proposed, "accept", "recipient", {"officer", "start_by"})
    with pytest.raises(IllegalTransition):
        step(accepted, "approve-forward", "requester", {"new_thread"})


MOVES = st.lists(
    st.tuples(
        st.sampled_from([*referral.Event, *handover.Event]),
        st.sampled_from(["requester", "recipient", "sender", "receiver", "clock", "data-protection", STRANGER]),
        st.booleans(),
    ),
    max_size=40,
)


@given(MOVES, st.sampled_from(list(MACHINES.values())))
def test_lif_2_a_refused_move_changes_nothing_and_a_stranger_is_always_refused(
    moves: list[tuple[str, str, bool]], machine: Machine
) -> None:
    position = machine.begin()
    everything = frozenset().union(*(row.needs for row in machine.rows))
    for event, actor, complete in moves:
        before = Position(position.state, position.parked, position.matters)
        try:
            after = machine.step(position, event, actor, everything if complete else ())
        except (IllegalTransition, MoveIncomplete):
            assert position == before
            continue
        assert actor != STRANGER
        assert any(row.event == event and actor in row.actors for row in machine.open_to(before, actor))
        assert after.state in machine.states
        position = after


@given(MOVES)
def test_han_2_exactly_one_side_leads_at_every_instant(moves: list[tuple[str, str, bool]]) -> None:
    position, needs = HANDOVER.begin(), frozenset().union(*(row.needs for row in HANDOVER.rows))
    leads = [lead(handover.State(position.state))]
    for event, actor, _ in moves:
        try:
            position = HANDOVER.step(position, event, actor, needs)
        except IllegalTransition:
            continue
        leads.append(lead(handover.State(position.state)))
        if leads[-1] != leads[-2]:
            # It moves at the instant, and back only when the release was taken back or all was a mistake.
            assert event in ("take-effect", "fail", "entered-in-error")
    assert set(leads) <= {handover.Actor.SENDER, handover.Actor.RECEIVER}


def test_han_1_a_handover_binds_only_by_a_statute_that_is_named() -> None:
    binding = [row for row in HANDOVER.rows if row.target == handover.State.ACCEPTED and "receiver" not in row.actors]
    assert [row.event for row in binding] == [handover.Event.BIND]
    assert binding[0].needs == {"statute"}


@pytest.mark.parametrize("state", sorted(HANDOVER.finals))
def test_han_2_a_handover_that_did_not_happen_leaves_the_lead_with_the_sender(state: handover.State) -> None:
    assert (lead(state) is handover.Actor.SENDER) == (state is not handover.State.COMPLETED)


@pytest.mark.parametrize("event", ["withdraw", "expire", "offer-again", "fail", "entered-in-error"])
def test_han_5_a_copy_follows_its_sender_after_an_instant_that_the_receiver_never_had(event: str) -> None:
    """Such an instant has no force for its sender (SEQ-11), who leads on; the copy has it and must not keep it."""
    told = Position(handover.State.EFFECTIVE)
    actor = handover.Actor.CLOCK if event == "expire" else handover.Actor.SENDER
    needs = COPY.row(told, event, actor).needs
    assert lead(handover.State(COPY.step(told, event, actor, needs).state)) is handover.Actor.SENDER
