# SPDX-License-Identifier: Apache-2.0
"""From one desk to two others and back: the main job of a connector, against a real hub."""

from protocol.http.handovers import MessageState
from tests.connectors.conftest import World


async def test_con_7_each_desk_gets_exactly_its_sections_and_the_sender_sees_what_was_withheld(world: World) -> None:
    sent = await world.prison.send(world.probation.desk, world.social_work.desk)
    await world.probation.turn()
    await world.social_work.turn()
    await world.prison.collect()

    at_probation, at_social_work = await world.probation.view(sent), await world.social_work.view(sent)
    assert [one.category for one in at_probation.sections] == ["identity", "risk-summary"]
    assert [one.category for one in at_social_work.sections] == ["identity"]
    at_sender = {one.desk: one for one in (await world.prison.view(sent)).recipients}
    assert [one.category for one in at_sender[world.social_work.desk].withheld] == ["risk-summary"]
    assert at_sender[world.probation.desk].withheld == []
    for view in (at_probation, at_social_work):
        assert all(one.withheld == [] for one in view.recipients)
        assert view.not_understood == []


async def test_con_4_the_sender_learns_that_each_desk_has_opened_it(world: World) -> None:
    sent = await world.prison.send(world.probation.desk, world.social_work.desk)
    assert set((await world.prison.states(sent)).values()) == {MessageState.ACCEPTED}
    await world.probation.turn()
    await world.prison.collect()
    assert await world.prison.states(sent) == {
        world.probation.desk: MessageState.OPENED,
        world.social_work.desk: MessageState.ACCEPTED,
    }
