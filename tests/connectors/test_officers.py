# SPDX-License-Identifier: Apache-2.0
"""Officers come and go while the connector runs: the directory says who may act (ENV-14, CON-12)."""

import secrets

import pytest

from connectors.officers import delegation, endings, officer_entries
from keys.directory import AgencyEntry
from protocol.errors import InvalidInput, NotFound
from protocol.http.handovers import HandoverFilter, HandoverRequest
from protocol.ids import OfficerId
from protocol.limits import DAY
from protocol.statements import Delegation, parse_statement
from tests.connectors.conftest import World
from tests.connectors.hand import only_recipient
from tests.connectors.stations import Station, package
from tests.connectors.test_sealings import print_of
from tests.hub.running import RunningHub

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")


def own(station: Station, hub: RunningHub) -> AgencyEntry:
    found = hub.hub.directory.directory.agency(station.member.address, hub.clock())
    assert found is not None
    return found


async def add(station: Station, hub: RunningHub, title: str, officer: OfficerId | None = None) -> OfficerId:
    """Add or renew an officer as the command does, at the hub only."""
    raw = delegation(own(station, hub), station.member.identity, title, hub.clock(), officer=officer)
    await hub.hub.directory.append(raw)
    subject = parse_statement(raw).body.subject
    assert isinstance(subject, Delegation)
    return subject.officer


async def end(station: Station, hub: RunningHub, officer: OfficerId) -> None:
    found = officer_entries(hub.hub.directory.directory, own(station, hub), officer, hub.clock())
    for raw in endings(found, station.member.identity, hub.clock()):
        await hub.hub.directory.append(raw)


async def send_as(station: Station, officer: OfficerId, to: Station) -> None:
    request = HandoverRequest(to=[to.desk], package=package(), officer=officer)
    key = secrets.token_urlsafe(24)
    await station.parts.handovers.send(request, key=key, body=key.encode())


async def origin_of_newest(station: Station) -> str:
    newest = (await station.parts.handovers.list(HandoverFilter())).items[0]
    origin = (await station.view(newest.id)).origin
    assert origin is not None
    return origin.officer


async def titles(station: Station) -> list[str]:
    return [one.title for one in (await station.parts.overview.status()).officers]


async def test_env_14_an_officer_who_was_added_just_now_acts_at_once(world: World, hub: RunningHub) -> None:
    officer = await add(world.prison, hub, "head of release")
    # The connector has not looked since: naming the officer makes it look.
    await send_as(world.prison, officer, world.probation)
    assert await titles(world.prison) == ["connector service", "head of release"]
    await world.prison.seal_and_send()
    await world.probation.turn()
    assert await origin_of_newest(world.probation) == "head of release"
    assert await world.probation.quarantined() == []


async def test_env_14_an_officer_who_was_ended_does_not_act_any_more(world: World, hub: RunningHub) -> None:
    officer = await add(world.prison, hub, "head of release")
    await world.prison.look()
    await end(world.prison, hub, officer)
    await world.prison.look()
    assert await titles(world.prison) == ["connector service"]
    with pytest.raises(InvalidInput):
        await send_as(world.prison, officer, world.probation)
    with pytest.raises(NotFound):
        await end(world.prison, hub, officer)


async def test_con_12_what_an_officer_left_behind_is_sent_by_the_service(world: World, hub: RunningHub) -> None:
    """Else every recipient would refuse it, since the delegation does not count when the hub accepts it (ENV-14)."""
    officer = await add(world.prison, hub, "head of release")
    await send_as(world.prison, officer, world.probation)
    await end(world.prison, hub, officer)
    await world.prison.look()
    await world.prison.seal_and_send()
    await world.probation.turn()
    assert await origin_of_newest(world.probation) == "connector service"
    assert await world.probation.quarantined() == []
    # Both sides' papers name the service, and the sender's says beside it who composed the message.
    (sent,) = (await world.prison.parts.handovers.list(HandoverFilter())).items
    (sealing,) = (await only_recipient(world.prison, sent.id)).sealings
    assert sealing.signer == "connector service"
    assert sealing.delegation == world.prison.member.delegation.hex()
    for station, names in ((world.prison, True), (world.probation, False)):
        printed = await print_of(station, sent.id)
        assert "connector service" in printed
        assert ("head of release" in printed) is names


async def test_con_12_a_message_outlives_the_delegation_under_which_it_was_composed(
    world: World, hub: RunningHub
) -> None:
    """Sealed anew after a year's delegation has ended, under the one that came after it."""
    queued = await world.prison.compose(world.probation.desk)
    officer = world.prison.member.officer
    hub.clock.advance(60 * DAY)
    await add(world.prison, hub, "connector service", officer)
    # The certificates of this programme end with the first delegations; what counts here is the delegation.
    hub.clock.advance(9 * DAY)
    await world.prison.look()
    await world.probation.look()
    await end_first(world.prison, hub)
    await world.prison.look()
    await world.prison.seal_and_send()
    await world.probation.turn()
    await world.prison.turn()
    assert (await only_recipient(world.prison, queued.id)).opened_at is not None
    assert await world.probation.quarantined() == []


async def end_first(station: Station, hub: RunningHub) -> None:
    """Revoke the delegation that enrolment made, and leave the newer one."""
    first = hub.hub.directory.directory.all_delegations(station.member.address)[:1]
    for raw in endings(first, station.member.identity, hub.clock()):
        await hub.hub.directory.append(raw)


async def test_officers_of_other_agencies_and_other_services_do_not_act_here(world: World, hub: RunningHub) -> None:
    stranger = await add(world.probation, hub, "intake officer")
    await world.prison.look()
    assert await titles(world.prison) == ["connector service"]
    with pytest.raises(InvalidInput):
        await send_as(world.prison, stranger, world.probation)


def test_a_service_is_not_ended_like_an_officer_and_a_title_is_one_line(world: World, hub: RunningHub) -> None:
    prison = world.prison
    with pytest.raises(NotFound):
        officer_entries(hub.hub.directory.directory, own(prison, hub), prison.member.officer, hub.clock())
    for title in ("", "two\nlines", "x" * 201):
        with pytest.raises(InvalidInput):
            delegation(own(prison, hub), prison.member.identity, title, hub.clock())
