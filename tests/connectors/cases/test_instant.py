# SPDX-License-Identifier: Apache-2.0
"""Since when somebody leads: never before he had accepted, and never from a moment that has not come."""

from typing import Any

import pytest

from connectors.cases.moving import Step
from protocol.errors import IllegalTransition
from protocol.http.problems import InvalidFields
from protocol.ids import ThreadId
from protocol.limits import DAY, HOUR, MINUTE
from tests.connectors.cases.test_clockwork import day, fire
from tests.connectors.cases.test_handover import ACCEPT, PROBATION, TAKEN_UP, dated, do, lead, offer, responsible
from tests.connectors.cases.test_handover_clocks import released
from tests.connectors.cases.test_referral import agreed, settle
from tests.connectors.conftest import World

GORA = "gora-prison@hub.example"


async def mail(world: World) -> None:
    await settle(world.prison, world.probation, world.social_work)


async def accept(world: World, thread: ThreadId) -> int:
    """Let the office accept, and return when that was."""
    await do(world.probation, thread, "acknowledge", **TAKEN_UP)
    await do(world.probation, thread, "accept", **ACCEPT)
    await mail(world)
    return world.hub.clock()


async def pass_(world: World, ms: int) -> None:
    world.hub.clock.advance(ms)
    for station in (world.prison, world.probation, world.social_work):
        await station.look()


async def since(world: World, thread: ThreadId) -> tuple[str | None, int | None]:
    """Return who leads since when, of which all three agencies say the same."""
    found = {await responsible(one, thread, world) for one in (world.prison, world.probation, world.social_work)}
    ((leads, _, at),) = found
    return leads, at


async def test_han_3_a_handover_that_was_accepted_after_its_day_is_led_since_it_was_accepted(world: World) -> None:
    thread = await offer(world, dated(world.hub.clock(), effective=2))
    await pass_(world, 4 * DAY + HOUR)
    at = await accept(world, thread)
    await pass_(world, 3 * HOUR)
    assert await fire(world.prison) == 1
    await mail(world)
    assert await since(world, thread) == (PROBATION, at), "two days in which nobody had agreed stay the prison's"


async def test_han_3_a_day_that_was_over_when_it_was_named_dates_no_lead_back(world: World) -> None:
    now = world.hub.clock()
    thread = await offer(world, dated(now, effective=20))
    await accept(world, thread)
    await pass_(world, 6 * DAY + HOUR)
    moved_at, over = world.hub.clock(), day(now, 3).isoformat()
    await do(world.prison, thread, "change-date", trigger={"expected_on": over}, reason="release-moved")
    await mail(world)
    await pass_(world, HOUR)
    assert await fire(world.prison) == 1
    await mail(world)
    assert await since(world, thread) == (PROBATION, moved_at)


async def test_han_6_a_release_before_the_acceptance_moves_the_lead_at_the_acceptance(world: World) -> None:
    thread = await offer(world)
    out_at = world.hub.clock()
    await pass_(world, 2 * HOUR)
    at = await accept(world, thread)
    await pass_(world, HOUR)
    await released(world, thread, out_at)
    await mail(world)
    assert await since(world, thread) == (PROBATION, at)
    again = await offer(world)
    await accept(world, again)
    await pass_(world, HOUR)
    out_at = world.hub.clock() - MINUTE
    await released(world, again, out_at)
    await mail(world)
    assert await since(world, again) == (PROBATION, out_at), "one that came after it at the release"


@pytest.mark.parametrize("late", [-1, 2 * HOUR + 1, 700 * DAY], ids=["before the acceptance", "to come", "in years"])
async def test_han_3_an_officer_names_no_moment_at_which_the_lead_could_not_move(world: World, late: int) -> None:
    prison, thread = world.prison, await offer(world)
    at = await accept(world, thread)
    await pass_(world, 2 * HOUR)
    with pytest.raises(InvalidFields) as refused:
        await do(prison, thread, "take-effect", effective_at=at + late)
    assert [one.pointer for one in refused.value.fields] == ["/fields/effective_at"]
    assert await agreed(thread, prison, world.probation) == "accepted"
    await do(prison, thread, "take-effect", effective_at=at)
    await mail(world)
    assert await since(world, thread) == (PROBATION, at)


async def test_han_3_an_agreed_day_comes_by_itself_and_nobody_makes_it_come_earlier(world: World) -> None:
    prison, thread = world.prison, await offer(world, dated(world.hub.clock(), effective=9))
    at = await accept(world, thread)
    with pytest.raises(IllegalTransition, match="change-date"):
        await do(prison, thread, "take-effect", effective_at=at)
    await pass_(world, 10 * DAY)
    now = world.hub.clock()
    with pytest.raises(InvalidFields):
        await do(prison, thread, "take-effect", effective_at=at)
    await do(prison, thread, "take-effect", effective_at=now)
    await mail(world)
    assert await since(world, thread) == (PROBATION, now), "where its clock does not run, somebody can say it"
    assert await fire(prison) == 0


async def test_han_3_a_sender_that_dates_the_lead_back_puts_nothing_on_the_receivers_paper(world: World) -> None:
    """A connector that checks nothing: the office knows itself when it accepted."""
    prison, thread = world.prison, await offer(world)
    began = world.hub.clock()
    await pass_(world, 2 * DAY)
    at = await accept(world, thread)
    lie: dict[str, Any] = {"effective_at": began - 300 * DAY}
    async with prison.parts.store.write() as tx:
        await prison.parts.moving.within(tx, thread, Step(event="take-effect", fields=lie), by_time=True)
    await mail(world)
    assert await lead(world.probation, thread, world) == PROBATION
    assert (await responsible(world.probation, thread, world))[2] == at


async def test_han_3_a_day_that_is_moved_to_today_takes_effect_today(world: World) -> None:
    prison, now = world.prison, world.hub.clock()
    thread = await offer(world, dated(now, effective=20))
    await accept(world, thread)
    trigger = {"expected_on": day(now, 0).isoformat()}
    await do(prison, thread, "change-date", trigger=trigger, reason="released-early")
    await pass_(world, 12 * HOUR)
    assert await fire(prison) >= 1
    await mail(world)
    leads, at = await since(world, thread)
    assert leads == PROBATION
    assert now <= (at or 0) <= world.hub.clock()
