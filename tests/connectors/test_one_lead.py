# SPDX-License-Identifier: Apache-2.0
"""What was given up, and came all the same or never began anything, leaves exactly one agency in the lead (HAN-2)."""

from pathlib import Path

import pytest
from sqlalchemy import text, update

from connectors.migrations.versions import v0022_lost
from connectors.store import recipients, tables, threadtables
from connectors.store.recipients import RecipientState
from connectors.timing import MOST_SEALS
from protocol.limits import DAY, HOUR
from tests.connectors.cases.test_clockwork import fire
from tests.connectors.cases.test_handover import ACCEPT, TAKEN_UP, dated, do, lead, offer
from tests.connectors.cases.test_referral import agreed, history, refer, row, settle
from tests.connectors.cases.test_referral import do as step
from tests.connectors.cases.test_sealed_anew import seal_anew
from tests.connectors.conftest import World
from tests.connectors.restoring import back_up, new_machine
from tests.connectors.test_asking import asks, state_of
from tests.connectors.test_attachments import carry, send, store
from tests.connectors.test_giving_up import GORA, OFFICE, accepted, drain, exhaust, newest

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


async def test_seq_11_where_the_beginning_was_given_up_nothing_binds_the_other_side(world: World) -> None:
    prison, office = world.prison, world.probation
    thread = (await prison.compose(office.desk)).thread
    await prison.seal_and_send()
    await drain(office)
    await exhaust(prison, await newest(prison, thread), office)
    await prison.parts.owing.step()
    await do(prison, thread, "bind", statute="probation-act-12")
    await settle(prison, office)
    assert await lead(prison, thread, world) == GORA
    assert (await row(prison, thread)).state == "offered"
    assert [step.refused for step in (await history(prison, thread)).steps] == [None, "given-up"]


async def test_seq_11_han_2_an_offer_whose_attachment_never_comes_had_its_effect_and_binds_both_sides(
    world: World,
) -> None:
    prison, office = world.prison, world.probation
    offered = await send(world, (await store(prison, b"a scan"), 1))
    await carry(prison)
    await office.collect()
    thread = (await office.view(offered)).thread
    await do(prison, thread, "bind", statute="probation-act-12")
    await settle(prison, office)
    await exhaust(prison, offered, office)
    assert await prison.parts.owing.step() == 1
    assert (await row(prison, thread)).state == "offered", "nothing says yet that the office had the offer"
    await settle(prison, office)
    assert await state_of(prison, offered, office) is RecipientState.FAILED, "its attachment is not there"
    assert (await row(prison, thread)).state == (await row(office, thread)).state == "accepted"
    await do(prison, thread, "take-effect", effective_at=world.hub.clock())
    await settle(prison, office)
    assert await lead(prison, thread, world) == await lead(office, thread, world) == OFFICE


async def test_seq_11_what_ended_a_thread_that_never_began_there_keeps_its_force(world: World) -> None:
    """A desk is dead: the offer is never opened, nor is its withdrawal, and the thread must not come to life again."""
    prison, office = world.prison, world.probation
    thread = (await prison.compose(office.desk)).thread
    await prison.seal_and_send()
    beginning = await newest(prison, thread)
    await do(prison, thread, "withdraw", reason="release-cancelled")
    await prison.seal_and_send()
    await drain(office)
    for gone in (beginning, await newest(prison, thread)):
        await exhaust(prison, gone, office)
    assert await prison.parts.owing.step() == 2
    assert (await row(prison, thread)).state == "withdrawn"


async def test_con_4_han_2_a_machine_that_took_another_s_place_says_what_that_one_had_opened(
    world: World, tmp_path: Path
) -> None:
    """Its backup has the message, and the only sealing that it can name was made for the lost device."""
    prison, office = world.prison, world.probation
    thread = await accepted(world)
    await do(prison, thread, "take-effect", effective_at=world.hub.clock())
    await prison.seal_and_send()
    await office.collect()
    backup = back_up(office, tmp_path / "backup")
    instant = await newest(prison, thread)
    async with prison.parts.store.write() as tx:
        await recipients.fail(tx, instant, [office.desk], "cannot-open")
        here = (tables.recipient.c.message_id == instant) & (tables.recipient.c.desk == office.desk)
        await tx.connection.execute(update(tables.recipient).where(here).values(seals=MOST_SEALS))
    await prison.parts.owing.step()
    assert await lead(prison, thread, world) == GORA
    world.hub.clock.advance(HOUR)
    async with new_machine(world, office, tmp_path / "again", backup) as again:
        await settle(prison, again, world.social_work)
        assert await lead(prison, thread, world) == await lead(again, thread, world) == OFFICE
        assert await prison.quarantined() == []


async def test_seq_11_han_2_a_step_that_only_a_lost_machine_had_opened_has_no_force_once_it_is_given_up(
    world: World, tmp_path: Path
) -> None:
    """The new machine asks for the instant, and never gets it: then the prison leads at both sides, not at one."""
    prison, office = world.prison, world.probation
    thread = await accepted(world)
    backup = back_up(office, tmp_path / "backup")
    await do(prison, thread, "take-effect", effective_at=world.hub.clock())
    instant = await newest(prison, thread)
    await settle(prison, office, world.social_work)
    assert await lead(prison, thread, world) == await lead(office, thread, world) == OFFICE
    world.hub.clock.advance(HOUR)
    async with new_machine(world, office, tmp_path / "again", backup) as again:
        await prison.look()
        await asks(again, instant, thread, prison)
        await prison.collect()
        await exhaust(prison, instant, office)
        assert await prison.parts.owing.step() == 1
        await settle(prison, again, world.social_work)
        assert await lead(prison, thread, world) == await lead(again, thread, world) == GORA
        assert (await row(prison, thread)).state == (await row(again, thread)).state == "accepted"


async def test_seq_11_what_a_machine_has_opened_keeps_its_force_whatever_it_asks_for_afterwards(world: World) -> None:
    """It cannot take back by silence what it has signed."""
    prison, office = world.prison, world.probation
    thread = await accepted(world)
    await do(prison, thread, "take-effect", effective_at=world.hub.clock())
    instant = await newest(prison, thread)
    await settle(prison, office, world.social_work)
    world.hub.clock.advance(HOUR)
    await asks(office, instant, thread, prison)
    await prison.collect()
    await exhaust(prison, instant, office)
    assert await prison.parts.owing.step() == 1
    assert await lead(prison, thread, world) == OFFICE


async def test_seq_11_lif_4_what_comes_long_after_its_place_was_passed_undoes_nothing_at_either_side(
    world: World, tmp_path: Path
) -> None:
    """A step in the middle was given up, all went on without it, and a new machine gets it when all is over."""
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw)).thread
    await settle(prison, csw)
    for event in ("acknowledge", "accept"):
        await step(csw, thread, event)
    await settle(prison, csw)
    await step(prison, thread, "hold", reason="person-ill", review_on="2027-02-01")
    gone = await newest(prison, thread)
    await prison.seal_and_send()
    await drain(csw)
    await exhaust(prison, gone, csw)
    await prison.parts.owing.step()
    await settle(prison, csw)
    await step(prison, thread, "withdraw")
    await settle(prison, csw)
    await step(csw, thread, "confirm-cancel")
    await settle(prison, csw)
    assert (await row(prison, thread)).state == (await row(csw, thread)).state == "cancelled"
    backup = back_up(csw, tmp_path / "later")
    world.hub.clock.advance(HOUR)
    async with new_machine(world, csw, tmp_path / "again", backup) as again:
        await prison.look()
        await prison.seal_and_send()
        await again.turn()
        # Its receipt is lost, and what comes again says the same.
        await drain(prison)
        await seal_anew(prison, thread, "referral.hold", again)
        await settle(prison, again)
        assert await state_of(prison, gone, csw) is RecipientState.OPENED
        assert await agreed(thread, prison, again) == "cancelled"
        (late,) = (await history(prison, thread)).conflicts
        assert late.move.message_id == gone


async def test_seq_11_han_2_what_was_said_after_a_beginning_counts_when_the_beginning_comes_at_last(
    world: World, tmp_path: Path
) -> None:
    """The office cannot open the offer, but what binds it; its new machine gets the offer: it leads, at both sides."""
    prison, office = world.prison, world.probation
    thread = (await prison.compose(office.desk)).thread
    await prison.seal_and_send()
    await drain(office)
    offered = await newest(prison, thread)
    await exhaust(prison, offered, office)
    await prison.parts.owing.step()
    await do(prison, thread, "bind", statute="probation-act-12")
    await settle(prison, office)
    assert await lead(prison, thread, world) == GORA
    backup = back_up(office, tmp_path / "backup")
    world.hub.clock.advance(HOUR)
    async with new_machine(world, office, tmp_path / "again", backup) as again:
        await prison.look()
        await settle(prison, again)
        assert await state_of(prison, offered, office) is RecipientState.OPENED
        assert await agreed(thread, prison, again) == "accepted"
        await do(prison, thread, "take-effect", effective_at=world.hub.clock())
        await settle(prison, again)
        assert await agreed(thread, prison, again) == "effective"
        assert await lead(prison, thread, world) == await lead(again, thread, world) == OFFICE


async def test_clk_4_seq_11_time_makes_a_step_again_that_was_given_up(world: World) -> None:
    """The instant that the clock made never came to the office: it would else wait for ever, led by the prison."""
    prison, office = world.prison, world.probation
    thread = await offer(world, dated(world.hub.clock(), effective=9))
    await do(office, thread, "acknowledge", **TAKEN_UP)
    await do(office, thread, "accept", **ACCEPT)
    await settle(prison, office, world.social_work)
    world.hub.clock.advance(10 * DAY)
    for station in (prison, office):
        await station.look()
    await fire(prison)
    assert await lead(prison, thread, world) == OFFICE
    instant = await newest(prison, thread)
    await prison.seal_and_send()
    await drain(office)
    await exhaust(prison, instant, office)
    assert await prison.parts.owing.step() == 1
    assert await lead(prison, thread, world) == GORA
    await fire(prison)
    assert await newest(prison, thread) != instant
    await settle(prison, office, world.social_work)
    assert await lead(prison, thread, world) == await lead(office, thread, world) == OFFICE


async def test_seq_11_an_update_opens_nothing_that_was_over_long_ago(world: World) -> None:
    """What was given up by a program that said nothing of it is said now in threads that live, and in no other."""
    prison, office = world.prison, world.probation
    over, live = [(await prison.compose(office.desk)).thread for _ in range(2)]
    await settle(prison, office)
    await do(prison, over, "withdraw", reason="release-cancelled")
    ended = await newest(prison, over)
    await do(prison, live, "bind", statute="probation-act-12")
    async with prison.parts.store.write() as tx:
        await tx.connection.execute(update(threadtables.thread).values(live=threadtables.thread.c.thread == live))
        for message_id in (ended, await newest(prison, live)):
            await recipients.fail(tx, message_id, [office.desk], "cannot-open")
        await tx.connection.execute(text(v0022_lost.OVER))
    assert await prison.parts.owing.step() == 1
    assert (await row(prison, over)).state == "withdrawn"
