# SPDX-License-Identifier: Apache-2.0
"""What a connector's log says of a hub that is stopped: nothing is wrong, unless it stays away."""

import asyncio
import json
from dataclasses import replace

import pytest
from aiohttp import WSMessage, WSMsgType

from connectors.connection import COMES_BACK, SHORT_LIFE
from connectors.logs import Log
from connectors.loops import Loops
from connectors.socket_link import HubLeft, _reason
from protocol.errors import HubUnreachable, Revoked, StoreFull, Unavailable
from tests.connectors.conftest import World
from tests.connectors.lyinghub import LyingHub
from tests.connectors.running import until
from tests.connectors.test_connection import connection
from tests.hub.running import RunningHub


async def test_a_hub_that_is_stopped_in_order_is_no_fault_until_it_stays_away(world: World, hub: RunningHub) -> None:
    """Each stop of a hub wrote an error into every connector's log."""
    station, clock = world.prison, world.hub.clock
    way = connection(station, world, world.hub.url)
    parts = replace(station.parts, connection=way)
    loops = Loops(parts, station.settings, clock, Log(station.logged, json=True))
    mail = asyncio.ensure_future(loops._keep("mail", loops._collect))
    # Wanted as soon as the link is up.
    await parts.directory.wanted.wait()
    clock.advance(SHORT_LIFE)
    hub.hub.release()

    def told() -> list[tuple[str, str, str]]:
        lines = [json.loads(line) for line in station.logged.getvalue().splitlines()]
        return [(one["level"], one["event"], one["code"]) for one in lines if "code" in one]

    async def is_told() -> bool:
        return bool(told())

    await until(is_told)
    mail.cancel()
    await asyncio.gather(mail, return_exceptions=True)
    assert told() == [("info", "hub-away", "unavailable")]
    assert way.error == "unavailable", "the status says so all the same"
    clock.advance(COMES_BACK - 1)
    loops._failed("send", HubUnreachable())
    assert told()[-1] == ("info", "hub-away", "hub-unreachable")
    loops._failed("send", StoreFull())
    assert told()[-1] == ("error", "part-failed", "store-full"), "what is wrong here is no matter of the hub's"
    clock.advance(1)
    loops._failed("send", HubUnreachable())
    assert told()[-1] == ("warning", "hub-unreachable", "hub-unreachable")


@pytest.mark.parametrize(("code", "is_goodbye"), [(1001, True), (1012, True), (1006, False), (1008, False)])
def test_only_a_hub_that_says_so_has_gone_in_order(code: int, *, is_goodbye: bool) -> None:
    assert isinstance(_reason(WSMessage(WSMsgType.CLOSE, code, "")), HubLeft) is is_goodbye
    assert isinstance(_reason(WSMessage(WSMsgType.CLOSE, code, "revoked")), Revoked), "what it says counts first"


async def test_a_hub_that_says_goodbye_after_each_greeting_is_a_fault(world: World) -> None:
    way = connection(world.prison, world, world.hub.url)
    for _ in range(2):
        async with way.open():
            world.hub.clock.advance(SHORT_LIFE - 1)
            assert way.event(HubLeft()) == "hub-unreachable"


async def test_a_hub_that_cannot_answer_a_poll_is_away_and_no_part_of_ours_has_failed(world: World) -> None:
    async with LyingHub() as lying:
        lying.target = world.hub.url
        lying.refuse["/v1/mailbox"] = 503
        way = connection(world.prison, world, lying.url, websocket=False)
        async with way.open() as link:
            with pytest.raises(Unavailable) as told:
                await link.receive(0)
    assert way.event(told.value) == "hub-unreachable"
    assert way.event(Unavailable()) == "part-failed", "a store that another process keeps busy"
