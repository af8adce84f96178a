# SPDX-License-Identifier: Apache-2.0
"""A connector renews its device's certificate by itself, and nothing of what it holds changes (CON-11, DIR-17)."""

from pathlib import Path

import pytest

from connectors.installation import AGENCY_ED25519, AGENCY_MLDSA65
from connectors.upkeep import upkeep
from keys.directory import DeviceEntry
from protocol.errors import HubUnreachable, NotAuthenticated, Unavailable, UntrustedKey
from protocol.http.handovers import MessageState
from protocol.limits import DAY, DEVICE_LIFE, HOUR
from protocol.statements import Device, Prekey, Revocation, Subject, parse_statement
from tests.connectors.conftest import World
from tests.connectors.hand import only_recipient
from tests.connectors.stations import Station, install, open_station
from tests.hub.running import RunningHub

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

ENDS_IN = 70
"""Days until the certificates of the programme's devices end."""


def give_agency_key(station: Station) -> None:
    """Put the agency's identity into the keystore, where enrolment leaves it."""
    seeds = station.member.identity.seeds
    for name, seed in zip((AGENCY_ED25519, AGENCY_MLDSA65), seeds, strict=True):
        station.installation.keystore.put(name, name, seed)


def entry(station: Station) -> DeviceEntry:
    found = station.parts.directory.directory.device(station.member.device_id)
    assert found is not None
    return found


class Sink:
    """Takes statements and refuses them, if it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.handed: list[bytes] = []
        self.error = error

    async def submit_statement(self, statement: bytes) -> int:
        self.handed.append(statement)
        if self.error is not None:
            raise self.error
        return 0


async def test_con_11_a_certificate_is_renewed_in_its_last_30_days_and_not_before(world: World) -> None:
    station, clock = world.probation, world.hub.clock
    give_agency_key(station)
    before = entry(station)
    clock.advance((ENDS_IN - 30) * DAY)
    await station.look()
    assert entry(station) == before
    clock.advance(1)
    await station.look()
    renewed = entry(station)
    assert renewed.index > before.index
    assert renewed.not_after - clock() > DEVICE_LIFE - HOUR
    assert (renewed.key, renewed.desks, renewed.issuer) == (before.key, before.desks, before.issuer)
    size = station.parts.directory.directory.size
    await station.look()
    assert station.parts.directory.directory.size == size
    assert "certificate-renewed" in station.logged.getvalue()


async def test_con_11_mail_prekeys_and_what_is_under_way_go_on_over_a_renewal(world: World) -> None:
    """The device keeps its key id and its mailbox, so nothing is sealed anew for its sake."""
    stations = (world.prison, world.probation)
    for one in stations:
        give_agency_key(one)
    sent = []
    for _ in range(7):
        sent.append(await world.prison.send(world.probation.desk))
        world.hub.clock.advance(10 * DAY)
        for one in stations:
            await one.look()
        await world.probation.turn()
        await world.prison.turn()
    assert world.hub.clock() < entry(world.prison).not_after
    rows = [await only_recipient(world.prison, one) for one in sent]
    assert {(row.state, row.attempts) for row in rows} == {(MessageState.OPENED, 1)}
    assert await world.probation.quarantined() == await world.prison.quarantined() == []


async def test_con_11_a_connector_whose_certificate_ended_while_it_was_away_renews_it_and_reads_its_mail(
    world: World,
) -> None:
    station, clock = world.probation, world.hub.clock
    give_agency_key(station)
    give_agency_key(world.prison)
    clock.advance((ENDS_IN - 10) * DAY)
    await world.prison.look()
    clock.advance(20 * DAY)
    with pytest.raises(NotAuthenticated):
        await station.collect()
    await world.prison.look()
    queued = await world.prison.compose(station.desk)
    await world.prison.seal_and_send()
    assert (await only_recipient(world.prison, queued.id)).error is not None
    await station.look()
    await world.prison.look()
    await world.prison.seal_and_send()
    await station.turn()
    assert len((await station.view(queued.id)).sections) == 2


class Picky:
    """Hands statements on to the hub, but not those of one kind."""

    def __init__(self, station: Station, refused: type[Subject]) -> None:
        self.station = station
        self.refused = refused

    async def submit_statement(self, statement: bytes) -> int:
        if isinstance(parse_statement(statement).body.subject, self.refused):
            raise Unavailable
        return await self.station.parts.client.submit_statement(statement)


@pytest.mark.parametrize("refused", [Device, Prekey])
async def test_con_11_a_renewal_and_a_prekey_that_fail_keep_nothing_else_back(
    world: World, refused: type[Subject]
) -> None:
    station = world.probation
    give_agency_key(station)
    world.hub.clock.advance((ENDS_IN - 10) * DAY)
    parts = station.parts
    await parts.directory.sync()
    before, prekey = entry(station), parts.directory.directory.newest_prekey(station.member.device_id)
    failures = await upkeep(
        parts.renewal, parts.prekeys, Picky(station, refused), drained_at=None, follow=parts.directory.sync
    )
    assert [type(one) for one in failures] == [Unavailable]
    assert (entry(station) == before) == (refused is Device)
    newest = parts.directory.directory.newest_prekey(station.member.device_id)
    assert (newest == prekey) == (refused is Prekey)
    # What was kept back is done in the next round.
    await station.look()
    assert entry(station) != before
    assert parts.directory.directory.newest_prekey(station.member.device_id) != prekey


async def test_con_11_without_the_agency_s_key_nothing_is_renewed_and_the_log_says_so_once_an_hour(
    world: World,
) -> None:
    """A thief who has the device's keys only."""
    station, clock = world.probation, world.hub.clock
    clock.advance((ENDS_IN - 10) * DAY)
    await station.parts.directory.sync()
    sink = Sink()
    for _ in range(3):
        assert await station.parts.renewal.maintain(sink) is False
    assert sink.handed == []
    assert station.logged.getvalue().count('"renewal"') == 1
    clock.advance(HOUR)
    await station.parts.renewal.maintain(sink)
    assert station.logged.getvalue().count('"renewal"') == 2


async def test_con_11_a_refused_renewal_stops_nothing_and_an_absent_hub_is_told(world: World) -> None:
    station, clock = world.probation, world.hub.clock
    give_agency_key(station)
    clock.advance((ENDS_IN - 10) * DAY)
    await station.parts.directory.sync()
    with pytest.raises(HubUnreachable):
        await station.parts.renewal.maintain(Sink(HubUnreachable()))
    refusing = Sink(UntrustedKey())
    for _ in range(3):
        assert await station.parts.renewal.maintain(refusing) is False
    assert len(refusing.handed) == 1


async def test_dir_17_an_old_machine_that_is_started_again_renews_nothing(
    world: World, hub: RunningHub, tmp_path: Path
) -> None:
    old = world.probation
    give_agency_key(old)
    hub.programme.now = hub.clock()
    hub.programme.replace_device(old.member, "the new machine")
    await hub.catch_up()
    hub.clock.advance((ENDS_IN - 10) * DAY)
    old_id = old.installation.device.key_id
    await old.parts.directory.sync()
    sink = Sink()
    assert await old.parts.renewal.maintain(sink) is False
    assert sink.handed == []
    # Even where the hub keeps the replacement from it, the directory refuses what it then signs.
    withheld = install(tmp_path / "withheld", old.member, hub.programme, hub.url)
    async with open_station(tmp_path / "withheld", old.member, withheld, hub.clock) as new:
        await new.look()
        assert new.parts.directory.directory.serves(
            new.member.device_id, new.desk, size=new.parts.directory.directory.size
        )
    assert not hub.hub.directory.directory.serves(old_id, old.desk, size=hub.hub.directory.directory.size)


async def test_con_11_the_service_s_delegation_is_renewed_like_the_certificate(world: World) -> None:
    station, clock = world.probation, world.hub.clock
    give_agency_key(station)
    clock.advance((ENDS_IN - 30) * DAY + 1)
    await station.look()
    directory = station.parts.directory.directory
    (service,) = directory.delegations(station.member.address, clock())
    assert service.digest != station.member.delegation
    assert (service.officer, service.title) == (station.member.officer, "connector service")
    assert service.not_after - clock() > 365 * DAY
    count = len(directory.all_delegations(station.member.address))
    await station.look()
    assert len(directory.all_delegations(station.member.address)) == count


async def test_con_12_nothing_is_signed_before_a_service_that_ended_while_it_was_away_is_renewed(world: World) -> None:
    station, clock = world.prison, world.hub.clock
    for one in (station, world.probation):
        give_agency_key(one)
        await one.look()
    clock.advance(120 * DAY)
    await world.probation.look()
    queued = await station.compose(world.probation.desk)
    await station.parts.directory.sync()
    assert await station.seal_and_send() == 0
    waiting = await only_recipient(station, queued.id)
    assert (waiting.state, waiting.error) == (MessageState.QUEUED, "delegation-ended")
    await station.look()
    assert await station.seal_and_send() == 1
    await world.probation.collect()
    assert await world.probation.quarantined() == []


async def test_con_11_a_service_that_the_agency_revoked_is_not_renewed(world: World, hub: RunningHub) -> None:
    station = world.probation
    give_agency_key(station)
    hub.programme.now = hub.clock()
    hub.programme.state(Revocation(station.member.delegation, "ended"), [station.member.identity], age=0)
    await hub.catch_up()
    hub.clock.advance((ENDS_IN - 10) * DAY)
    await station.look()
    assert station.parts.directory.directory.delegations(station.member.address, hub.clock()) == []


async def test_con_11_a_revoked_device_does_not_try(world: World, hub: RunningHub) -> None:
    station = world.probation
    give_agency_key(station)
    hub.programme.now = hub.clock()
    hub.programme.revoke_device(station.member)
    await hub.catch_up()
    hub.clock.advance((ENDS_IN - 10) * DAY)
    await station.parts.directory.sync()
    sink = Sink()
    assert await station.parts.renewal.maintain(sink) is False
    assert sink.handed == []
