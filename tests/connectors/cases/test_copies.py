# SPDX-License-Identifier: Apache-2.0
"""Whoever got a copy of a handover knows who leads as the two sides do, whichever of its steps had no effect."""

from pathlib import Path
from typing import Any

import pytest

from connectors.cases.moving import Step
from connectors.store.recipients import RecipientState
from protocol.ids import ThreadId
from protocol.limits import DAY, HOUR
from tests.connectors.cases.test_clockwork import day, fire
from tests.connectors.cases.test_handover import ACCEPT, TAKEN_UP, dated, do, offer, responsible
from tests.connectors.cases.test_lead_back import IN_ERROR
from tests.connectors.cases.test_referral import agreed, history, row, settle
from tests.connectors.cases.test_stopped import view
from tests.connectors.conftest import World
from tests.connectors.restoring import back_up, new_machine
from tests.connectors.stations import person_section
from tests.connectors.test_asking import state_of
from tests.connectors.test_giving_up import drain, exhaust, newest

GORA, OFFICE = "gora-prison@hub.example", "reka-probation@hub.example"


async def knows(world: World, thread: ThreadId) -> str | None:
    """Return who leads, on which all three agree, since when and under whom."""
    everybody = (world.prison, world.probation, world.social_work)
    (found,) = {await responsible(station, thread, world) for station in everybody}
    return found[0]


async def look(world: World) -> None:
    for station in (world.prison, world.probation, world.social_work):
        await station.look()


async def crossed(world: World, event: str) -> ThreadId:
    """Return a handover that the office accepts while a step of the prison, which ends it, is on its way."""
    prison, office = world.prison, world.probation
    thread = await offer(world, dated(world.hub.clock(), effective=9))
    await do(office, thread, "acknowledge", **TAKEN_UP)
    await settle(prison, office)
    await do(office, thread, "accept", **ACCEPT)
    await office.seal_and_send()
    if event == "expire":
        world.hub.clock.advance(10 * DAY)
        await look(world)
        await fire(prison)
    else:
        await do(prison, thread, event, reason="wrong-person")
    await settle(prison, office, world.social_work)
    assert await agreed(thread, prison, office) == "accepted"
    assert [step.move.event for step in (await history(prison, thread)).conflicts] == [event]
    return thread


async def test_han_5_an_offer_that_expired_at_its_sender_and_was_accepted_takes_effect_at_a_copy_too(
    world: World,
) -> None:
    """The line of the prison is down: its clock lets the offer expire that the office has accepted in time."""
    thread = await crossed(world, "expire")
    copied = await history(world.social_work, thread)
    assert [step.move.event for step in copied.done] == ["offer", "expire", "change-date"], "it heard what stands"
    assert copied.state == "offered"
    assert await knows(world, thread) == GORA
    assert await fire(world.prison) == 1
    await settle(world.prison, world.probation, world.social_work)
    assert await knows(world, thread) == OFFICE
    await do(world.probation, thread, "complete", items=[])
    await settle(world.prison, world.probation)
    assert await knows(world, thread) == OFFICE


@pytest.mark.parametrize("event", ["expire", "entered-in-error"])
async def test_han_5_what_had_no_effect_keeps_no_later_step_from_a_copy(world: World, event: str) -> None:
    prison, csw = world.prison, world.social_work
    thread = await crossed(world, event)
    trigger = {"expected_on": day(world.hub.clock(), 24).isoformat()}
    await do(prison, thread, "change-date", trigger=trigger, reason="release-moved")
    await settle(prison, csw)
    there = await row(csw, thread)
    assert (there.state, there.live) == ("offered", True), "it goes on, and its day is known there again"
    assert there.due_at == (await row(prison, thread)).due_at
    await settle(world.probation)
    world.hub.clock.advance(25 * DAY)
    await look(world)
    assert await fire(prison) >= 1
    await settle(prison, world.probation, csw)
    assert await knows(world, thread) == OFFICE
    await do(prison, thread, "fail", reason="custody-returned")
    await settle(prison, world.probation, csw)
    assert await knows(world, thread) == GORA


async def test_han_5_a_withdrawal_that_crossed_with_a_refusal_does_not_keep_a_new_offer_from_a_copy(
    world: World,
) -> None:
    prison, office, csw, now = world.prison, world.probation, world.social_work, world.hub.clock()
    thread = await offer(world)
    await do(office, thread, "acknowledge", **TAKEN_UP)
    await settle(prison, office)
    await do(office, thread, "decline", reason="no-legal-basis")
    await office.seal_and_send()
    await do(prison, thread, "withdraw", reason="release-cancelled")
    await settle(prison, office, csw)
    assert await agreed(thread, prison, office) == "declined"
    assert (await row(csw, thread)).state == "withdrawn"
    again: dict[str, Any] = {"trigger": {"event": "release.notice"}, "reason": "released-early"}
    days = {"acknowledge_by": str(day(now, 2)), "answer_by": str(day(now, 5))}
    await do(prison, thread, "offer-again", **again, **days)
    await settle(prison, office, csw)
    for event, fields in (("acknowledge", TAKEN_UP), ("accept", ACCEPT)):
        await do(office, thread, event, **fields)
    await settle(prison, office)
    await do(prison, thread, "take-effect", effective_at=world.hub.clock())
    await settle(prison, office, csw)
    assert await knows(world, thread) == OFFICE


async def test_han_11_a_copy_is_told_of_an_end_also_where_its_sender_had_wanted_to_end_the_offer_so(
    world: World,
) -> None:
    """The prison's own *entered in error* had no effect, and its copy has it: it says nothing of the later one."""
    prison, office, csw = world.prison, world.probation, world.social_work
    thread = await crossed(world, "entered-in-error")
    world.hub.clock.advance(10 * DAY)
    await look(world)
    assert await fire(prison) == 1
    await settle(prison, office, csw)
    assert await knows(world, thread) == OFFICE
    await do(office, thread, "entered-in-error", **IN_ERROR)
    await settle(prison, office, csw)
    assert await knows(world, thread) == GORA
    assert (await row(csw, thread)).state == "entered-in-error"


async def test_con_26_han_5_at_a_copy_that_was_told_of_an_end_twice_what_came_between_is_withheld_too(
    world: World,
) -> None:
    """The first end had no effect between the two sides, and its sender went on to say more of the person."""
    prison, office, csw = world.prison, world.probation, world.social_work
    thread = await crossed(world, "entered-in-error")
    trigger = {"expected_on": day(world.hub.clock(), 24).isoformat()}
    said = Step(
        event="change-date", fields={"trigger": trigger, "reason": "release-moved"}, sections=(person_section(),)
    )
    await prison.parts.moving.move(thread, said, key="between the two ends", body=b"")
    await settle(prison, office, csw)
    again, shown = [one for one in (await view(csw, thread, world)).steps if one.event == "change-date"]
    assert again.sections == [], "what stands was told again, without a word of the person"
    assert (len(shown.sections), shown.withheld) == (1, None)
    await do(office, thread, "entered-in-error", **IN_ERROR)
    await settle(prison, office, csw)
    assert (await row(csw, thread)).state == "entered-in-error"
    _, shown = [one for one in (await view(csw, thread, world)).steps if one.event == "change-date"]
    assert (shown.sections, shown.withheld) == ([], "entered-in-error")


async def test_han_5_a_word_that_comes_to_a_copy_late_undoes_nothing_that_its_sender_said_after_it(
    world: World, tmp_path: Path
) -> None:
    """The centre cannot open the instant and hears that it failed; its new machine gets the instant at last."""
    prison, office, csw = world.prison, world.probation, world.social_work
    thread = await offer(world)
    await do(prison, thread, "bind", statute="probation-act-12")
    await do(prison, thread, "take-effect", effective_at=world.hub.clock())
    instant = await newest(prison, thread)
    await prison.seal_and_send()
    await drain(csw)
    await settle(prison, office)
    await exhaust(prison, instant, csw)
    assert await prison.parts.owing.step() == 1
    await do(prison, thread, "fail", reason="release-cancelled")
    await settle(prison, office, csw)
    assert await knows(world, thread) == GORA
    backup = back_up(csw, tmp_path / "backup")
    world.hub.clock.advance(HOUR)
    async with new_machine(world, csw, tmp_path / "again", backup) as again:
        await prison.look()
        await settle(prison, again)
        assert await state_of(prison, instant, csw) is RecipientState.OPENED
        assert (await responsible(again, thread, world))[0] == GORA
        assert (await row(again, thread)).state == "failed-effective"
