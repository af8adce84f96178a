# SPDX-License-Identifier: Apache-2.0
"""Order: gaps are held and shown, forks are refused, receipts wait for nothing."""

from dataclasses import replace

import pytest

from connectors.store import outgoing, recipients
from protocol.errors import NotFound
from protocol.http.handovers import MessageState
from protocol.ids import MessageId, ThreadId, new_id
from tests.connectors.conftest import World
from tests.connectors.hand import Hand, items_of


async def test_seq_1_a_message_ahead_of_a_gap_is_held_shown_and_released_in_order(world: World) -> None:
    """Attack 40."""
    hand, thread = Hand(world), ThreadId(new_id())
    first, second, third = (hand.seal(world.probation.desk, thread=thread) for _ in range(3))
    await hand.submit(third, second)
    await world.probation.collect()
    assert (await world.probation.view(third.message_id)).state is MessageState.HELD
    assert (await world.probation.parts.overview.status()).counts.held == 2
    await hand.submit(first)
    await world.probation.collect()
    states = [(await world.probation.view(one.message_id)).state for one in (first, second, third)]
    assert states == [MessageState.RECEIVED] * 3
    assert (await world.probation.parts.overview.status()).counts.held == 0


async def test_seq_1_a_held_message_shows_nothing_of_its_content(world: World) -> None:
    hand, thread = Hand(world), ThreadId(new_id())
    _, second = (hand.seal(world.probation.desk, thread=thread) for _ in range(2))
    await hand.submit(second)
    await world.probation.collect()
    view = await world.probation.view(second.message_id)
    assert (view.sections, view.offer) == ([], {})


async def test_seq_2_a_repeated_seq_with_another_message_is_a_fork(world: World) -> None:
    """Attack 40."""
    hand, thread = Hand(world), ThreadId(new_id())
    first = hand.seal(world.probation.desk, thread=thread)
    other = Hand(world).seal(world.probation.desk, thread=thread)
    await hand.submit(first, other)
    await world.probation.collect()
    assert await world.probation.quarantined() == ["sequence-error"]
    assert (await world.probation.view(first.message_id)).state is MessageState.RECEIVED
    with pytest.raises(NotFound):
        await world.probation.view(other.message_id)


async def test_seq_2_a_wrong_predecessor_is_a_fork_also_among_held_messages(world: World) -> None:
    hand, stranger, thread = Hand(world), Hand(world), ThreadId(new_id())
    first = hand.seal(world.probation.desk, thread=thread)
    stranger.seal(world.probation.desk, thread=thread)
    forked = stranger.seal(world.probation.desk, thread=thread)
    await hand.submit(forked)
    await world.probation.collect()
    assert (await world.probation.view(forked.message_id)).state is MessageState.HELD
    await hand.submit(first)
    await world.probation.collect()
    assert await world.probation.quarantined() == ["sequence-error"]
    second = hand.seal(world.probation.desk, thread=thread)
    await hand.submit(second)
    await world.probation.collect()
    assert (await world.probation.view(second.message_id)).state is MessageState.RECEIVED


async def test_seq_2_two_messages_that_wait_for_the_same_place_are_a_fork(world: World) -> None:
    hand, stranger, thread = Hand(world), Hand(world), ThreadId(new_id())
    for one in (hand, stranger):
        one.seal(world.probation.desk, thread=thread)
    await hand.submit(
        hand.seal(world.probation.desk, thread=thread), stranger.seal(world.probation.desk, thread=thread)
    )
    await world.probation.collect()
    assert await world.probation.quarantined() == ["sequence-error"]
    assert (await world.probation.parts.overview.status()).counts.held == 1


async def test_seq_3_receipts_never_wait_and_leave_no_gap(world: World) -> None:
    sent = [await world.prison.send(world.probation.desk) for _ in range(3)]
    await world.probation.turn()
    items = await items_of(world.prison)
    await world.prison.take(tuple(reversed(items)))
    for message_id in sent:
        assert await world.prison.states(message_id) == {world.probation.desk: MessageState.OPENED}


async def test_a_withheld_envelope_is_visible_on_both_sides(world: World) -> None:
    """Section 5, attack 8: a hub that freezes a thread by withholding one envelope."""
    prison, probation = world.prison, world.probation
    first = await prison.compose(probation.desk)
    await prison.seal_and_send()
    async with prison.parts.store.write() as tx:
        message = await outgoing.load(tx, first.id)
        later = replace(message, message_id=MessageId(new_id()))
        await outgoing.add(tx, later, {probation.desk: recipients.Plan()})
    await prison.seal_and_send()
    withheld, shown = await items_of(probation)
    await probation.take((shown,))
    await probation.seal_and_send()
    await prison.collect()
    assert (await probation.parts.overview.status()).counts.held == 1
    (recipient,) = (await prison.view(first.id)).recipients
    assert (recipient.state, recipient.error) == (MessageState.ACCEPTED, "sequence-error")
    await probation.parts.inbox.take((withheld,))
    assert (await probation.parts.overview.status()).counts.held == 0
