# SPDX-License-Identifier: Apache-2.0
"""A handover that a statute bound the receiver to: somebody there has to look, and no silence hides that."""

import pytest

from protocol.handover import HandoverPackage, Priority
from protocol.http.threads import ListName
from protocol.ids import ThreadId
from protocol.limits import DAY, HOUR, MINUTE
from tests.connectors.cases.test_clockwork import told
from tests.connectors.cases.test_handover import PROBATION, TAKEN_UP, lead
from tests.connectors.cases.test_handover_clocks import (
    GORA,
    by_release,
    do,
    due,
    heard,
    listed,
    mail,
    offer,
    pass_,
    released,
)
from tests.connectors.cases.test_referral import agreed, row
from tests.connectors.conftest import World


def emergency(world: World) -> HandoverPackage:
    package = by_release(world.hub.clock(), expected=20, answer=10)
    return package.model_copy(update={"terms": package.terms.model_copy(update={"priority": Priority.EMERGENCY})})


async def bound(world: World) -> ThreadId:
    """Return an emergency handover to which the prison has bound the office at once."""
    thread = await offer(world, emergency(world))
    await do(world.prison, thread, "bind", statute="probation-act-12")
    await mail(world)
    assert await agreed(thread, world.prison, world.probation) == "accepted"
    return thread


async def test_han_14_an_office_that_was_bound_is_alerted_at_once_and_late_until_somebody_there_has_looked(
    world: World,
) -> None:
    prison, office = both = (world.prison, world.probation)
    thread = await bound(world)
    assert (await row(office, thread)).alert == "bound"
    assert await listed(office, world, ListName.ALERTS) == [thread]
    assert await listed(prison, world, ListName.ALERTS) == [], "it did it itself"
    for station in both:
        assert await due(station, thread, world) == [("review", PROBATION), ("take-effect", GORA)]
    await released(world, thread)
    assert await lead(office, thread, world) == PROBATION
    await pass_(world, 2 * HOUR + MINUTE)
    await mail(world)
    for station in both:
        assert await listed(station, world, ListName.ALERTS) == [thread]
        assert "handover.alert" in await heard(station)
    assert (await told(office, thread)).count("escalate") == 1, "its supervisor is told"
    await pass_(world, 4 * DAY)
    await mail(world)
    assert (await told(office, thread)).count("escalate") == 2, "and its headquarters"
    await do(office, thread, "review")
    await mail(world)
    for station in both:
        assert await listed(station, world, ListName.ALERTS) == []
        assert [what for what, _ in await due(station, thread, world)] == ["complete"]


async def test_han_14_whoever_bound_an_office_whose_machine_is_off_hears_that_nobody_looked(world: World) -> None:
    prison = world.prison
    thread = await offer(world, emergency(world))
    await do(prison, thread, "bind", statute="probation-act-12")
    await pass_(world, 2 * HOUR + MINUTE, prison)
    assert await listed(prison, world, ListName.ALERTS) == [thread]
    assert "escalate" in await told(prison, thread)


@pytest.mark.parametrize("event", ["review", "run-together"])
async def test_han_14_whoever_has_looked_in_time_is_alerted_of_nothing(world: World, event: str) -> None:
    prison, office = both = (world.prison, world.probation)
    thread = await bound(world)
    await do(office, thread, event)
    await mail(world)
    await pass_(world, 3 * HOUR)
    await mail(world)
    for station in both:
        assert await listed(station, world, ListName.ALERTS) == []
    assert "escalate" not in await told(prison, thread)


async def test_han_14_nothing_that_the_sender_does_looks_for_the_office(world: World) -> None:
    """Nor an acknowledgement of the offer that was made before, which knew nothing of being bound."""
    prison, office = world.prison, world.probation
    thread = await offer(world, emergency(world))
    await do(office, thread, "acknowledge", **TAKEN_UP)
    await mail(world)
    await do(prison, thread, "bind", statute="probation-act-12")
    await do(prison, thread, "run-together")
    await mail(world)
    assert (await row(office, thread)).alert == "bound"
