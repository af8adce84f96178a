# SPDX-License-Identifier: Apache-2.0
"""The doctor tells a clock that is wrong from a directory that is old, and what waits until the clock is right."""

import pytest

from protocol.diagnosis import Condition
from protocol.limits import DAY, HOUR, MINUTE
from tests.connectors.cases.test_referral import refer
from tests.connectors.conftest import World
from tests.connectors.test_doctor import looked_at
from tests.hub.running import TestClock


async def test_minutes_do_not_matter_to_a_fresh_directory(world: World) -> None:
    world.hub.clock.advance(5 * MINUTE)
    found = await looked_at(world.prison, world.hub.clock)
    assert found["directory"].found.endswith("confirmed under an hour ago.")


@pytest.mark.parametrize("back", [HOUR, 3 * DAY])
async def test_dir_11_a_clock_behind_the_directory_is_told_as_that(world: World, back: int) -> None:
    """It said that the directory was confirmed under an hour ago, and over 72 hours old."""
    found = (await looked_at(world.prison, lambda: world.hub.clock() - back))["directory"]
    assert found.condition is Condition.FAULT
    assert "clock is not that of the directory" in found.found
    assert found.fix == "Set this machine's clock, and keep it set (NTP)."


async def test_con_23_what_waits_for_a_clock_that_is_right_is_told(world: World) -> None:
    prison, clock = world.prison, world.hub.clock
    assert "held time" not in await looked_at(prison, clock)
    await refer(prison, world.social_work, priority="emergency")
    await prison.compose(world.probation.desk)
    await prison.parts.sealer.step()
    clock.advance(HOUR)
    assert "held time" not in await looked_at(prison, clock), "it is right, and the connector does what is due"
    for off in (400 * DAY, -400 * DAY, 11 * MINUTE):
        found = (await looked_at(prison, TestClock(clock() + off)))["held time"]
        assert found.condition is Condition.FAULT
        assert found.found.endswith(": 1 thread to remind of or to end.")
        assert "Set this machine's clock" in str(found.fix)
    assert "held time" not in await looked_at(prison, TestClock(clock() + 9 * MINUTE))
    clock.advance(31 * DAY)
    found = (await looked_at(prison, clock, hub_url="http://localhost:1"))["held time"]
    assert found.condition is Condition.WARNING
    assert "has not met the hub" in found.found
    assert found.found.endswith(": 2 threads to remind of or to end, 2 sealings past their time.")
    clock.advance(360 * DAY)
    found = (await looked_at(prison, clock, hub_url="http://localhost:1"))["held time"]
    assert "2 messages past their time" in found.found
