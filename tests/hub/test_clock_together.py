# SPDX-License-Identifier: Apache-2.0
"""Hub processes that share a database, or stand behind a balancer, and start with a clock that is unsure (AUD-11)."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hub.service.clocktrust import LEAP
from hub.web.admin import Health, admin_application
from protocol.errors import Unavailable
from protocol.http.running import Runner, listen
from protocol.limits import DAY, HOUR, MINUTE
from tests.hub.pairs import Pair, copy_guard
from tests.hub.running import RunningHub, TestClock, on_postgres
from tests.hub.test_doctor import looked_at
from tests.programme import NOW, Programme

WEEKEND = 3 * DAY


@pytest.fixture
async def unsure(tmp_path: Path, postgres_url: str, programme: Programme) -> AsyncIterator[Pair]:
    """Start two processes that were off since Friday, with the right time."""
    one, two, more = tmp_path / "one", tmp_path / "two", on_postgres(postgres_url)
    one.mkdir()
    async with RunningHub(one, programme, more=more, confirmed=False):
        pass
    copy_guard(one, two)
    async with AsyncExitStack() as stack:
        clock = TestClock(NOW + WEEKEND)
        hubs = [RunningHub(folder, programme, clock, more=more, confirmed=False) for folder in (one, two)]
        first, second = [await stack.enter_async_context(hub) for hub in hubs]
        yield Pair(first, second, postgres_url)


async def tidy(hub: RunningHub) -> None:
    for one in hub.hub.housekeeping.rounds():
        await one.work()


async def test_aud_11_what_one_process_was_shown_the_other_believes_though_no_leaf_was_written(unsure: Pair) -> None:
    """With a balancer that sticks, the second may see one agency only, and stayed closed until a date was typed."""
    prison, probation, _ = unsure.programme.members.values()
    for _ in range(2):
        for hub, member in ((unsure.first, prison), (unsure.second, probation)):
            with pytest.raises(Unavailable, match="two agencies"):
                await hub.device(member).read()
            await tidy(hub)
    assert not unsure.first.hub._trust.given, "one agency at each is not shown to either"
    assert not unsure.second.hub._trust.given
    leaves = await unsure.first.leaves()
    await unsure.first.device(probation).read()
    await unsure.second.hub.housekeeping.keep_time()
    assert not unsure.second.hub._trust.given, "nothing is committed yet but a nonce"
    await tidy(unsure.first)
    await unsure.second.hub.housekeeping.keep_time()
    assert unsure.second.hub._trust.given
    assert await unsure.first.leaves() == leaves
    assert await unsure.second.device(prison).items() == ()
    found = await looked_at(unsure.second.folder, unsure.programme, *on_postgres(unsure.url), clock=unsure.second.clock)
    assert found["log times"].found == "The clock is not behind what this hub has signed."


async def test_aud_11_a_new_leaf_shows_it_too_and_none_a_process_whose_clock_is_another_years(unsure: Pair) -> None:
    prison, probation, _ = unsure.programme.members.values()
    with pytest.raises(Unavailable, match="two agencies"):
        await unsure.first.device(prison).read()
    await unsure.first.device(probation).read()
    sealed = unsure.programme.sender("gora-prison").seal(probation.desk, now=unsure.first.clock())
    await unsure.first.device(prison).submit(sealed.data)
    trust, right = unsure.second.hub._trust, unsure.second.clock
    trust._clock = TestClock(right() + LEAP + MINUTE)
    await unsure.second.hub.housekeeping.keep_time()
    assert not trust.given
    trust._clock = right
    await unsure.second.hub.housekeeping.keep_time()
    assert trust.given


async def test_aud_11_a_balancer_sends_requests_to_a_hub_that_is_unsure_and_none_to_one_that_is_wrong(
    tmp_path: Path, programme: Programme
) -> None:
    """Only requests can show it the time: a balancer that asked `/readyz` kept it closed for good."""
    prison, probation, _ = programme.members.values()
    async with RunningHub(tmp_path, programme, confirmed=False):
        pass
    elapsed = TestClock(5_000)
    hub = RunningHub(tmp_path, programme, TestClock(NOW + WEEKEND), confirmed=False, elapsed=elapsed)
    async with hub:
        health = Health()
        hub.hub.watch.answer(health)
        runner = Runner(admin_application(health), clock=hub.clock)
        admin = f"http://localhost:{await listen(runner, '127.0.0.1', 0)}"

        async def asked(path: str) -> int:
            async with hub.session.get(f"{admin}/{path}") as answer:
                return answer.status

        try:
            assert await asked("routez") == 503, "it has not started"
            health.started = True
            assert (await asked("readyz"), await asked("routez")) == (503, 200)
            with pytest.raises(Unavailable, match="two agencies"):
                await hub.device(prison).read()
            assert await asked("routez") == 200
            assert await hub.device(probation).items() == ()
            assert (await asked("readyz"), await asked("routez")) == (200, 200)
            hub.clock.advance(HOUR)
            assert (await asked("readyz"), await asked("routez")) == (503, 503)
        finally:
            await runner.cleanup()


async def test_aud_11_a_clock_that_is_unsure_and_jumps_is_wrong_to_a_balancer_too(
    tmp_path: Path, programme: Programme
) -> None:
    async with RunningHub(tmp_path, programme, confirmed=False):
        pass
    elapsed = TestClock(5_000)
    async with RunningHub(tmp_path, programme, TestClock(NOW + WEEKEND), confirmed=False, elapsed=elapsed) as hub:
        health = Health()
        hub.hub.watch.answer(health)
        assert health.unsure()
        hub.clock.advance(HOUR)
        assert not health.unsure()
