# SPDX-License-Identifier: Apache-2.0
"""A hub that starts with a clock far ahead of what it knows: nothing is lost before others show the time (AUD-11)."""

import asyncio
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from hub.cli import main
from hub.config import CLOCK_NAME
from hub.doctor import examine
from hub.service.clocktrust import LEAP, NOTED_EVERY, is_unsure, note_time, noted_time
from hub.web.admin import Health
from protocol.diagnosis import Condition
from protocol.errors import NotAuthenticated, ThroughcareError, Unavailable
from protocol.http import hub as api
from protocol.limits import DAY, HOUR, MINUTE
from tests.hub.running import DeviceClient, RunningHub, TestClock, settings_text
from tests.keys.world import device_of
from tests.programme import NOW, Member, Programme, make_programme

YEAR = 366 * DAY
LATER = 14 * DAY


@pytest.fixture
async def programme(tmp_path: Path) -> Programme:
    """Return a programme at whose hub a message waits for a month."""
    found = make_programme()
    prison, probation, _ = found.members.values()
    async with RunningHub(tmp_path, found, confirmed=False) as hub:
        await hub.device(prison).submit(found.sender("gora-prison").seal(probation.desk, life=30 * DAY).data)
    return found


def start(folder: Path, programme: Programme, ahead: int) -> RunningHub:
    """Return a hub to be started so long after that."""
    return RunningHub(folder, programme, TestClock(NOW + ahead), confirmed=False)


async def tidy(hub: RunningHub) -> None:
    for one in hub.hub.housekeeping.rounds():
        await one.work()


async def is_ready(hub: RunningHub) -> bool:
    health = Health()
    hub.hub.watch.answer(health)
    return (await health.ready())["clock"]


async def refused(hub: RunningHub, member: Member) -> None:
    with pytest.raises(Unavailable, match="two agencies"):
        await hub.device(member).read()


async def test_aud_11_a_hub_that_starts_a_year_ahead_loses_nothing_and_signs_nothing(
    tmp_path: Path, programme: Programme
) -> None:
    """Before, its first round had deleted all that waited, and nobody could have used it for that year."""
    prison, probation, _ = programme.members.values()
    async with start(tmp_path, programme, YEAR) as hub:
        await tidy(hub)
        assert not await is_ready(hub)
        assert '"clock-unsure"' in hub.logged.getvalue()
        assert "job-failed" not in hub.logged.getvalue()
        with pytest.raises(Unavailable, match="two agencies"):
            await hub.anonymous.call(api.GET_DIRECTORY_HEAD, api.DirectoryHead)
        with pytest.raises(Unavailable):
            await hub.hub.expiry.expire()
        answer = await hub.session.get(f"{hub.url}/v1/connect", headers={"Connection": "Upgrade"})
        assert answer.status == 503
        # The agencies' clocks are right: they are refused, and show nothing.
        for member in (prison, probation):
            with pytest.raises(ThroughcareError):
                await by_another_clock(hub, member, -YEAR).read()
        assert not hub.hub._trust.given
    assert noted_time(tmp_path / CLOCK_NAME) < NOW + HOUR, "what is not believed is not noted"
    async with start(tmp_path, programme, HOUR) as hub:
        assert await is_ready(hub)
        assert len(await hub.device(probation).items()) == 1
        assert await hub.leaves() == 1


async def test_aud_11_a_hub_that_was_off_for_two_weeks_goes_on_once_two_agencies_have_come(
    tmp_path: Path, programme: Programme
) -> None:
    prison, probation, _ = programme.members.values()
    async with start(tmp_path, programme, LATER) as hub:
        for _ in range(3):
            await refused(hub, prison)
        assert len(await hub.device(probation).items()) == 1, "who comes second is served at once"
        assert await is_ready(hub)
        assert '"clock-confirmed"' in hub.logged.getvalue()
        sealed = programme.sender("gora-prison").seal(probation.desk, now=hub.clock())
        await hub.device(prison).submit(sealed.data)
        await tidy(hub)
        assert noted_time(tmp_path / CLOCK_NAME) == hub.clock()
        hub.clock.advance(LATER + 2 * DAY)
        await tidy(hub)
        assert '"expired"' in hub.logged.getvalue(), "and then all goes on as it should"
    async with start(tmp_path, programme, 2 * LATER + 3 * DAY - MINUTE) as hub:
        assert await is_ready(hub), "the time is noted when it stops, too"


async def test_aud_11_one_agency_alone_and_strangers_show_nothing(tmp_path: Path, programme: Programme) -> None:
    """Whoever profits from a hub that deletes everything must not be able to have it do so."""
    prison, probation, social = programme.members.values()
    second = programme.replace_device(prison, "second")
    programme.revoke_device(social)
    async with RunningHub(tmp_path, programme):
        pass
    (tmp_path / CLOCK_NAME).unlink()
    async with start(tmp_path, programme, 40 * DAY) as hub:
        callers = [
            hub.device(prison),
            hub.device(prison, second),
            hub.device(social),
            hub.device(probation, device_of("a stranger")),
            by_another_clock(hub, probation, 2 * MINUTE),
            by_another_clock(hub, probation, -2 * MINUTE),
        ]
        for caller in callers:
            with pytest.raises(ThroughcareError):
                await caller.read()
        await tidy(hub)
        assert not hub.hub._trust.given
        assert hub.hub._trust._seen == {prison.address}
        assert await hub.leaves() == 1


async def test_aud_11_whoever_asks_an_unsure_hub_again_and_again_leaves_nothing_in_it(
    tmp_path: Path, programme: Programme
) -> None:
    """It may stand so over a holiday, and one agency may ask all the time: memory and log filled by the minute."""
    prison, probation, _ = programme.members.values()
    own = TestClock(NOW + LATER)
    async with RunningHub(tmp_path, programme, own, confirmed=False, elapsed=TestClock(5_000)) as hub:
        asking, before = hub.device(prison), len(hub.hub.nonces._used)
        sealed = programme.sender("gora-prison").seal(probation.desk, now=hub.clock())
        for _ in range(10):
            asked = [*(asking.read() for _ in range(10)), *(asking.submit(sealed.data) for _ in range(5))]
            told = await asyncio.gather(*asked, return_exceptions=True)
            assert {type(one) for one in told} == {Unavailable}
        assert len(hub.hub.nonces._used) == before
        assert hub.logged.getvalue().count('"clock-unsure"') == 2, "at the start, and for the first who was refused"
        await hub.device(probation).read()
        await asking.submit(sealed.data)
        hub.clock.advance(-HOUR)
        for _ in range(10):
            with pytest.raises(Unavailable, match="clock is wrong"):
                await asking.read()
        assert hub.logged.getvalue().count('"clock-wrong"') == 1, "and so it is with one that is wrong (AUD-7)"
        assert len(hub.hub.nonces._used) == before + 2


async def test_http_2_a_nonce_that_was_refused_for_the_clock_counts_once_all_the_same(
    tmp_path: Path, programme: Programme
) -> None:
    """Whoever recorded the request may repeat it then, and has it done once: what its sender asked for anyway."""
    prison, probation, social = programme.members.values()
    async with start(tmp_path, programme, LATER) as hub:
        nonces, nonce = hub.hub.nonces, b"recorded by one!"
        with pytest.raises(Unavailable, match="two agencies"):
            await nonces.use(prison.device_id, nonce, hub.clock())
        await refused(hub, social)
        await hub.device(probation).read()
        await nonces.use(prison.device_id, nonce, hub.clock())
        for _ in range(2):
            with pytest.raises(NotAuthenticated):
                await nonces.use(prison.device_id, nonce, hub.clock())


def by_another_clock(hub: RunningHub, member: Member, off: int) -> DeviceClient:
    """Return a client whose clock is off by so much from the hub's."""
    return DeviceClient(hub.session, hub.url, member.device, lambda: hub.clock() + off)


async def test_aud_11_the_operators_word_counts_within_seconds_and_a_wrong_date_does_not(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, probation, _ = programme.members.values()
    config = tmp_path / "hub.toml"
    config.write_text(settings_text(tmp_path, programme))
    now = NOW + LATER
    monkeypatch.setattr("hub.app.system_clock", lambda: now)
    today, other = (datetime.fromtimestamp(at / 1_000, UTC).date() for at in (now, now - YEAR))

    def typed(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["clock", *words, "--config", str(config)])
        return done.exit_code, done.output

    async with start(tmp_path, programme, LATER) as hub:
        code, said = await asyncio.to_thread(typed)
        assert code == 1
        assert "two agencies" in said
        assert "--confirm YYYY-MM-DD" in said
        found = {one.check: one for one in await examine(hub.settings, hub.clock)}
        assert found["log times"].condition is Condition.WARNING
        assert "throughcare-hub clock --confirm" in str(found["log times"].fix)
        code, said = await asyncio.to_thread(typed, "--confirm", str(other))
        assert code == 3
        assert "another day" in said
        await hub.hub.housekeeping.keep_time()
        assert not await is_ready(hub)
        code, said = await asyncio.to_thread(typed, "--confirm", str(today))
        assert (code, said.splitlines()[-1]) == (0, "Confirmed.")
        await hub.hub.housekeeping.keep_time()
        assert await is_ready(hub)
        assert len(await hub.device(probation).items()) == 1
        found = {one.check: one for one in await examine(hub.settings, hub.clock)}
        assert found["log times"].condition is Condition.OK
        code, said = await asyncio.to_thread(typed)
        assert (code, said.splitlines()[-1]) == (0, "Nothing has to be confirmed.")


async def test_aud_11_the_time_is_noted_every_hour_and_only_while_it_is_right(
    tmp_path: Path, programme: Programme
) -> None:
    path = tmp_path / CLOCK_NAME
    elapsed = TestClock(5_000)
    hub = RunningHub(tmp_path, programme, TestClock(NOW + HOUR), confirmed=False, elapsed=elapsed)
    async with hub:
        await tidy(hub)
        first = noted_time(path)
        assert first == NOW + HOUR
        for clock in (hub.clock, elapsed):
            clock.advance(NOTED_EVERY - 1)
        await tidy(hub)
        assert noted_time(path) == first
        for clock in (hub.clock, elapsed):
            clock.advance(1)
        await tidy(hub)
        assert noted_time(path) == first + NOTED_EVERY
        hub.clock.advance(YEAR)
        await hub.hub.housekeeping.keep_time()
        assert noted_time(path) == first + NOTED_EVERY
    assert noted_time(path) == first + NOTED_EVERY, "nor at the end"


@pytest.mark.parametrize(
    "content", [b"", b"tc-clock-1", b"tc-clock-2 5\n", b"tc-clock-1 -5\n", b"\xff" * 500, b"1 2 3"]
)
async def test_aud_11_a_note_that_is_damaged_is_none(tmp_path: Path, programme: Programme, content: bytes) -> None:
    (tmp_path / CLOCK_NAME).write_bytes(content)
    assert noted_time(tmp_path / CLOCK_NAME) == 0
    async with start(tmp_path, programme, LATER) as hub:
        assert not await is_ready(hub)
    async with start(tmp_path, programme, LEAP) as hub:
        assert await is_ready(hub)


times = st.integers(0, 2**45)


@given(now=times, newest=times, noted=times)
def test_aud_11_a_clock_is_asked_for_only_if_it_is_ahead_of_all_that_is_known(
    now: int, newest: int, noted: int
) -> None:
    unsure = is_unsure(now, newest, noted)
    assert unsure == (newest > 0 and now - newest > LEAP and now - noted > LEAP)
    # Once it is noted it is believed, for a day at least and by every clock that is not further ahead.
    assert not is_unsure(now, newest, now)
    assert not is_unsure(now + LEAP, newest, now)


@given(at=times)
def test_aud_11_what_is_noted_is_read_back(tmp_path_factory: pytest.TempPathFactory, at: int) -> None:
    path = tmp_path_factory.getbasetemp() / CLOCK_NAME
    note_time(path, at)
    assert noted_time(path) == at
