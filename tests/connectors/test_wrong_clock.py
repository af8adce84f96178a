# SPDX-License-Identifier: Apache-2.0
"""A connector whose clock is months ahead, at its start or later: what cannot be undone does not happen (CON-23)."""

import io
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from connectors.incoming_mail import IncomingMail
from connectors.logs import Log
from connectors.tidying import Tidying
from protocol.errors import ClockSkewed
from protocol.http.handovers import MessageState
from protocol.limits import DAY, HOUR, MINUTE
from tests.connectors.cases.test_clockwork import fire, told
from tests.connectors.cases.test_referral import do, refer, row, settle
from tests.connectors.conftest import World
from tests.connectors.hand import count, only_recipient
from tests.connectors.stations import Station, open_station
from tests.connectors.test_prekeys import Sink
from tests.hub.running import TestClock

AHEAD = 400 * DAY


class Machine:
    """The machine of a connector: a clock that somebody can set, and a counter that nobody can."""

    def __init__(self, world: World, ahead: int = 0) -> None:
        self.hub = world.hub.clock
        self.clock, self.elapsed = TestClock(self.hub() + ahead), TestClock(5_000)

    def pass_time(self, span: int) -> None:
        for one in (self.hub, self.clock, self.elapsed):
            one.advance(span)


@asynccontextmanager
async def starting(world: World, folder: Path, machine: Machine, **changes: Any) -> AsyncIterator[Station]:
    """Start the prison's connector anew, on a copy of its folder; it has not met the hub yet."""
    prison = world.prison
    shutil.copytree(prison.folder, folder)
    opened = open_station(
        folder, prison.member, prison.installation, machine.clock, elapsed=machine.elapsed, websocket=False, **changes
    )
    async with opened as again:
        yield again


@pytest.mark.parametrize("jumps", [False, True], ids=["ahead-at-the-start", "jumps-later"])
async def test_con_23_a_clock_that_is_far_ahead_ends_deletes_and_tells_nothing(
    world: World, tmp_path: Path, jumps: bool
) -> None:
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw, priority="emergency")).thread
    sent = await prison.send(world.probation.desk)
    queued = await prison.compose(world.probation.desk)
    await prison.parts.sealer.step()
    machine = Machine(world, 0 if jumps else AHEAD)
    async with starting(world, tmp_path / "again", machine) as again:
        tidying = Tidying(again.parts, None, machine.clock, Log(io.StringIO()))
        await again.parts.directory.sync()
        if jumps:
            assert again.parts.directory.clock_is_sound
            machine.clock.advance(AHEAD)
        assert (again.parts.directory.clock_is_sound, again.parts.directory.clock_is_wrong) == (False, True)
        before = {table: await count(again, table) for table in ("request", "event", "outgoing", "attempt")}
        assert await fire(again) == 0
        assert await again.parts.sealer.step() == 0
        await again.parts.outbox._drop_lapsed()
        for _, step in tidying.steps():
            await step()
        assert await again.parts.resealing.follow_silence(machine.clock()) == 0
        assert {table: await count(again, table) for table in before} == before
        assert (await row(again, thread)).alert is None
        for one, state in ((sent, MessageState.ACCEPTED), (queued.id, MessageState.QUEUED)):
            assert (await only_recipient(again, one)).state is state
        # The clock is set, and all goes on by itself.
        machine.clock.advance(-AHEAD)
        assert again.parts.directory.clock_is_sound
        machine.pass_time(HOUR)
        assert await fire(again) == 2
        assert await told(again, thread) == ["send", "escalate", "escalate"]


async def test_con_23_a_clock_that_was_wrong_is_sound_as_soon_as_it_is_set(world: World, tmp_path: Path) -> None:
    """No further look at the hub is needed: it told the time, and the counter says how much has passed since."""
    machine = Machine(world, -AHEAD)
    async with starting(world, tmp_path / "again", machine) as again:
        directory = again.parts.directory
        assert not directory.clock_is_sound
        with pytest.raises(ClockSkewed):
            await directory.sync()
        machine.pass_time(9 * DAY)
        assert directory.clock_is_wrong
        for set_to, sound in ((AHEAD - 11 * MINUTE, False), (2 * MINUTE, True), (19 * MINUTE, True), (MINUTE, False)):
            machine.clock.advance(set_to)
            assert directory.clock_is_sound is sound


async def test_con_23_lif_7_before_the_first_look_what_is_late_is_shown_and_told_to_nobody(
    world: World, tmp_path: Path
) -> None:
    """The hub is away when the connector starts: nobody could be told anyway."""
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw, priority="emergency")).thread
    machine = Machine(world)
    machine.pass_time(3 * DAY + MINUTE)
    async with starting(world, tmp_path / "again", machine) as again:
        assert await fire(again) == 0
        assert await told(again, thread) == ["send"]
        assert (await row(again, thread)).alert == "overdue"
        await again.look()
        assert await fire(again) == 7


async def test_con_23_time_waits_for_what_came_while_the_connector_was_off(world: World, tmp_path: Path) -> None:
    """The answer came in time, and waits at the hub when the machine is switched on, after it was due."""
    prison, csw = world.prison, world.social_work
    thread = (await refer(prison, csw, priority="emergency")).thread
    await settle(prison, csw)
    await do(csw, thread, "acknowledge")
    await csw.seal_and_send()
    machine = Machine(world)
    machine.pass_time(5 * HOUR)
    async with starting(world, tmp_path / "again", machine) as again:
        mail = IncomingMail(again.parts, machine.clock)
        await again.look()
        assert not mail.is_read()
        assert await again.parts.clockwork.step(mail_read=False) == 0
        async with again.parts.connection.open() as link:
            while not mail.is_read():
                await mail.take(link)
        assert await again.parts.clockwork.step() == 0
        assert await told(again, thread) == ["send", "receive", "acknowledge"]


async def test_con_23_a_message_whose_time_seems_to_be_over_waits_until_the_clock_is_known(
    world: World, tmp_path: Path
) -> None:
    machine = Machine(world)
    async with starting(world, tmp_path / "before", machine, message_days=1) as before:
        await before.look()
        queued = await before.compose(world.probation.desk)
        shutil.copytree(before.folder, tmp_path / "stopped")
    machine.clock.advance(2 * DAY)
    opened = open_station(
        tmp_path / "stopped", before.member, before.installation, machine.clock, elapsed=machine.elapsed
    )
    async with opened as again:
        assert await again.parts.sealer.step() == 0
        found = await only_recipient(again, queued.id)
        assert (found.state, found.error) == (MessageState.QUEUED, "clock-skewed")
        machine.clock.advance(-2 * DAY)
        machine.pass_time(2 * DAY)
        await again.look()
        await again.parts.sealer.step()
        assert (await only_recipient(again, queued.id)).state is MessageState.EXPIRED


async def test_con_23_dir_9_no_seed_is_destroyed_by_a_clock_that_is_ahead(world: World, tmp_path: Path) -> None:
    machine = Machine(world)
    async with starting(world, tmp_path / "again", machine) as again:
        machine.pass_time(8 * DAY)
        await again.look()
        machine.clock.advance(60 * DAY)
        await again.parts.directory.sync()
        for _ in range(2):
            # Neither by when its successor was seen in the log, nor by how long ago that seems to be.
            await again.parts.prekeys.maintain(Sink(), drained_at=machine.clock())
            machine.clock.advance(60 * DAY)
        assert "prekey-1" in again.installation.keystore.names("prekey-")
