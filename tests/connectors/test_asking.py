# SPDX-License-Identifier: Apache-2.0
"""What is missing is asked for, and comes: after a machine was lost, and wherever something never arrived (SEQ-10)."""

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.dialects import sqlite

from connectors import asking
from connectors.receipts import MISSING, ask
from connectors.store import asked, outgoing, recipients, tables
from connectors.store.recipients import Plan, RecipientState
from connectors.timing import MOST_SEALS
from protocol.http.handovers import MessageState
from protocol.ids import MessageId, ThreadId, new_id
from protocol.limits import DAY, HOUR, MINUTE
from tests.connectors.cases.test_handover import do as step
from tests.connectors.cases.test_handover import lead, offer
from tests.connectors.cases.test_referral import agreed, history, refer, row, settle
from tests.connectors.conftest import World
from tests.connectors.hand import Hand, items_of, only_recipient
from tests.connectors.restoring import back_up, new_machine
from tests.connectors.stations import Station, open_station
from tests.connectors.test_attachments import carry, fetch, send, store

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


async def ask_until_quiet(world: World, *stations: Station) -> int:
    """Let time pass and everybody work until nobody asks for anything more; return how often somebody asked."""
    times = 0
    for _ in range(20):
        world.hub.clock.advance(asking.PATIENCE)
        now = sum([await one.parts.asking.step() for one in stations])
        await settle(*stations)
        if not now:
            return times
        times += now
    pytest.fail("somebody asks for ever")


async def state_of(station: Station, message_id: MessageId, to: Station) -> RecipientState:
    async with station.parts.store.read() as tx:
        return (await recipients.find(tx, message_id, to.desk)).state


async def questions(station: Station) -> int:
    """Return how often `station` has asked for something."""
    asking_for = select(func.count()).where(tables.outgoing.c.payload_type == MISSING)
    async with station.parts.store.read() as tx:
        return int(await tx.connection.scalar(asking_for) or 0)


async def held(station: Station) -> int:
    return (await station.parts.overview.status()).counts.held


@pytest.mark.parametrize("backed_up", [True, False], ids=["from a backup", "enrolled anew"])
async def test_seq_10_a_new_machine_gets_what_the_lost_one_had_opened_and_no_more_is_answered_before_it_has_its_effect(
    world: World, tmp_path: Path, backed_up: bool
) -> None:
    prison, office, csw = world.prison, world.probation, world.social_work
    thread = await offer(world)
    backup = back_up(office, tmp_path / "backup") if backed_up else None
    await step(prison, thread, "bind", statute="probation-act-12")
    await settle(prison, office, csw)
    world.hub.clock.advance(HOUR)
    async with new_machine(world, office, tmp_path / "again", backup) as again:
        await prison.look()
        await step(prison, thread, "take-effect", effective_at=world.hub.clock())
        await settle(prison, again, csw)
        assert await held(again) == 1
        offered, bound, effective = [
            one.move.message_id for one in (await history(prison, thread)).done if one.move.event != "receive"
        ]
        assert await state_of(prison, bound, again) is RecipientState.OPENED
        assert await state_of(prison, effective, again) is RecipientState.ACCEPTED, "what waits is not opened"
        assert await ask_until_quiet(world, prison, again) == (1 if backed_up else 2)
        assert await held(again) == 0
        leads = [await lead(one, thread, world) for one in (prison, again)]
        assert leads == ["reka-probation@hub.example"] * 2, "exactly one leads, and both say which (HAN-2)"
        for message_id in (offered, bound, effective):
            assert await state_of(prison, message_id, again) is RecipientState.OPENED
        assert await prison.quarantined() == await again.quarantined() == []


async def test_seq_10_a_long_line_is_walked_back_without_waiting_at_each_step(world: World, tmp_path: Path) -> None:
    prison, csw = world.prison, world.social_work
    referred = await refer(prison, csw)
    await settle(prison, csw)
    backup = back_up(csw, tmp_path / "backup")
    for _ in range(4):
        await follow_up(prison, referred.message_id, csw)
    await settle(prison, csw)
    async with new_machine(world, csw, tmp_path / "again", backup) as again:
        await prison.look()
        await follow_up(prison, referred.message_id, csw)
        await settle(prison, again)
        world.hub.clock.advance(asking.PATIENCE)
        for _ in range(4):
            assert await again.parts.asking.step() == 1
            world.hub.clock.advance(1)
            await settle(prison, again)
        assert await again.parts.asking.step() == 0
        assert await held(again) == 0
        assert await again.quarantined() == []


async def follow_up(station: Station, first: MessageId, to: Station) -> MessageId:
    """Send another message in the thread of `first`."""
    async with station.parts.store.write() as tx:
        message = await outgoing.load(tx, first)
        now = station.parts.sealer._clock()
        another = replace(message, message_id=MessageId(new_id()), created_at=now, deadline=now + 100 * DAY)
        await outgoing.add(tx, another, {to.desk: Plan()})
    await station.seal_and_send()
    return another.message_id


async def test_seq_10_what_is_merely_late_is_not_asked_for_and_what_stays_away_with_growing_pauses(
    world: World, tmp_path: Path
) -> None:
    prison, csw = world.prison, world.social_work
    first = await prison.send(csw.desk)
    second = await follow_up(prison, first, csw)
    late, early = await items_of(csw)
    await csw.take((early,))
    assert await held(csw) == 1
    world.hub.clock.advance(asking.PATIENCE - 1)
    assert await csw.parts.asking.step() == 0
    assert await csw.parts.asking.next_due() == world.hub.clock() + 1
    world.hub.clock.advance(1)
    assert await csw.parts.asking.step() == 1
    # A restart remembers what was asked for, and when.
    async with open_station(csw.folder, csw.member, csw.installation, world.hub.clock) as restarted:
        assert await restarted.parts.asking.step() == 0
        pauses = list[int]()
        for _ in range(asking.MOST_TIMES - 1):
            due = await restarted.parts.asking.next_due()
            assert due is not None
            pauses.append(due - world.hub.clock())
            world.hub.clock.advance(pauses[-1])
            assert await restarted.parts.asking.step() == 1
        assert max(pauses[:2]) <= 20 * MINUTE
        assert all(DAY // 2 <= pause <= DAY for pause in pauses[8:])
        assert await restarted.parts.asking.next_due() is None
        world.hub.clock.advance(365 * DAY)
        assert await restarted.parts.asking.step() == 0
    assert await questions(csw) == asking.MOST_TIMES
    await csw.parts.inbox.take((late,))
    assert await held(csw) == 0
    await csw.parts.asking.step()
    async with csw.parts.store.read() as tx:
        assert not await asked.any_noted(tx), "what has come is forgotten"
    assert [(await csw.view(one)).state for one in (first, second)] == [MessageState.RECEIVED] * 2


async def test_seq_10_a_message_that_a_hub_withholds_is_sealed_anew_when_it_is_asked_for_and_its_sender_sees_why(
    world: World,
) -> None:
    """Section 5, attack 8: a hub that freezes a thread by withholding one envelope."""
    prison, probation = world.prison, world.probation
    first = await prison.send(probation.desk)
    await follow_up(prison, first, probation)
    _, shown = await items_of(probation)
    await probation.take((shown,))
    await probation.seal_and_send()
    await prison.collect()
    recipient = await only_recipient(prison, first)
    assert (recipient.state, recipient.error) == (MessageState.ACCEPTED, None)
    world.hub.clock.advance(asking.PATIENCE)
    await probation.parts.asking.step()
    await probation.seal_and_send()
    await prison.collect()
    recipient = await only_recipient(prison, first)
    assert (recipient.state, recipient.error) == (MessageState.QUEUED, "sequence-error")
    assert recipient.detail is not None
    assert "asked for it" in recipient.detail
    await settle(prison, probation)
    recipient = await only_recipient(prison, first)
    assert (recipient.state, recipient.error, recipient.attempts) == (MessageState.OPENED, None, 2)
    assert await held(probation) == 0


async def test_seq_10_a_question_that_is_older_than_the_newest_sealing_changes_nothing(world: World) -> None:
    prison, csw = world.prison, world.social_work
    referred = await refer(prison, csw)
    await prison.seal_and_send()
    question = await asks(csw, referred.message_id, referred.thread, prison)
    await prison.collect()
    assert await state_of(prison, referred.message_id, csw) is RecipientState.ACCEPTED, "at the same moment"
    world.hub.clock.advance(1)
    await csw.collect()
    await csw.seal_and_send()
    await prison.collect()
    assert await state_of(prison, referred.message_id, csw) is RecipientState.OPENED
    assert question


async def asks(station: Station, message_id: MessageId, thread: ThreadId, to: Station) -> MessageId:
    """Have a connector ask for whatever somebody likes to ask for."""
    now = station.parts.sealer._clock()
    question = ask(
        message_id, thread=thread, sender=station.desk, actor=station.member.actor, now=now, deadline=now + DAY
    )
    async with station.parts.store.write() as tx:
        await outgoing.add(tx, question, {to.desk: Plan()})
    await station.seal_and_send()
    return question.message_id


async def test_seq_10_nobody_can_ask_for_what_it_was_not_sent_or_in_another_thread(world: World) -> None:
    prison, csw, stranger = world.prison, world.social_work, world.probation
    referred, other = await refer(prison, csw), await refer(prison, csw)
    await settle(prison, csw)
    world.hub.clock.advance(MINUTE)
    await asks(stranger, referred.message_id, referred.thread, prison)
    await asks(csw, referred.message_id, other.thread, prison)
    await asks(csw, MessageId(new_id()), referred.thread, prison)
    await prison.collect()
    assert await prison.quarantined() == ["policy-denied"] * 3
    assert await state_of(prison, referred.message_id, csw) is RecipientState.OPENED
    assert await prison.seal_and_send() == 0


async def test_seq_10_a_receipt_is_never_asked_for(world: World) -> None:
    prison, csw = world.prison, world.social_work
    referred = await refer(prison, csw)
    await settle(prison, csw)
    async with csw.parts.store.read() as tx:
        receipt = (await outgoing.in_thread(tx, referred.thread, "receipt.opened"))[0]
    world.hub.clock.advance(MINUTE)
    await asks(prison, receipt.message_id, referred.thread, csw)
    await csw.collect()
    assert await csw.quarantined() == ["policy-denied"]


async def test_seq_10_asking_is_bounded_as_sealing_anew_is(world: World) -> None:
    prison, csw = world.prison, world.social_work
    referred = await refer(prison, csw)
    await settle(prison, csw)
    async with prison.parts.store.write() as tx:
        await tx.connection.execute(update(tables.recipient).values(seals=MOST_SEALS - 1))
    for expected in (RecipientState.QUEUED, RecipientState.OPENED):
        world.hub.clock.advance(MINUTE)
        await asks(csw, referred.message_id, referred.thread, prison)
        await prison.collect()
        assert await state_of(prison, referred.message_id, csw) is expected
        async with prison.parts.store.read() as tx:
            waiting = await recipients.find(tx, referred.message_id, csw.desk)
        if expected is RecipientState.QUEUED:
            assert waiting.next_try_at - world.hub.clock() > HOUR, "the pauses of SEQ-6 hold"
            world.hub.clock.advance(DAY)
            await settle(prison, csw)
    assert await agreed(referred.thread, prison, csw) == "delivered"


async def test_seq_10_what_was_opened_is_sealed_anew_after_its_deadline_too(world: World, tmp_path: Path) -> None:
    prison, csw = world.prison, world.social_work
    referred = await refer(prison, csw)
    await settle(prison, csw)
    async with prison.parts.store.write() as tx:
        await tx.connection.execute(update(tables.outgoing).values(deadline=world.hub.clock() + HOUR))
    world.hub.clock.advance(2 * HOUR)
    async with new_machine(world, csw, tmp_path / "again") as again:
        await prison.look()
        await follow_up(prison, referred.message_id, again)
        await settle(prison, again)
        assert await ask_until_quiet(world, prison, again) == 1
        assert (await row(again, referred.thread)).state == "delivered"


async def test_seq_10_gaps_are_found_without_walking_through_all_that_ever_came(world: World) -> None:
    compiled = asked._MISSING.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True})
    async with world.probation.parts.store.read() as tx:
        plan = await tx.connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {compiled}")
        steps = [row.detail for row in plan]
    assert "SCAN incoming USING INDEX ix_incoming_waiting" in steps, steps


async def test_con_4_a_message_that_waits_for_a_gap_is_opened_when_it_is_released(world: World) -> None:
    hand, thread = Hand(world), ThreadId(new_id())
    first, second = (hand.seal(world.probation.desk, thread=thread) for _ in range(2))
    await hand.submit(second)
    await world.probation.collect()
    assert await answered(world.probation) == 0
    await hand.submit(first)
    await world.probation.collect()
    assert await answered(world.probation) == 2


async def test_con_4_a_message_that_is_sealed_anew_while_its_first_copy_waits_is_not_opened(world: World) -> None:
    prison, csw = world.prison, world.social_work
    first = await prison.send(csw.desk)
    second = await follow_up(prison, first, csw)
    late, early = await items_of(csw)
    await csw.take((early,))
    async with prison.parts.store.write() as tx:
        await recipients.requeue(tx, await recipients.find(tx, second, csw.desk), now=0, error=None)
    await prison.seal_and_send()
    again = (await items_of(csw))[-1]
    assert again.index not in (late.index, early.index)
    await csw.parts.inbox.take((again,))
    assert await answered(csw) == 0
    assert await held(csw) == 1
    await csw.parts.inbox.take((late,))
    assert await answered(csw) == 2


@pytest.mark.parametrize("fetched_first", [True, False], ids=["fetched first", "released first"])
async def test_att_7_a_message_with_attachments_that_waits_is_opened_at_the_later_of_both(
    world: World, fetched_first: bool
) -> None:
    prison, csw = world.prison, world.social_work
    sent = await send(world, (await store(prison, b"a scan"), 1))
    async with prison.parts.store.write() as tx:
        # As if the desk had been sent another before, which comes later.
        before = replace(await outgoing.load(tx, sent), message_id=MessageId(new_id()), attachments=())
        await outgoing.add(tx, before, {csw.desk: Plan()})
        places = {sent: (2, before.message_id), before.message_id: (1, None)}
        for message_id, (seq, previous) in places.items():
            of_csw = (tables.recipient.c.message_id == message_id) & (tables.recipient.c.desk == csw.desk)
            await tx.connection.execute(update(tables.recipient).where(of_csw).values(seq=seq, previous=previous))
    await carry(prison)
    early, late = await items_of(csw)
    await csw.take((early,))
    assert await held(csw) == 1
    if fetched_first:
        await csw.parts.downloads.step()
    else:
        await csw.parts.inbox.take((late,))
    assert await answered(csw) == int(not fetched_first), "of the one without attachments"
    await csw.parts.inbox.take((late,))
    await csw.parts.downloads.step()
    assert await answered(csw) == 2
    await csw.seal_and_send()
    await prison.collect()
    assert (await prison.states(sent))[csw.desk] is MessageState.OPENED


async def test_seq_10_what_comes_again_comes_without_attachments_that_its_sender_has_deleted(
    world: World, tmp_path: Path
) -> None:
    prison, csw = world.prison, world.social_work
    sent = await send(world, (await store(prison, b"a scan"), 1))
    await carry(prison)
    for station in (csw, world.probation):
        await fetch(station)
        await station.seal_and_send()
    await prison.collect()
    await prison.parts.attachments.sweep()
    async with new_machine(world, csw, tmp_path / "again") as again:
        await prison.look()
        await follow_up(prison, sent, again)
        await settle(prison, again)
        assert await ask_until_quiet(world, prison, again) == 1
        view = await again.view(sent)
        assert (view.state, [section.attachments for section in view.sections]) == (MessageState.RECEIVED, [[]])
        shown = {one.desk: one for one in (await prison.view(sent)).recipients}[csw.desk]
        assert (shown.state, shown.marks) == (MessageState.OPENED, ["without-attachments"])


async def answered(station: Station) -> int:
    async with station.parts.store.read() as tx:
        counted = select(func.count()).where(tables.outgoing.c.payload_type == "receipt.opened")
        return int(await tx.connection.scalar(counted) or 0)
