# SPDX-License-Identifier: Apache-2.0
"""A hub whose clock is wrong: it writes, expires and signs nothing, says so, and goes on when it is right again."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hub.web.admin import Health
from protocol.clockwatch import ClockWatch, machine_time
from protocol.errors import Unavailable
from protocol.http import hub as api
from protocol.limits import DAY, MINUTE, SECOND
from tests.hub.running import RunningHub, TestClock
from tests.programme import NOW, Programme, make_programme


@pytest.fixture
def elapsed() -> TestClock:
    """What nobody sets: in these tests it stands still while the clock jumps."""
    return TestClock(5_000)


@pytest.fixture
async def hub(tmp_path: Path, programme: Programme, elapsed: TestClock) -> AsyncIterator[RunningHub]:
    async with RunningHub(tmp_path, programme, elapsed=elapsed) as running:
        yield running


async def is_ready(hub: RunningHub) -> bool:
    health = Health()
    hub.hub.watch.answer(health)
    return (await health.ready())["clock"]


@pytest.mark.parametrize("jump", [60 * DAY, 60 * MINUTE, -60 * MINUTE, 10 * MINUTE + 1, -10 * MINUTE - 1])
async def test_aud_7_a_clock_that_jumps_leaves_no_trace(hub: RunningHub, jump: int) -> None:
    """Fault 6: one round a year ahead would purge every envelope and refuse all others for a year."""
    prison, probation, _ = hub.programme.members.values()
    sender = hub.programme.sender("gora-prison")
    await hub.device(prison).submit(sender.seal(probation.desk).data)
    leaves, following = await hub.leaves(), sender.seal(probation.desk).data
    hub.clock.advance(jump)
    with pytest.raises(Unavailable):
        await hub.device(prison).submit(following)
    with pytest.raises(Unavailable):
        await hub.anonymous.call(api.GET_DIRECTORY_HEAD, api.DirectoryHead)
    if jump > DAY:
        with pytest.raises(Unavailable):
            await hub.hub.expiry.expire()
    with pytest.raises(Unavailable):
        await hub.hub.expiry.forget(30)
    assert not await is_ready(hub)
    assert '"clock-wrong"' in hub.logged.getvalue()
    hub.clock.advance(-jump)
    assert await is_ready(hub)
    assert await hub.leaves() == leaves
    assert len(await hub.device(probation).items()) == 1
    await hub.device(prison).submit(following)


async def test_aud_7_a_clock_that_is_set_a_little_stops_nothing(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    sender = hub.programme.sender("gora-prison")
    for move in (5 * MINUTE, -9 * MINUTE, 4 * MINUTE):
        hub.clock.advance(move)
        await hub.device(prison).submit(sender.seal(probation.desk, now=hub.clock.now).data)
        assert await is_ready(hub)


async def test_aud_7_a_hub_that_was_off_for_weeks_starts_and_expires(tmp_path: Path) -> None:
    programme = make_programme()
    prison, probation, _ = programme.members.values()
    async with RunningHub(tmp_path, programme, elapsed=TestClock(7)) as hub:
        await hub.device(prison).submit(programme.sender("gora-prison").seal(probation.desk, life=DAY).data)
    async with RunningHub(tmp_path, programme, TestClock(NOW + 30 * DAY), elapsed=TestClock(7)) as hub:
        assert await hub.hub.expiry.expire() == 1
        assert await is_ready(hub)


async def test_aud_7_a_hub_that_starts_with_a_clock_behind_its_log_waits(tmp_path: Path) -> None:
    programme = make_programme()
    prison, probation, _ = programme.members.values()
    sender = programme.sender("gora-prison")
    async with RunningHub(tmp_path, programme) as hub:
        await hub.device(prison).submit(sender.seal(probation.desk).data)
    async with RunningHub(tmp_path, programme, TestClock(NOW - 11 * MINUTE)) as hub:
        with pytest.raises(Unavailable):
            await hub.device(prison).submit(sender.seal(probation.desk, now=hub.clock.now).data)
        assert not await is_ready(hub)
        with pytest.raises(Unavailable):
            await hub.hub.directory.head()
        hub.clock.advance(2 * MINUTE)
        assert await hub.hub.directory.head()
        assert await is_ready(hub)
        await hub.device(prison).submit(sender.seal(probation.desk, now=hub.clock.now).data)


def test_aud_7_the_clock_is_compared_with_a_counter_that_goes_on() -> None:
    clock, elapsed = TestClock(), TestClock(0)
    watch = ClockWatch(clock, elapsed)
    for _ in range(3):
        clock.advance(100 * DAY)
        assert not watch.is_sound()
        elapsed.advance(100 * DAY)
        assert watch.is_sound()
    before = machine_time()
    assert 0 <= machine_time() - before < 100 * SECOND
