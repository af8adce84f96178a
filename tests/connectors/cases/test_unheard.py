# SPDX-License-Identifier: Apache-2.0
"""A lead that has moved, of which the other side knows nothing yet: its sender has to hear of that."""

import pytest

from connectors.cases.listing import Listing
from protocol.http.threads import ListName
from protocol.ids import ThreadId
from protocol.limits import DAY, HOUR
from tests.connectors.cases.test_clockwork import fire
from tests.connectors.cases.test_handover import ACCEPT, PROBATION, TAKEN_UP, dated, do, lead, offer
from tests.connectors.cases.test_handover_clocks import GORA, heard, listed
from tests.connectors.cases.test_referral import settle
from tests.connectors.conftest import World
from tests.connectors.stations import Station

HEARD = ("overdue", "heard", "sender")


async def alerts(station: Station, thread: ThreadId, world: World) -> list[tuple[str, str | None, str | None]]:
    listing = Listing(station.parts.store, station.parts.threads, world.hub.clock)
    return [(one.kind, one.what, one.by) for one in (await listing.show(thread)).alerts]


async def accepted(world: World) -> ThreadId:
    """Return a handover for a day that has come, accepted by the office; everybody has had all mail."""
    thread = await offer(world, dated(world.hub.clock(), effective=9))
    await do(world.probation, thread, "acknowledge", **TAKEN_UP)
    await do(world.probation, thread, "accept", **ACCEPT)
    await settle(world.prison, world.probation, world.social_work)
    return thread


async def pass_(world: World, ms: int) -> None:
    world.hub.clock.advance(ms)
    for station in (world.prison, world.probation, world.social_work):
        await station.look()


@pytest.mark.parametrize("copy_has_it", [False, True])
async def test_han_15_a_sender_whose_line_is_down_is_told_that_nobody_has_heard_who_leads(
    world: World, copy_has_it: bool
) -> None:
    prison, office, csw = world.prison, world.probation, world.social_work
    thread = await accepted(world)
    await pass_(world, 9 * DAY + HOUR)
    await fire(prison)
    if copy_has_it:
        # Only what the receiver has opened counts: that a copy knows it helps nobody.
        await prison.seal_and_send()
        await settle(csw)
        await prison.collect()
        assert await lead(csw, thread, world) == PROBATION
    assert (await lead(prison, thread, world), await lead(office, thread, world)) == (PROBATION, GORA)
    assert await alerts(prison, thread, world) == [], "it may be on its way"
    await pass_(world, 12 * HOUR)
    await fire(prison)
    assert await alerts(prison, thread, world) == [HEARD]
    assert await listed(prison, world, ListName.ALERTS) == [thread]
    assert "handover.alert" in await heard(prison)
    await settle(prison, office, csw)
    assert await lead(office, thread, world) == PROBATION
    assert await alerts(prison, thread, world) == []
    assert await listed(prison, world, ListName.ALERTS) == []


async def test_han_15_an_instant_that_is_opened_in_time_alerts_nobody(world: World) -> None:
    thread = await accepted(world)
    await pass_(world, 9 * DAY + HOUR)
    await fire(world.prison)
    await settle(world.prison, world.probation, world.social_work)
    await pass_(world, DAY)
    await fire(world.prison)
    assert await alerts(world.prison, thread, world) == await alerts(world.probation, thread, world) == []
