# SPDX-License-Identifier: Apache-2.0
"""From one desk to two others and back: the main job of a connector, against a real hub."""

from pathlib import Path

import pytest

from protocol.clearance import DeskFunction
from protocol.errors import InvalidInput
from protocol.http.handovers import MessageState
from protocol.slices import parse_slice
from tests.connectors.conftest import World
from tests.connectors.stations import package, person_section, risk_section, station
from tests.hub.running import RunningHub

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


async def test_con_7_each_desk_gets_exactly_its_sections_and_the_sender_sees_what_was_withheld(world: World) -> None:
    sent = await world.prison.send(world.probation.desk, world.social_work.desk)
    await world.probation.turn()
    await world.social_work.turn()
    await world.prison.collect()

    at_probation, at_social_work = await world.probation.view(sent), await world.social_work.view(sent)
    assert [one.category for one in at_probation.sections] == ["identity", "risk-summary"]
    assert [one.category for one in at_social_work.sections] == ["identity"]
    at_sender = {one.desk: one for one in (await world.prison.view(sent)).recipients}
    (kept,) = at_sender[world.social_work.desk].withheld
    assert (kept.number, kept.category, kept.purpose) == (2, "risk-summary", "supervision")
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


async def test_env_2_two_desks_of_one_device_get_an_envelope_each(
    world: World, hub: RunningHub, tmp_path: Path
) -> None:
    hub.programme.now = hub.clock()
    functions = {"intake": "probation-intake", "supervision": "probation-supervision"}
    member = hub.programme.enrol("velika-probation", "probation", functions)
    await hub.catch_up()
    await world.prison.look()
    async with station(tmp_path / "two desks", hub, member) as both:
        desks = both.installation.enrolment.desks
        meant = (DeskFunction.PROBATION_INTAKE, DeskFunction.PROBATION_SUPERVISION)
        shared = person_section().model_copy(update={"functions": meant})
        # The first takes the lead; both desks have a copy.
        queued = await world.prison.compose(world.probation.desk, *desks, content=package(shared, risk_section()))
        assert await world.prison.seal_and_send() == 2
        await both.turn()
        await world.prison.collect()
        states = await world.prison.states(queued.id)
        assert {desk: states[desk] for desk in desks} == dict.fromkeys(desks, MessageState.OPENED)
        view = await both.view(queued.id)
        assert {one.desk for one in view.recipients} == set(desks)
        by_desk = {one.desk: [section.category for section in one.sections] for one in view.recipients}
        # What is meant for intake does not reach supervision, although it is the same machine.
        assert by_desk == {desks[0]: ["identity", "risk-summary"], desks[1]: ["identity"]}


async def test_han_10_a_handover_goes_to_one_desk_of_the_agency_that_is_to_answer_it(
    world: World, hub: RunningHub, tmp_path: Path
) -> None:
    hub.programme.now = hub.clock()
    functions = {"intake": "probation-intake", "family": "probation-supervision"}
    member = hub.programme.enrol("velika-probation", "probation", functions)
    await hub.catch_up()
    await world.prison.look()
    async with station(tmp_path / "two desks", hub, member) as both:
        desks = both.installation.enrolment.desks
        with pytest.raises(InvalidInput, match="at one desk"):
            await world.prison.compose(*desks)
        assert (await world.prison.parts.overview.status()).counts.queued == 0
        await world.prison.compose(world.social_work.desk, desks[0])


async def test_con_7_mail_for_a_desk_that_is_not_this_installation_s_is_refused(world: World) -> None:
    await world.prison.send(world.probation.desk)
    world.probation.parts.inbox._admission._desks = frozenset({world.social_work.desk})
    await world.probation.collect()
    assert await world.probation.quarantined() == ["not-a-recipient"]


async def test_a_section_that_goes_to_nobody_is_not_sealed_at_all(world: World) -> None:
    sent = await world.prison.send(world.social_work.desk)
    (item,) = await world.social_work.link.receive(0)
    assert len(parse_slice(item.data).common.section_lengths) == 2
    await world.social_work.turn()
    assert [one.category for one in (await world.social_work.view(sent)).sections] == ["identity"]
    (recipient,) = (await world.prison.view(sent)).recipients
    assert [(one.number, one.category) for one in recipient.sections] == [(1, "identity")]
