# SPDX-License-Identifier: Apache-2.0
"""A sender that does not know all that it said goes on behind what its desks have, and nobody else does (SEQ-12)."""

from pathlib import Path

import pytest
from sqlalchemy import select

from connectors.receipts import FORK, refuse
from connectors.store import incoming, outgoing, recipients, restored, sequences, tables
from connectors.store.incoming import IncomingState
from connectors.store.recipients import Plan, RecipientRow, RecipientState
from connectors.store.sequences import MAIN, Direction, Line
from protocol.ids import MessageId, ThreadId, new_id
from protocol.limits import DAY, HOUR
from protocol.sequence import Position
from tests.connectors.cases.test_clockwork import fire
from tests.connectors.cases.test_handover import ACCEPT, TAKEN_UP, dated, do, lead, offer
from tests.connectors.cases.test_referral import refer, row, settle
from tests.connectors.conftest import World
from tests.connectors.hand import items_of
from tests.connectors.restoring import back_up, new_machine
from tests.connectors.stations import Station
from tests.connectors.test_asking import ask_until_quiet, follow_up, held
from tests.connectors.test_giving_up import GORA, OFFICE, accepted, newest, shown, told

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


async def sent(station: Station, message_id: MessageId, to: Station) -> RecipientRow:
    async with station.parts.store.read() as tx:
        return await recipients.find(tx, message_id, to.desk)


async def line_of(station: Station, thread: ThreadId, sender: Station) -> list[tuple[int, MessageId | None, MessageId]]:
    """Return the messages of a line that have their effect: number, predecessor and id."""
    async with station.parts.store.read() as tx:
        found = await tx.connection.execute(
            select(tables.incoming.c.seq, tables.incoming.c.previous, tables.incoming.c.message_id)
            .where(
                tables.incoming.c.thread == thread,
                tables.incoming.c.sender_desk == sender.desk,
                tables.incoming.c.klass.not_in([2, 5]),
                tables.incoming.c.state == IncomingState.DELIVERED,
            )
            .order_by(tables.incoming.c.seq)
        )
        return [(one.seq, one.previous, one.message_id) for one in found]


async def send_on(station: Station, thread: ThreadId, to: Station, count: int = 1) -> list[MessageId]:
    """Send more messages in a thread."""
    async with station.parts.store.read() as tx:
        first = await tx.connection.scalar(
            select(tables.outgoing.c.message_id).where(tables.outgoing.c.thread == thread).limit(1)
        )
    assert first is not None
    return [await follow_up(station, first, to) for _ in range(count)]


async def backed_up(world: World, folder: Path) -> tuple[ThreadId, Path]:
    """Return a referral of the prison's, and its backup of then: what it says after that is lost with its machine."""
    thread = (await refer(world.prison, world.social_work)).thread
    await settle(world.prison, world.social_work)
    return thread, back_up(world.prison, folder)


async def say_fork(station: Station, to: Station, message_id: MessageId, thread: ThreadId, taken: Position) -> None:
    """Have a desk refuse whatever it likes to refuse."""
    now = station.parts.sealer._clock()
    word = refuse(
        message_id,
        taken,
        thread=thread,
        sender=station.desk,
        actor=station.member.actor,
        now=now,
        deadline=now + DAY,
    )
    async with station.parts.store.write() as tx:
        await outgoing.add(tx, word, {to.desk: Plan()})
    await station.seal_and_send()
    await to.collect()


async def test_seq_12_what_an_officer_says_after_a_restore_arrives_and_both_officers_hear_of_what_was_lost(
    world: World, tmp_path: Path
) -> None:
    prison, office, csw = world.prison, world.probation, world.social_work
    thread = await offer(world)
    backup = back_up(office, tmp_path / "backup")
    await do(office, thread, "acknowledge", **TAKEN_UP)
    await settle(prison, office, csw)
    lost = await newest(office, thread)
    world.hub.clock.advance(HOUR)
    async with new_machine(world, office, tmp_path / "again", backup) as again:
        await prison.look()
        await do(again, thread, "acknowledge", **TAKEN_UP)
        await do(again, thread, "accept", **ACCEPT)
        acceptance = await newest(again, thread)
        await settle(prison, again, csw)
        assert (await row(prison, thread)).state == (await row(again, thread)).state == "accepted"
        assert (await sent(again, acceptance, prison)).state is RecipientState.OPENED
        numbers = await line_of(prison, thread, again)
        assert [(seq, previous) for seq, previous, _ in numbers] == [(1, None), (2, lost), (3, numbers[1][2])]
        assert numbers[0][2] == lost
        assert numbers[2][2] == acceptance
        assert set(await prison.quarantined()) == {"sequence-error"}, "a fork is kept and shown (SEQ-2)"
        assert await again.quarantined() == []
        for station in (prison, again):
            view = await shown(station, thread, world)
            assert view.item.alert == "messages-forgotten"
            assert [(one.sender, one.recipient, one.count) for one in view.forgotten] == [(office.desk, prison.desk, 1)]
        await do(prison, thread, "take-effect", effective_at=world.hub.clock())
        await settle(prison, again, csw)
        assert await lead(prison, thread, world) == await lead(again, thread, world) == OFFICE


@pytest.mark.parametrize("count", [1, 3])
async def test_seq_12_a_line_goes_on_behind_all_that_was_lost_in_the_order_in_which_it_was_said(
    world: World, tmp_path: Path, count: int
) -> None:
    prison, csw = world.prison, world.social_work
    thread, backup = await backed_up(world, tmp_path / "backup")
    gone = await send_on(prison, thread, csw, 2)
    await settle(prison, csw)
    world.hub.clock.advance(HOUR)
    async with new_machine(world, prison, tmp_path / "again", backup) as again:
        await csw.look()
        said = await send_on(again, thread, csw, count)
        await settle(again, csw)
        numbers = await line_of(csw, thread, prison)
        assert [one for _, _, one in numbers][1:] == gone + said
        assert [seq for seq, _, _ in numbers] == list(range(1, count + 4))
        assert [previous for _, previous, _ in numbers][1:] == [one for _, _, one in numbers][:-1]
        for message_id in said:
            assert (await sent(again, message_id, csw)).state is RecipientState.OPENED
        # What is said next needs nobody's word any more.
        before = len(await csw.quarantined())
        (after,) = await send_on(again, thread, csw)
        await settle(again, csw)
        assert (await sent(again, after, csw)).seals == 1
        assert (await sent(again, after, csw)).state is RecipientState.OPENED
        assert len(await csw.quarantined()) == before
        assert await held(csw) == 0


async def test_seq_12_a_machine_that_was_enrolled_anew_goes_on_in_threads_that_others_began(
    world: World, tmp_path: Path
) -> None:
    prison, office, csw = world.prison, world.probation, world.social_work
    thread = await offer(world)
    await do(office, thread, "acknowledge", **TAKEN_UP)
    await settle(prison, office, csw)
    world.hub.clock.advance(HOUR)
    async with new_machine(world, office, tmp_path / "again") as again:
        await prison.look()
        await do(prison, thread, "change-date", trigger={"expected_on": "2027-02-09"}, reason="release-moved")
        await settle(prison, again, csw)
        await ask_until_quiet(world, prison, again)
        assert (await row(again, thread)).state == "offered", "it has what the prison said, and not what it said itself"
        await do(again, thread, "acknowledge", **TAKEN_UP)
        await do(again, thread, "accept", **ACCEPT)
        await settle(prison, again, csw)
        assert (await row(prison, thread)).state == (await row(again, thread)).state == "accepted"
        assert await again.quarantined() == []


async def taken_effect(world: World, tmp_path: Path) -> tuple[ThreadId, MessageId, Path]:
    """Return a handover whose instant the prison's clock made after its backup, that instant, and the backup."""
    prison, office, csw = world.prison, world.probation, world.social_work
    thread = await offer(world, dated(world.hub.clock(), effective=9))
    await do(office, thread, "acknowledge", **TAKEN_UP)
    await do(office, thread, "accept", **ACCEPT)
    await settle(prison, office, csw)
    backup = back_up(prison, tmp_path / "backup")
    world.hub.clock.advance(10 * DAY)
    for station in (prison, office, csw):
        await station.look()
    assert await fire(prison) == 1
    instant = await newest(prison, thread)
    await settle(prison, office, csw)
    return thread, instant, backup


async def test_seq_12_clk_4_what_time_made_again_counts_once_and_what_follows_arrives(
    world: World, tmp_path: Path
) -> None:
    """The lost machine's clock made the instant; its successor makes it again under the same id, with other words."""
    prison, office, csw = world.prison, world.probation, world.social_work
    thread, instant, backup = await taken_effect(world, tmp_path)
    assert await lead(office, thread, world) == OFFICE
    world.hub.clock.advance(HOUR)
    async with new_machine(world, prison, tmp_path / "again", backup) as again:
        await office.look()
        await csw.look()
        assert await lead(again, thread, world) == GORA
        assert await fire(again) == 1
        assert await newest(again, thread) == instant
        await settle(again, office, csw)
        assert (await sent(again, instant, office)).state is RecipientState.OPENED
        assert await lead(again, thread, world) == await lead(office, thread, world) == OFFICE
        (after,) = await send_on(again, thread, office)
        await settle(again, office, csw)
        assert (await sent(again, after, office)).state is RecipientState.OPENED
        assert await held(office) == 0


async def test_seq_12_a_step_of_time_that_got_another_number_leaves_no_gap(world: World, tmp_path: Path) -> None:
    """The officer is faster than the clock on the new machine, so the clock's step has another place than it had."""
    prison, office, csw = world.prison, world.probation, world.social_work
    thread, instant, backup = await taken_effect(world, tmp_path)
    async with new_machine(world, prison, tmp_path / "again", backup) as again:
        await office.look()
        (first,) = await send_on(again, thread, office)
        assert await fire(again) == 1
        await settle(again, office, csw)
        (after,) = await send_on(again, thread, office)
        await settle(again, office, csw)
        await ask_until_quiet(world, again, office)
        for message_id in (first, instant, after):
            assert (await sent(again, message_id, office)).state is RecipientState.OPENED
        assert await held(office) == 0
        assert await lead(again, thread, world) == await lead(office, thread, world) == OFFICE
        assert (await shown(office, thread, world)).lost == []
        assert "message.lost" not in await told(office)


async def test_seq_12_what_waits_under_an_old_number_waits_under_the_new_one(world: World, tmp_path: Path) -> None:
    """Three messages are refused, refused, and held; the last one comes first under its new number."""
    prison, csw = world.prison, world.social_work
    thread, backup = await backed_up(world, tmp_path / "backup")
    await send_on(prison, thread, csw)
    await settle(prison, csw)
    async with new_machine(world, prison, tmp_path / "again", backup) as again:
        await csw.look()
        said = await send_on(again, thread, csw, 3)
        await csw.collect()
        assert await held(csw) == 1
        await csw.seal_and_send()
        await again.turn()
        assert [(await sent(again, one, csw)).seq for one in said] == [3, 4, 5]
        first, second, third = await items_of(csw)
        await csw.parts.inbox.take((third,))
        assert await held(csw) == 1
        async with csw.parts.store.read() as tx:
            waiting = await incoming.known(tx, said[2], prison.desk, csw.desk)
        assert waiting is not None
        assert (waiting.seq, waiting.previous) == (5, said[1])
        await csw.parts.inbox.take((first, second))
        assert await held(csw) == 0
        await settle(again, csw)
        assert [one for _, _, one in await line_of(csw, thread, prison)][2:] == said


async def test_seq_12_a_message_whose_place_one_of_the_lost_machine_waits_at_comes_again(
    world: World, tmp_path: Path
) -> None:
    """What the lost machine said second is held, what it said first never comes: which is right is not known yet."""
    prison, csw = world.prison, world.social_work
    thread, backup = await backed_up(world, tmp_path / "backup")
    gone = await send_on(prison, thread, csw, 2)
    world.hub.clock.advance(HOUR)
    _, second = await items_of(csw)
    await csw.take((second,))
    assert await held(csw) == 1
    async with new_machine(world, prison, tmp_path / "again", backup) as again:
        await csw.look()
        said = await send_on(again, thread, csw, 3)
        waiting = await items_of(csw)
        await csw.take(waiting[1:])
        await settle(again, csw)
        world.hub.clock.advance(DAY)
        await ask_until_quiet(world, again, csw)
        await settle(again, csw)
        arrived = [one for _, _, one in await line_of(csw, thread, prison)]
        assert [one for one in arrived if one in said] == said
        assert len(arrived) == len(set(arrived))
        for message_id in said:
            assert (await sent(again, message_id, csw)).state is RecipientState.OPENED
        assert await held(csw) == 0
        assert gone


async def test_seq_12_a_sender_that_alone_has_numbered_a_line_takes_a_fork_for_a_lie(world: World) -> None:
    prison, csw = world.prison, world.social_work
    referred = await refer(prison, csw)
    await prison.seal_and_send()
    await say_fork(csw, prison, referred.message_id, referred.thread, Position(3, MessageId(new_id())))
    assert await prison.quarantined() == ["policy-denied"]
    stands = await sent(prison, referred.message_id, csw)
    assert (stands.seq, stands.previous, stands.state) == (1, None, RecipientState.ACCEPTED)
    assert (await shown(prison, referred.thread, world)).forgotten == []


async def test_seq_12_a_desk_moves_nothing_but_what_it_has_not_opened_since_the_restore_and_only_so_far(
    world: World, tmp_path: Path
) -> None:
    prison, csw, office = world.prison, world.social_work, world.probation
    referred = await refer(prison, csw)
    thread, other = referred.thread, (await refer(prison, csw)).thread
    await settle(prison, csw)
    backup = back_up(prison, tmp_path / "backup")
    async with new_machine(world, prison, tmp_path / "again", backup) as again:
        await csw.look()
        await office.look()
        (opened,) = await send_on(again, thread, csw)
        await settle(again, csw)
        (waits,) = await send_on(again, thread, csw)
        anything = Position(5, MessageId(new_id()))
        await say_fork(csw, again, referred.message_id, thread, anything)
        await say_fork(csw, again, waits, other, anything)
        await say_fork(office, again, waits, thread, anything)
        await say_fork(csw, again, waits, thread, Position(20_000, MessageId(new_id())))
        assert await again.quarantined() == ["policy-denied"] * 4
        await say_fork(csw, again, opened, thread, anything)
        await say_fork(csw, again, MessageId(new_id()), thread, anything)
        assert len(await again.quarantined()) == 4
        numbers = [await sent(again, one, csw) for one in (referred.message_id, opened, waits)]
        assert [(one.seq, one.seals) for one in numbers] == [(1, 1), (2, 1), (3, 1)]
        # A lie about a message that it has not opened costs the liar alone, and a lower place is none.
        await say_fork(csw, again, waits, thread, anything)
        await again.seal_and_send()
        moved = await sent(again, waits, csw)
        assert (moved.seq, moved.previous, moved.seals) == (6, anything.last, 2)
        await say_fork(csw, again, waits, thread, Position(4, MessageId(new_id())))
        assert (await sent(again, waits, csw)).seq == 6
        line = Line(Direction.OUT, thread, again.desk, csw.desk, MAIN)
        async with again.parts.store.read() as tx:
            assert await sequences.position(tx, line) == Position(6, waits)


async def test_seq_12_a_liar_has_a_message_sealed_no_more_often_than_anybody(world: World, tmp_path: Path) -> None:
    prison, csw = world.prison, world.social_work
    thread, backup = await backed_up(world, tmp_path / "backup")
    async with new_machine(world, prison, tmp_path / "again", backup) as again:
        await csw.look()
        (waits,) = await send_on(again, thread, csw)
        for seq in range(2, 40):
            await say_fork(csw, again, waits, thread, Position(seq, MessageId(new_id())))
            await again.seal_and_send()
        told_to = await sent(again, waits, csw)
        assert told_to.seals <= 6, "the pauses of SEQ-6 hold"


async def test_seq_12_a_second_restore_leaves_known_what_the_first_did_not_know(world: World, tmp_path: Path) -> None:
    prison, csw = world.prison, world.social_work
    thread, first = await backed_up(world, tmp_path / "first")
    await send_on(prison, thread, csw)
    await settle(prison, csw)
    async with new_machine(world, prison, tmp_path / "again", first) as again:
        await csw.look()
        said = await send_on(again, thread, csw)
        async with again.parts.store.read() as tx:
            behind = await restored.behind(tx)
        second = back_up(again, tmp_path / "second")
    async with new_machine(world, prison, tmp_path / "once more", second) as once_more:
        await csw.look()
        async with once_more.parts.store.read() as tx:
            assert await restored.behind(tx) == behind
        await settle(once_more, csw)
        assert (await sent(once_more, said[0], csw)).state is RecipientState.OPENED
        assert [one for _, _, one in await line_of(csw, thread, prison)][2:] == said


async def test_seq_12_a_fork_is_told_once_for_each_envelope(world: World, tmp_path: Path) -> None:
    prison, csw = world.prison, world.social_work
    thread, backup = await backed_up(world, tmp_path / "backup")
    await send_on(prison, thread, csw)
    await settle(prison, csw)
    async with new_machine(world, prison, tmp_path / "again", backup) as again:
        await csw.look()
        await send_on(again, thread, csw)
        (refused,) = await items_of(csw)
        for _ in range(2):
            await csw.parts.inbox.reconnected()
            await csw.parts.inbox.take((refused,))
        async with csw.parts.store.read() as tx:
            said = await tx.connection.scalars(
                select(tables.outgoing.c.message_id).where(tables.outgoing.c.payload_type == FORK)
            )
            assert len(said.all()) == 1


async def test_seq_12_an_accepted_handover_keeps_its_history_where_nothing_was_lost(
    world: World, tmp_path: Path
) -> None:
    """A planned move to another machine: the backup has all, and nobody hears of any fork."""
    prison, office, csw = world.prison, world.probation, world.social_work
    thread = await accepted(world)
    backup = back_up(office, tmp_path / "backup")
    async with new_machine(world, office, tmp_path / "again", backup) as again:
        await prison.look()
        await send_on(again, thread, prison)
        await settle(prison, again, csw)
        assert await prison.quarantined() == await again.quarantined() == []
        assert (await shown(again, thread, world)).forgotten == []
