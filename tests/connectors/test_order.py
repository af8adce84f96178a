# SPDX-License-Identifier: Apache-2.0
"""Order: gaps are held and shown, forks are refused, receipts wait for nothing."""

from collections.abc import Sequence

import pytest
from sqlalchemy import select, update
from sqlalchemy.dialects import sqlite

from connectors import delivery, inbox
from connectors.cases.threads import Threads
from connectors.delivery import Delivery
from connectors.doctor.standing import examine_standing
from connectors.store import incoming, tables
from connectors.store.engine import Transaction
from connectors.store.events import RECEIVED
from connectors.store.incoming import ReceivedMessage
from connectors.store.sequences import Line
from protocol.address import agency_of
from protocol.errors import NotFound
from protocol.http.handovers import MessageState
from protocol.ids import MessageId, ThreadId, new_id
from tests.connectors.conftest import World
from tests.connectors.hand import Hand, count, items_of
from tests.connectors.stations import Station, open_station
from tests.programme import Sealed

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


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


class Killed(BaseException):
    """The end of a process in the middle of its work."""


async def shown(station: Station, sent: Sequence[Sealed]) -> list[bool]:
    """Return for each message whether it had its effect."""
    return [(await station.view(one.message_id)).state is MessageState.RECEIVED for one in sent]


async def told_in(tx: Transaction) -> list[MessageId]:
    """Return which messages had their effect, in that order."""
    asked = select(tables.event.c.message_id).where(tables.event.c.type == RECEIVED).order_by(tables.event.c.position)
    return list(await tx.connection.scalars(asked))


async def told(station: Station) -> list[MessageId]:
    """Return the same of what is stored."""
    async with station.parts.store.read() as tx:
        return await told_in(tx)


async def test_seq_7_what_was_held_is_released_in_portions_in_order_and_goes_on_after_a_kill(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inbox, "RELEASED_AT_ONCE", 4)
    station, hand, thread = world.probation, Hand(world), ThreadId(new_id())
    sent = [hand.seal(station.desk, thread=thread) for _ in range(12)]
    await hand.submit(*sent[1:])
    await station.collect()
    assert await shown(station, sent[1:]) == [False] * 11
    await hand.submit(sent[0])
    portions = list[int]()
    release = Delivery.release

    async def killed_in_the_third(self: Delivery, tx: Transaction, line: Line, most: int) -> bool:
        before = len(await told_in(tx))
        more = await release(self, tx, line, most)
        portions.append(len(await told_in(tx)) - before)
        if len(portions) == 3:
            raise Killed
        return more

    with monkeypatch.context() as patched:
        patched.setattr(Delivery, "release", killed_in_the_third)
        with pytest.raises(Killed):
            await station.collect()
    assert portions == [4, 4, 3]
    assert await shown(station, sent) == [True] * 9 + [False] * 3
    again = open_station(station.folder, station.member, station.installation, world.hub.clock)
    async with again as restarted:
        assert (await restarted.parts.overview.status()).counts.held == 3
        await restarted.parts.inbox.reconnected()
        assert await told(restarted) == [one.message_id for one in sent]
        assert await shown(restarted, sent) == [True] * 12
        await restarted.turn()
        assert await told(restarted) == [one.message_id for one in sent]
        assert await restarted.quarantined() == []
        assert (await restarted.parts.overview.status()).counts.held == 0


@pytest.mark.parametrize("forked", [False, True], ids=["which is right", "which is on a fork"])
async def test_seq_7_a_message_may_come_for_the_place_of_one_whose_turn_is_still_to_come(
    world: World, forked: bool
) -> None:
    """A page brings it together with what closes the gap; another process may have left it so as well."""
    station, hand, stranger, thread = world.probation, Hand(world), Hand(world), ThreadId(new_id())
    first = hand.seal(station.desk, thread=thread)
    if forked:
        stranger.seal(station.desk, thread=thread)
    else:
        stranger.sender._last[thread, station.desk] = (1, first.message_id)
    right, other = (one.seal(station.desk, thread=thread) for one in (hand, stranger))
    held, late = (other, right) if forked else (right, other)
    await hand.submit(held, first, late)
    await station.collect()
    assert await station.quarantined() == ["sequence-error"]
    assert await told(station) == [first.message_id, right.message_id]
    assert (await station.parts.overview.status()).counts.held == 0


@pytest.mark.parametrize("bound", ["MOST_HELD", "MOST_HELD_BYTES"])
async def test_seq_9_what_one_agency_may_have_waiting_for_gaps_is_bounded_and_no_other_is_kept_out_by_it(
    world: World, monkeypatch: pytest.MonkeyPatch, bound: str
) -> None:
    station, hand, other = world.probation, Hand(world), Hand(world)
    other.sender, other.client = world.hub.programme.sender("polje-csw"), world.hub.device(world.social_work.member)
    threads = [ThreadId(new_id()) for _ in range(4)]
    sent = [[hand.seal(station.desk, thread=thread) for _ in range(2)] for thread in threads]
    thread = ThreadId(new_id())
    ahead = [other.seal(station.desk, thread=thread) for _ in range(2)][1]
    for _, second in sent[:2]:
        await hand.submit(second)
    await station.collect()
    async with station.parts.store.read() as tx:
        messages, size = await incoming.held_of(tx, agency_of(world.prison.desk))
        assert await incoming.held_of(tx, agency_of(world.social_work.desk)) == (0, 0)
    assert messages == 2
    assert size > 2 * 8_192
    monkeypatch.setattr(delivery, bound, 2 if bound == "MOST_HELD" else size + size // 4)
    await hand.submit(sent[2][1])
    await other.submit(ahead)
    await station.collect()
    assert await station.quarantined() == ["too-many-held"]
    assert await count(station, "outgoing") == 0, "nobody is told that it was opened, or that it never can be"
    assert (await station.view(ahead.message_id)).state is MessageState.HELD
    with pytest.raises(NotFound):
        await station.view(sent[2][1].message_id)
    await hand.submit(sent[2][0], sent[0][0])
    await station.collect()
    await hand.submit(sent[3][1])
    await station.collect()
    assert await shown(station, [sent[2][0], *sent[0], sent[3][1]]) == [True, True, True, False]
    assert await station.quarantined() == ["too-many-held"]


async def test_seq_9_what_waits_is_counted_without_walking_through_all_that_ever_came(world: World) -> None:
    asked = str(incoming._HELD_OF.compile(dialect=sqlite.dialect()))
    async with world.probation.parts.store.read() as tx:
        plan = await tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {asked}", (0, ".agency@hub.example"))
        assert [row.detail for row in plan] == ["SCAN incoming USING INDEX ix_incoming_held"]


async def test_seq_7_what_failed_when_its_gap_closed_is_named_by_the_doctor_and_tried_again_with_the_next_link(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    station, hand, thread = world.probation, Hand(world), ThreadId(new_id())
    sent = [hand.seal(station.desk, thread=thread) for _ in range(4)]
    await hand.submit(*sent[1:])
    await station.collect()
    await hand.submit(sent[0])
    received = Threads.received

    async def failing(self: Threads, tx: Transaction, message: ReceivedMessage, *, late: bool = False) -> None:
        if message.message_id == sent[2].message_id:
            raise RuntimeError
        await received(self, tx, message, late=late)

    async def named() -> list[str]:
        found = await examine_standing(station.settings, station.installation, world.hub.clock)
        return [one.found for one in found if one.check == "held"]

    with monkeypatch.context() as patched:
        patched.setattr(Threads, "received", failing)
        await station.collect()
        await station.parts.inbox.reconnected()
    assert await shown(station, sent) == [True, True, False, False]
    assert await named() == ["In one thread a message is held although none before it is missing."]
    assert "RuntimeError" in station.logged.getvalue()
    await station.parts.inbox.reconnected()
    assert await told(station) == [one.message_id for one in sent]
    assert await named() == []


async def test_con_8_a_held_message_that_the_disk_has_damaged_holds_up_no_other_mail(world: World) -> None:
    station, hand, thread = world.probation, Hand(world), ThreadId(new_id())
    sent = [hand.seal(station.desk, thread=thread) for _ in range(4)]
    other = Hand(world).seal(station.desk)
    await hand.submit(*sent[1:])
    await station.collect()
    async with station.parts.store.write() as tx:
        await tx.connection.execute(
            update(tables.incoming)
            .where(tables.incoming.c.message_id == sent[2].message_id)
            .values(sealed=b"damaged by the disk")
        )
    await hand.submit(sent[0], other)
    await station.collect()
    assert await told(station) == [sent[0].message_id, other.message_id, sent[1].message_id]
    assert "keystore-error" in station.logged.getvalue()
    assert (await station.parts.overview.status()).counts.held == 2


async def test_seq_3_receipts_never_wait_and_leave_no_gap(world: World) -> None:
    sent = [await world.prison.send(world.probation.desk) for _ in range(3)]
    await world.probation.turn()
    items = await items_of(world.prison)
    await world.prison.take(tuple(reversed(items)))
    for message_id in sent:
        assert await world.prison.states(message_id) == {world.probation.desk: MessageState.OPENED}
