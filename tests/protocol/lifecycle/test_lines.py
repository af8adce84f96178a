# SPDX-License-Identifier: Apache-2.0
"""Sealed anew, repeated, delivered in any order: both sides fold one history, and nobody's own steps change places."""

import itertools
import random
from dataclasses import dataclass, field, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.clocks import Stop
from protocol.ids import MessageId
from protocol.lifecycle.history import History, Move, fold
from protocol.lifecycle.referral import REFERRAL, Actor, Event, State
from protocol.lifecycle.timers import stops

RECEIPT = (Event.RECEIVE, Actor.RECIPIENT)
EVERYTHING = frozenset().union(*(row.needs for row in REFERRAL.rows))
SIDES = (Actor.REQUESTER, Actor.RECIPIENT)


def move(event: str, actor: str, index: int | None, seq: int, *, number: int) -> Move:
    return Move(
        message_id=MessageId(number.to_bytes(16)),
        index=index,
        at=index or 0,
        event=event,
        actor=actor,
        signer="x",
        carried=EVERYTHING,
        order=number,
        line=actor,
        seq=seq,
    )


def begun(*, sent_at: int = 1) -> list[Move]:
    return [move(Event.SEND, Actor.REQUESTER, sent_at, 1, number=1)]


def history(moves: list[Move]) -> History:
    return fold(REFERRAL, moves, receipt=RECEIPT)


def test_lif_4_the_first_of_two_steps_is_sealed_anew_and_the_second_keeps_its_effect() -> None:
    acknowledge = move(Event.ACKNOWLEDGE, Actor.RECIPIENT, 20, 1, number=2)
    accept = move(Event.ACCEPT, Actor.RECIPIENT, 11, 2, number=3)
    found = history([*begun(), accept, acknowledge])
    assert (found.state, found.conflicts) == (State.ACCEPTED, ())
    assert [step.move.index for step in found.steps] == [1, 20, 11], "each shows the leaf that proves it"


def test_lif_4_what_was_said_after_a_step_that_the_hub_does_not_have_comes_last_with_it() -> None:
    acknowledge = move(Event.ACKNOWLEDGE, Actor.RECIPIENT, None, 1, number=2)
    accept = move(Event.ACCEPT, Actor.RECIPIENT, 11, 2, number=3)
    withdraw = move(Event.WITHDRAW, Actor.REQUESTER, 15, 2, number=4)
    found = history([*begun(), accept, acknowledge, withdraw])
    assert [step.move.event for step in found.steps] == [Event.SEND, Event.WITHDRAW, Event.ACKNOWLEDGE, Event.ACCEPT]
    assert found.settled is False


def test_lif_4_a_step_that_is_sealed_anew_after_a_later_one_was_opened_moves_nothing() -> None:
    acknowledge = move(Event.ACKNOWLEDGE, Actor.RECIPIENT, 20, 1, number=2)
    asked_again = move(Event.ANSWER, Actor.REQUESTER, 61, 2, number=3)
    withdraw = replace(move(Event.WITHDRAW, Actor.REQUESTER, 50, 3, number=4), opened_by=52)
    late = move(Event.ACCEPT, Actor.RECIPIENT, 59, 2, number=5)
    found = history([*begun(), late, withdraw, asked_again, acknowledge])
    assert [step.move.event for step in found.steps][-3:] == [Event.ANSWER, Event.WITHDRAW, Event.ACCEPT]
    assert found.steps[-1].refused is not None
    # Its word came after that sealing, so the sealing may be what was taken in.
    taken_in = history([*begun(), late, replace(withdraw, opened_by=65), asked_again, acknowledge])
    assert [step.move.event for step in taken_in.steps][-3:] == [Event.ACCEPT, Event.ANSWER, Event.WITHDRAW]


def test_lif_4_a_receipt_waits_for_nothing_and_holds_up_nothing() -> None:
    receipt = replace(move(Event.RECEIVE, Actor.RECIPIENT, 3, 0, number=9), line=None)
    acknowledge = move(Event.ACKNOWLEDGE, Actor.RECIPIENT, 2, 1, number=2)
    found = history([*begun(), receipt, acknowledge])
    assert (found.state, found.conflicts) == (State.ACKNOWLEDGED, ())
    early = history([*begun(), replace(receipt, index=2), replace(acknowledge, index=20)])
    assert [step.move.index for step in early.steps] == [1, 2, 20]


def test_clk_3_a_stop_whose_beginning_was_sealed_anew_never_ends_before_it() -> None:
    block = replace(move(Event.BLOCK, Actor.CLOCK, 20, 2, number=2), line=Actor.REQUESTER)
    unblock = move(Event.UNBLOCK, Actor.REQUESTER, 11, 3, number=3)
    found = history([*begun(), unblock, block])
    assert stops(found, 0) == (Stop(20, 20),)


def test_ref_7_a_state_begins_no_earlier_than_the_steps_before_it() -> None:
    acknowledge = move(Event.ACKNOWLEDGE, Actor.RECIPIENT, 20, 1, number=2)
    decline = move(Event.DECLINE, Actor.RECIPIENT, 11, 2, number=3)
    assert history([*begun(), acknowledge, decline]).since == 20


@dataclass
class Message:
    """One step of a side, and under which leaf indexes the hub accepted its sealings."""

    side: str
    event: str
    seq: int
    number: int
    sealings: list[int] = field(default_factory=list)

    def move(self, index: int | None) -> Move:
        return move(self.event, self.side, index, self.seq, number=self.number)


@dataclass
class Told:
    """What each side knows at the end of the place of a message."""

    at_recipient: int
    at_sender: int


class HostileHub:
    """Accepts in any order and delivers in any order, as often as it likes; it only cannot forge."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def accept(self, messages: list[Message], sealed: list[int]) -> None:
        """Give each message its sealings, whatever was sealed first."""
        sealings = [message for message, times in zip(messages, sealed, strict=True) for _ in range(times)]
        self._chance.shuffle(sealings)
        for index, message in enumerate(sealings):
            message.sealings.append(index)

    def deliver(self, message: Message, *, lost: bool) -> Told:
        """Bring the sealings of a message to its recipient and the answers back.

        The recipient takes it in by whichever comes first, and each of its A1s names that one. Where its machine was
        `lost`, another takes it in anew. The sender believes the A1 that stands last in the log.
        """
        answers: list[tuple[int, int]] = []
        numbers, first = itertools.count(), -1
        for _ in range(1 + lost):
            came = self._chance.choices(message.sealings, k=2 * len(message.sealings))
            first = came[0]
            answers += [(next(numbers), first) for _ in came]
        arriving = answers[:-1] * 2
        self._chance.shuffle(arriving)
        arriving.insert(self._chance.randint(0, len(arriving)), answers[-1])
        newest, place = -1, -1
        for number, named in arriving:
            if number > newest:
                newest, place = number, named
        return Told(at_recipient=first, at_sender=place)


STEPS = st.lists(
    st.tuples(st.sampled_from(SIDES), st.sampled_from(sorted(Event)), st.integers(1, 4), st.booleans()), max_size=20
)


@settings(max_examples=150)
@given(STEPS, st.integers(1, 4), st.randoms(use_true_random=False))
def test_lif_4_whatever_the_hub_reorders_and_repeats_both_sides_tell_one_history_each_in_its_own_order(
    steps: list[tuple[str, str, int, bool]], begin_sealed: int, chance: random.Random
) -> None:
    asked = [(Actor.REQUESTER, Event.SEND, begin_sealed, False), *steps]
    counted = dict.fromkeys(SIDES, 0)
    messages = list[Message]()
    for number, (side, event, _, _) in enumerate(asked):
        counted[Actor(side)] += 1
        messages.append(Message(side, event, counted[Actor(side)], number))
    hub = HostileHub(chance)
    hub.accept(messages, [times for _, _, times, _ in asked])
    told = [hub.deliver(message, lost=lost) for message, (_, _, _, lost) in zip(messages, asked, strict=True)]
    histories = []
    for reader in SIDES:
        known = [
            message.move(one.at_sender if message.side == reader else one.at_recipient)
            for message, one in zip(messages, told, strict=True)
        ]
        known += known[: len(known) // 2]
        chance.shuffle(known)
        histories.append(
            [(step.move.message_id, step.move.index, step.refused, step.after) for step in history(known).steps]
        )
    assert histories[0] == histories[1]
    by_id = {message.move(None).message_id: message for message in messages}
    for side in SIDES:
        own = [by_id[one[0]].seq for one in histories[0] if by_id[one[0]].side == side]
        # A receipt that says nothing new is no step.
        assert own == sorted(own)
