# SPDX-License-Identifier: Apache-2.0
"""A message_id that another agency has seen and sends under: nothing genuine may be hidden by it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from connectors.access import ensure_token
from connectors.api import application
from connectors.api_client import ApiClient
from connectors.cli.handover import _all_under
from connectors.logs import Log
from protocol.errors import Conflict, NotFound
from protocol.http.calling import new_session
from protocol.http.handovers import Direction, HandoverFilter
from protocol.http.running import Runner, listen
from protocol.ids import MessageId
from tests.connectors.conftest import World
from tests.connectors.hand import BODY, sealed_as
from tests.connectors.stations import PLANTED, Station, api_of

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


@pytest.fixture
async def sent(world: World) -> MessageId:
    """Return a handover to two desks, one of which answers under its id to the other and to the sender."""
    message_id = await world.prison.send(world.probation.desk, world.social_work.desk)
    liar = world.social_work.member
    for desk in (world.probation.desk, world.prison.desk):
        await world.hub.device(liar).submit(sealed_as(world, liar, desk, message_id, BODY))
    for station in (world.probation, world.prison):
        await station.turn()
    return message_id


@pytest.fixture
async def client(world: World) -> AsyncIterator[ApiClient]:
    """Return a client of the prison's interface."""
    async with served(world.prison) as one:
        yield one


@asynccontextmanager
async def served(station: Station) -> AsyncIterator[ApiClient]:
    """Serve a station's local interface on a real port."""
    token, clock = ensure_token(station.folder), station.parts.sealer._clock
    api = api_of(station)
    runner = Runner(application(api, token, clock, Log()), clock=clock, shutdown_s=1)
    async with new_session() as session:
        try:
            port = await listen(runner, "127.0.0.1", 0)
            yield ApiClient(session, f"http://localhost:{port}", token)
        finally:
            await runner.cleanup()


async def test_con_9_a_shared_id_hides_neither_the_one_sent_nor_the_one_received(
    world: World, sent: MessageId, client: ApiClient
) -> None:
    with pytest.raises(Conflict):
        await client.handover(sent)
    assert (await client.handover(sent, direction=Direction.SENT)).direction is Direction.SENT
    theirs = await client.handover(sent, sender=world.social_work.desk)
    assert theirs.origin is not None
    assert theirs.origin.desk == world.social_work.desk
    assert (await client.handover(sent, sender=world.prison.desk)).direction is Direction.SENT
    for nobody in ({"sender": world.probation.desk}, {"sender": world.prison.desk, "direction": Direction.RECEIVED}):
        with pytest.raises(NotFound):
            await client.handover(sent, **nobody)


async def test_con_9_two_senders_of_one_id_are_never_mixed_or_chosen_between(world: World, sent: MessageId) -> None:
    handovers = world.probation.parts.handovers
    with pytest.raises(Conflict):
        await handovers.show(sent)
    genuine = await handovers.show(sent, sender=world.prison.desk)
    other = await handovers.show(sent, sender=world.social_work.desk)
    assert [one.body["family_name"] for one in genuine.sections if one.category == "identity"] == [PLANTED]
    assert [one.body["family_name"] for one in other.sections] == ["sent by hand"]
    items = (await handovers.list(HandoverFilter(id=sent))).items
    assert {item.sender for item in items} == {world.prison.desk, world.social_work.desk}
    assert (await handovers.list(HandoverFilter(id=MessageId(bytes(16))))).items == []


async def test_the_command_shows_all_that_stand_under_an_id(world: World, sent: MessageId, client: ApiClient) -> None:
    views = await _all_under(client, sent)
    assert {view.direction for view in views} == {Direction.SENT, Direction.RECEIVED}
    async with served(world.social_work) as one:
        await world.social_work.turn()
        assert [view.direction for view in await _all_under(one, sent)] == [Direction.RECEIVED]
