# SPDX-License-Identifier: Apache-2.0
"""Connectors at a hub that is not sure of its clock: they show it the time, and take it not from it (AUD-11)."""

from pathlib import Path

import pytest

from connectors.hub_client import HubLink, PollingLink
from connectors.socket_link import SocketLink
from protocol.errors import Unavailable
from protocol.limits import DAY, MINUTE
from tests.connectors.conftest import World
from tests.connectors.stations import Station, open_station
from tests.connectors.test_wrong_clock import Machine, starting
from tests.hub.running import RunningHub, TestClock
from tests.programme import Programme

LATER = 14 * DAY


@pytest.fixture
async def unsure(hub_folder: Path, programme: Programme, world: World) -> RunningHub:
    """Return a hub to be started after two weeks."""
    await world.prison.send(world.probation.desk)
    (hub_folder / "hub.clock").unlink()
    return RunningHub(hub_folder, programme, TestClock(world.hub.clock() + LATER), confirmed=False)


async def reach(one: Station) -> tuple[int, HubLink | None]:
    """Read mail as the connector's loop does, until it gets through; return how often it was refused, and the link."""
    for refused in range(6):
        try:
            async with one.parts.connection.open() as link:
                await link.receive(0)
                return refused, link
        except Unavailable:
            continue
    return 6, None


async def test_aud_11_con_16_two_connectors_that_prefer_websockets_bring_a_hub_back_by_themselves(
    world: World, unsure: RunningHub
) -> None:
    """Nobody is at work: the power was off over the holidays, and came back at night."""
    await world.hub.__aexit__(None, None, None)
    try:
        async with unsure as back:
            stations = [
                open_station(one.folder, one.member, one.installation, back.clock, hub_url=back.url, websocket=True)
                for one in (world.prison, world.probation)
            ]
            async with stations[0] as prison, stations[1] as probation:
                assert await reach(prison) == (6, None), "one agency alone shows nothing"
                refused, link = await reach(probation)
                assert isinstance(link, PollingLink)
                assert refused == 2, "as often as it wishes for a websocket before it polls"
                async with prison.parts.connection.open() as again:
                    assert isinstance(again, SocketLink), "websockets are opened again"
                await probation.look()
                assert await probation.collect() == 1
    finally:
        await world.hub.__aenter__()


async def test_aud_11_con_23_a_connector_takes_no_time_from_a_hub_that_is_not_sure_of_it(
    tmp_path: Path, world: World, unsure: RunningHub
) -> None:
    machine = Machine(world)
    await world.hub.__aexit__(None, None, None)
    try:
        async with unsure as back, starting(world, tmp_path / "again", machine, hub_url=back.url) as again:
            with pytest.raises(Unavailable, match="two agencies"):
                await again.parts.directory.sync()
            directory = again.parts.directory
            assert (directory.clock_is_sound, directory.clock_is_wrong) == (False, False)
            assert directory.time() == machine.clock()
            machine.pass_time(MINUTE)
            assert not directory.clock_is_sound
    finally:
        await world.hub.__aenter__()
