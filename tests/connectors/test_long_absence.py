# SPDX-License-Identifier: Apache-2.0
"""Sixty days away: whoever comes back opens everything that was sent meanwhile, whoever else was away (DIR-8, DIR-9).

The clock is the test's; hub, HTTP, stores, keystores and keys are real. Days pass a few at a time: after each few
the hub does its rounds, and who is online looks at the directory, reads mail and sends.
"""

from collections.abc import Sequence
from pathlib import Path

import pytest

from connectors.installation import PREKEY_PREFIX
from protocol.http.handovers import MessageState
from protocol.ids import MessageId
from protocol.limits import DAY
from tests.connectors.conftest import World
from tests.connectors.hand import only_recipient
from tests.connectors.stations import PLANTED, Station, install, open_station, package, person_section
from tests.hub.running import RunningHub

pytestmark = pytest.mark.usefixtures("databases_in_the_loop")

AWAY = 60
"""Days; an envelope lives for 30 of them."""
_AT_ONCE = 5


async def pass_days(world: World, days: int, *online: Station) -> None:
    """Let days pass, with `online` at work on each of them."""
    for passed in range(0, days, _AT_ONCE):
        world.hub.clock.advance(min(_AT_ONCE, days - passed) * DAY)
        await world.hub.hub.expiry.expire()
        for one in online:
            await one.look()
            await one.turn()


async def send_on(world: World, days: Sequence[int], until: int, *online: Station) -> list[MessageId]:
    """Let `until` days pass, with a handover from the prison to probation at the end of each of `days`."""
    sent: list[MessageId] = []
    today = 0
    for day in days:
        await pass_days(world, day - today, *online)
        content = package(person_section(f"{PLANTED} {day}"))
        sent.append(await world.prison.send(world.probation.desk, content=content))
        today = day
    await pass_days(world, until - today, *online)
    return sent


async def names_in(station: Station, sent: Sequence[MessageId]) -> list[str]:
    """Return the family names in the first sections of `sent`, as the recipient shows them."""
    return [str((await station.view(one)).sections[0].body["family_name"]) for one in sent]


def seeds(station: Station) -> list[str]:
    return station.installation.keystore.names(PREKEY_PREFIX)


async def test_seq_4_a_connector_that_was_away_for_sixty_days_opens_everything_on_its_return(world: World) -> None:
    days = (0, 10, 29, 31, 45, 59)
    sent = await send_on(world, days, AWAY + 1, world.prison)
    # What was sent early has been sealed anew for it, once in thirty days, while its prekey was not too old (DIR-8).
    rows = [await only_recipient(world.prison, one) for one in sent]
    assert [row.attempts for row in rows] == [2, 2, 2, 1, 1, 1]
    assert all("old-prekey" in row.marks for row in rows[3:])
    assert {row.state for row in rows} == {MessageState.QUEUED, MessageState.ACCEPTED}
    await world.probation.look()
    await world.probation.turn()
    await pass_days(world, 1, world.prison, world.probation)
    await world.prison.turn()
    assert await names_in(world.probation, sent) == [f"{PLANTED} {day}" for day in days]
    assert [(await only_recipient(world.prison, one)).state for one in sent] == [MessageState.OPENED] * len(days)
    assert await world.probation.quarantined() == []


async def test_dir_9_mail_of_sixty_days_opens_though_the_prekey_was_superseded_every_week(world: World) -> None:
    """Attack 42, the other way round: the mailbox was out of reach all the time, so no seed may go."""
    station, clock = world.probation, world.hub.clock
    last_drained = clock()
    sent: list[MessageId] = []
    for _ in range(AWAY // 5):
        sent.append(await world.prison.send(station.desk))
        await pass_days(world, 5, world.prison)
        await station.parts.directory.sync()
        await station.parts.prekeys.maintain(station.parts.client, drained_at=last_drained)
    newest = station.parts.directory.directory.newest_prekey(station.member.device_id)
    assert newest is not None
    assert newest.epoch >= 6
    assert len(seeds(station)) >= newest.epoch
    await station.turn()
    await world.prison.turn()
    assert [(await only_recipient(world.prison, one)).state for one in sent] == [MessageState.OPENED] * len(sent)
    assert await station.quarantined() == []
    # Now that it is drained, the seeds whose successors are old enough go, and only they.
    kept = len(seeds(station))
    await station.parts.prekeys.maintain(station.parts.client, drained_at=clock())
    assert 0 < len(seeds(station)) < kept


async def test_seq_4_a_sender_that_was_away_as_long_seals_anew_when_it_is_back(world: World) -> None:
    """Nobody seals on the sender's behalf: both come back after its envelope is long gone from the hub."""
    sent = await world.prison.send(world.probation.desk)
    unsent = await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()
    await pass_days(world, 40)
    await world.probation.look()
    await world.probation.turn()
    await pass_days(world, AWAY - 40, world.probation)
    await world.prison.look()
    await world.prison.turn()
    await world.prison.seal_and_send()
    await world.probation.turn()
    await world.prison.turn()
    for message_id in (sent, unsent.id):
        recipient = await only_recipient(world.prison, message_id)
        assert (recipient.state, recipient.attempts) == (MessageState.OPENED, 2)
    assert await world.probation.quarantined() == []


async def test_seq_4_receipts_of_a_connector_whose_sender_is_away_reach_it_after_sixty_days(world: World) -> None:
    sent = await world.prison.send(world.probation.desk)
    await world.probation.turn()
    await pass_days(world, AWAY, world.probation)
    assert (await only_recipient(world.prison, sent)).state is MessageState.ACCEPTED
    await world.prison.look()
    await world.prison.turn()
    await pass_days(world, 1, world.probation, world.prison)
    assert (await only_recipient(world.prison, sent)).state is MessageState.OPENED
    assert await world.prison.quarantined() == []


async def test_dir_7_a_device_that_replaces_one_lost_sixty_days_ago_gets_what_was_under_way(
    world: World, hub: RunningHub, tmp_path: Path
) -> None:
    days = (0, 20, 40)
    sent = await send_on(world, days, AWAY, world.prison)
    hub.programme.now = hub.clock()
    before = len(hub.programme.statements)
    hub.programme.replace_device(world.probation.member, "the replacement")
    for raw in hub.programme.statements[before:]:
        # The prison's weekly prekeys stand in the hub's log as well, which the programme does not know.
        await hub.hub.directory.append(raw)
    folder = tmp_path / "replacement"
    folder.mkdir()
    installation = install(folder, world.probation.member, hub.programme, hub.url)
    async with open_station(folder, world.probation.member, installation, hub.clock) as new:
        await new.look()
        assert await new.collect() == 0
        await pass_days(world, 1, world.prison, new)
        await world.prison.turn()
        assert await names_in(new, sent) == [f"{PLANTED} {day}" for day in days]
        assert await new.quarantined() == []
    assert [(await only_recipient(world.prison, one)).state for one in sent] == [MessageState.OPENED] * len(days)
