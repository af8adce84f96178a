# SPDX-License-Identifier: Apache-2.0
"""What will not come is said, and both sides go on and tell one history (SEQ-11, HAN-2)."""

from pathlib import Path

import pytest
from sqlalchemy import ColumnElement, func, select, update

from connectors.cases.listing import Listing
from connectors.receipts import GIVEN_UP, give_up
from connectors.store import forgotten, lost, outgoing, recipients, tables
from connectors.store.pruning import EVIDENCE_KEPT
from connectors.store.recipients import Plan, RecipientState
from connectors.timing import FREE_SEALS, MOST_SEALS
from protocol.http.handovers import MessageState
from protocol.http.threads import ThreadView
from protocol.ids import MessageId, ThreadId, new_id
from protocol.limits import DAY, HOUR, MINUTE
from protocol.sequence import Position
from tests.connectors.cases.test_handover import ACCEPT, TAKEN_UP, do, lead, offer
from tests.connectors.cases.test_referral import row, settle
from tests.connectors.conftest import World
from tests.connectors.hand import items_of
from tests.connectors.restoring import back_up, new_machine
from tests.connectors.stations import Station
from tests.connectors.test_asking import ask_until_quiet, asks, follow_up, held, state_of

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

GORA = "gora-prison@hub.example"
OFFICE = "reka-probation@hub.example"


async def accepted(world: World) -> ThreadId:
    """Return a handover that the office has accepted."""
    thread = await offer(world)
    await do(world.probation, thread, "acknowledge", **TAKEN_UP)
    await do(world.probation, thread, "accept", **ACCEPT)
    await settle(world.prison, world.probation, world.social_work)
    return thread


async def newest(station: Station, thread: ThreadId) -> MessageId:
    """Return the newest message of a connector's own in a thread, receipts excepted."""
    async with station.parts.store.read() as tx:
        found = await tx.connection.scalars(
            select(tables.outgoing.c.message_id)
            .where(tables.outgoing.c.thread == thread, tables.outgoing.c.klass.not_in([2, 5]))
            .order_by(tables.outgoing.c.position.desc())
            .limit(1)
        )
        return MessageId(found.one())


async def exhaust(station: Station, message_id: MessageId, desk: Station) -> None:
    """Let a desk have had a message sealed for it as often as that is done, and lose the last one too."""
    async with station.parts.store.write() as tx:
        here = (tables.recipient.c.message_id == message_id) & (tables.recipient.c.desk == desk.desk)
        await tx.connection.execute(update(tables.recipient).where(here).values(seals=MOST_SEALS))
        await recipients.requeue(tx, await recipients.find(tx, message_id, desk.desk), now=0, error="cannot-open")


async def shown(station: Station, thread: ThreadId, world: World) -> ThreadView:
    return await Listing(station.parts.store, station.parts.threads, world.hub.clock).show(thread)


async def told(station: Station) -> list[str]:
    async with station.parts.store.read() as tx:
        return list(await tx.connection.scalars(select(tables.event.c.type).order_by(tables.event.c.position)))


async def drain(station: Station) -> None:
    """Let a hub lose what waits for a desk: it is acknowledged and never taken in."""
    items = await items_of(station)
    if items:
        await station.link.acknowledge(items[-1].index)


async def given_up_instant(world: World, thread: ThreadId) -> MessageId:
    """Let the instant of a handover never reach the office, and the prison give it up."""
    prison, office = world.prison, world.probation
    await do(prison, thread, "take-effect", effective_at=world.hub.clock())
    await prison.seal_and_send()
    await drain(office)
    instant = await newest(prison, thread)
    assert await lead(prison, thread, world) == OFFICE
    await exhaust(prison, instant, office)
    assert await prison.parts.owing.step() == 1
    return instant


async def test_seq_11_han_2_a_move_that_was_given_up_has_no_force_and_exactly_one_agency_leads(world: World) -> None:
    prison, office = world.prison, world.probation
    thread = await accepted(world)
    instant = await given_up_instant(world, thread)
    await settle(prison, office, world.social_work)
    assert await lead(prison, thread, world) == await lead(office, thread, world) == GORA
    assert (await row(prison, thread)).state == (await row(office, thread)).state == "accepted"
    refused = [(one.message, one.refused) for one in (await shown(prison, thread, world)).steps if one.refused]
    assert refused == [(instant, "given-up")]
    for station in (prison, office):
        view = await shown(station, thread, world)
        assert [(one.message, one.sender, one.recipient) for one in view.lost] == [(instant, prison.desk, office.desk)]
        assert view.item.alert == "message-lost"
        assert (await told(station)).count("message.lost") == 1
    # The place is passed: what follows has its effect, and the office leads now at both.
    await do(prison, thread, "take-effect", effective_at=world.hub.clock())
    await settle(prison, office, world.social_work)
    assert await lead(prison, thread, world) == await lead(office, thread, world) == OFFICE
    assert await held(office) == 0
    assert await prison.quarantined() == await office.quarantined() == []


async def opened_unheard(world: World) -> ThreadId:
    """Return a handover whose instant the office has, its receipt was never sent, and the prison has given it up."""
    prison, office = world.prison, world.probation
    thread = await accepted(world)
    await do(prison, thread, "take-effect", effective_at=world.hub.clock())
    await prison.seal_and_send()
    await office.collect()
    async with office.parts.store.write() as tx:
        newest_receipt = select(tables.outgoing.c.message_id).order_by(tables.outgoing.c.position.desc()).limit(1)
        await tx.connection.execute(
            update(tables.recipient)
            .where(tables.recipient.c.message_id == newest_receipt.scalar_subquery())
            .values(state="accepted")
        )
    await world.social_work.turn()
    await prison.collect()
    await exhaust(prison, await newest(prison, thread), office)
    assert await prison.parts.owing.step() == 1
    assert await lead(prison, thread, world) == GORA
    return thread


async def test_seq_11_a_late_a1_gives_a_move_its_force_again(world: World) -> None:
    prison, office = world.prison, world.probation
    thread = await opened_unheard(world)
    await settle(prison, office, world.social_work)
    assert await lead(prison, thread, world) == await lead(office, thread, world) == OFFICE
    assert (await shown(prison, thread, world)).lost == (await shown(office, thread, world)).lost == []
    assert (await row(prison, thread)).alert is None


async def test_seq_11_han_2_a_word_that_expired_unheard_is_said_again_and_both_tell_one_history(world: World) -> None:
    """The office is away for longer than the word lives: else the prison would believe for ever that it leads."""
    prison, office = world.prison, world.probation
    prison.parts.owing._message_life = 10 * DAY
    thread = await opened_unheard(world)
    told_of = (await told(prison)).count("message.lost")
    for times in (1, 2):
        world.hub.clock.advance(11 * DAY)
        await prison.look()
        await prison.parts.sealer.step()
        assert await prison.parts.owing.step() == 1, f"said again, {times}"
        assert await prison.parts.owing.step() == 0
    assert (await told(prison)).count("message.lost") == told_of, "it was lost once"
    for station in (office, prison, world.social_work):
        await station.look()
    await settle(prison, office, world.social_work)
    assert await lead(prison, thread, world) == await lead(office, thread, world) == OFFICE
    assert await prison.parts.owing.step() == 0
    # Of what was lost years ago nobody needs to hear any more.
    async with prison.parts.store.write() as tx:
        await tx.connection.execute(update(tables.recipient).values(state="expired", told_at=1))
        await tx.connection.execute(update(tables.recipient).where(of_words()).values(told_at=None))
    world.hub.clock.advance(EVIDENCE_KEPT)
    assert await prison.parts.owing.step() > 0
    async with prison.parts.store.read() as tx:
        assert await tx.connection.scalar(select(func.count()).where(of_words())) == 3


def of_words() -> ColumnElement[bool]:
    words = select(tables.outgoing.c.message_id).where(tables.outgoing.c.payload_type == GIVEN_UP)
    return tables.recipient.c.message_id.in_(words)


async def test_seq_11_a_new_device_gets_what_the_old_one_could_not_open_and_it_has_its_force_again(
    world: World, tmp_path: Path
) -> None:
    prison, office = world.prison, world.probation
    thread = await accepted(world)
    instant = await given_up_instant(world, thread)
    await settle(prison, office, world.social_work)
    backup = back_up(office, tmp_path / "backup")
    world.hub.clock.advance(HOUR)
    async with new_machine(world, office, tmp_path / "again", backup) as again:
        await prison.look()
        assert await state_of(prison, instant, office) is RecipientState.QUEUED
        await settle(prison, again, world.social_work)
        assert await state_of(prison, instant, office) is RecipientState.OPENED
        assert await lead(prison, thread, world) == await lead(again, thread, world) == OFFICE
        assert (await shown(again, thread, world)).lost == []
        assert await again.quarantined() == []


async def test_seq_11_complaints_end_nothing_before_all_sealings_are_used(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = FREE_SEALS + 2
    monkeypatch.setattr(recipients, "MOST_SEALS", most)
    prison, office = world.prison, world.probation
    sent = await prison.send(office.desk)
    for name in office.installation.keystore.names("prekey-"):
        office.installation.keystore.destroy(name)
    for _ in range(most - 1):
        await office.turn()
        await prison.collect()
        async with prison.parts.store.read() as tx:
            waiting = await recipients.find(tx, sent, office.desk)
        assert waiting.state is RecipientState.QUEUED
        world.hub.clock.advance(max(0, waiting.next_try_at - world.hub.clock()))
        async with prison.parts.store.write() as tx:
            # Weeks pass in which nobody looks at the directory.
            await tx.connection.execute(update(tables.recipient).values(next_try_at=0))
        for station in (prison, office):
            await station.parts.directory.sync()
        await prison.seal_and_send()
    await office.turn()
    await prison.collect()
    assert await state_of(prison, sent, office) is RecipientState.FAILED


async def test_seq_11_what_waits_behind_a_message_that_was_given_up_is_released(world: World) -> None:
    prison, csw = world.prison, world.social_work
    first = await prison.send(csw.desk)
    await settle(prison, csw)
    gone = [await follow_up(prison, first, csw) for _ in range(2)]
    await drain(csw)
    last = await follow_up(prison, first, csw)
    await csw.collect()
    assert await held(csw) == 1
    for message_id in reversed(gone):
        # The later one is known first: its place waits for the earlier one's.
        await exhaust(prison, message_id, csw)
        await prison.parts.owing.step()
        await settle(prison, csw)
    assert await held(csw) == 0
    assert (await csw.view(last)).state is MessageState.RECEIVED
    assert [await state_of(prison, one, csw) for one in (*gone, last)] == [
        RecipientState.FAILED,
        RecipientState.FAILED,
        RecipientState.OPENED,
    ]
    async with csw.parts.store.read() as tx:
        thread = (await csw.view(first)).thread
        assert [one.message_id for one in await lost.of(tx, [thread])] == gone


async def test_seq_11_a_message_that_was_given_up_before_a_crash_is_passed_at_the_next_link(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    prison, csw = world.prison, world.social_work
    first = await prison.send(csw.desk)
    await settle(prison, csw)
    gone = await follow_up(prison, first, csw)
    await drain(csw)
    await follow_up(prison, first, csw)
    await csw.collect()
    await exhaust(prison, gone, csw)
    await prison.parts.owing.step()
    await prison.seal_and_send()

    async def killed() -> None:
        """Die before anything is released."""

    with monkeypatch.context() as patched:
        patched.setattr(csw.parts.inbox, "_release", killed)
        await csw.collect()
    assert await held(csw) == 1
    csw.parts.inbox._delivery.released.clear()
    await csw.parts.inbox.reconnected()
    assert await held(csw) == 0


async def test_seq_11_who_asks_for_what_was_given_up_is_told_again(world: World) -> None:
    prison, csw = world.prison, world.social_work
    first = await prison.send(csw.desk)
    await settle(prison, csw)
    gone = await follow_up(prison, first, csw)
    await drain(csw)
    await exhaust(prison, gone, csw)
    await prison.parts.owing.step()
    await prison.seal_and_send()
    await drain(csw)
    await follow_up(prison, first, csw)
    await csw.collect()
    assert await held(csw) == 1
    await ask_until_quiet(world, prison, csw)
    assert await held(csw) == 0


async def test_seq_11_a_machine_that_lost_what_it_sent_says_so_and_the_line_goes_on(
    world: World, tmp_path: Path
) -> None:
    prison, csw = world.prison, world.social_work
    first = await prison.send(csw.desk)
    await settle(prison, csw)
    thread = (await csw.view(first)).thread
    backup = back_up(prison, tmp_path / "backup")
    gone = [await follow_up(prison, first, csw) for _ in range(2)]
    await drain(csw)
    last = await follow_up(prison, first, csw)
    await csw.collect()
    assert await held(csw) == 1
    async with new_machine(world, prison, tmp_path / "again", backup) as again:
        await csw.look()
        await ask_until_quiet(world, again, csw)
        assert await held(csw) == 0
        assert (await csw.view(last)).state is MessageState.RECEIVED
        async with csw.parts.store.read() as tx:
            assert [one.message_id for one in await lost.of(tx, [thread])] == gone[-1:]
        assert await csw.quarantined() == []
        assert await again.quarantined() == []
        async with again.parts.store.read() as tx:
            (unknown,) = await forgotten.of(tx, thread)
        assert (unknown.sender, unknown.recipient) == (prison.desk, csw.desk), "its officers hear of it (SEQ-12)"


async def gives_up(
    station: Station, message_id: MessageId, place: Position | None, thread: ThreadId, to: Station
) -> None:
    """Have a connector give up whatever a liar likes."""
    now = station.parts.sealer._clock()
    word = give_up(
        message_id, place, thread=thread, sender=station.desk, actor=station.member.actor, now=now, deadline=now + DAY
    )
    async with station.parts.store.write() as tx:
        await outgoing.add(tx, word, {to.desk: Plan()})
    await station.seal_and_send()


async def test_seq_11_nobody_gives_up_what_is_another_s_and_a_lie_harms_only_the_liar_s_own_line(world: World) -> None:
    prison, csw, stranger = world.prison, world.social_work, world.probation
    first = await prison.send(csw.desk)
    await settle(prison, csw)
    thread = (await csw.view(first)).thread
    second, third = await follow_up(prison, first, csw), await follow_up(prison, first, csw)
    _, early = await items_of(csw)
    await csw.take((early,))
    for place in (Position(2, first), None):
        await gives_up(stranger, second, place, thread, csw)
    await csw.collect()
    assert await held(csw) == 1
    # The sender itself names another message before it than came: that place is not passed.
    await gives_up(prison, second, Position(2, third), thread, csw)
    await csw.collect()
    assert await held(csw) == 1
    await settle(prison, csw)
    await ask_until_quiet(world, prison, csw)
    assert await held(csw) == 0
    assert [(await csw.view(one)).state for one in (second, third)] == [MessageState.RECEIVED] * 2
    async with csw.parts.store.read() as tx:
        assert [one for one in await lost.of(tx, [thread]) if one.sender == prison.desk] == []


async def test_seq_11_lif_6_a_third_agency_raises_no_alert_in_a_thread_of_two_others(world: World) -> None:
    prison, office, copied = world.prison, world.probation, world.social_work
    thread = await accepted(world)
    before = await row(prison, thread)
    await gives_up(copied, MessageId(new_id()), Position(1, None), thread, prison)
    await prison.collect()
    assert await prison.quarantined() == []
    assert (await told(prison)).count("message.lost") == 1, "its line goes on"
    assert await row(prison, thread) == before
    await do(prison, thread, "change-date", trigger={"expected_on": "2027-03-01"}, reason="release-moved")
    await settle(prison, office, copied)
    assert (await row(prison, thread)).alert is (await row(office, thread)).alert is None


async def test_seq_11_an_unknown_message_is_given_up_only_where_a_machine_before_this_one_may_have_sent_it(
    world: World,
) -> None:
    prison, csw = world.prison, world.social_work
    first = await prison.send(csw.desk)
    await settle(prison, csw)
    world.hub.clock.advance(MINUTE)
    await asks(csw, MessageId(new_id()), (await csw.view(first)).thread, prison)
    await prison.collect()
    assert await prison.quarantined() == ["policy-denied"]
    await asks(csw, MessageId(new_id()), ThreadId(new_id()), prison)
    await prison.collect()
    assert await prison.quarantined() == ["policy-denied"]
    assert await prison.seal_and_send() == 1
