# SPDX-License-Identifier: Apache-2.0
"""Connectors get through bad networks: blocked websockets, proxies, private certificates, slow and lossy links."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from connectors import socket_link
from connectors.connection import BLOCKED_FOR, MOST_BROKEN, SHORT_LIFE, Connection
from connectors.hub_client import HubClient, PollingLink
from connectors.logs import Log
from connectors.socket_link import SocketLink, open_socket
from connectors.timing import system_clock
from connectors.way_out import WayOut
from protocol.errors import ClockSkewed, ConfigurationError, HubUnreachable, UnexpectedAnswer
from protocol.http.handovers import Direction, MessageState
from protocol.ids import MessageId
from protocol.limits import DAY, MINUTE, SECOND
from tests.connectors.conftest import World
from tests.connectors.running import WallClock, everything_opened, installed, running, until
from tests.connectors.stations import Station, package, person_section
from tests.hub.running import RunningHub, TestClock
from tests.programme import make_programme
from tests.tlsnames import certificate
from tests.weather import Relay, Weather

DOMAIN = "hub.example"
GREETING_S = 0.3
"""Seconds that a test waits for a websocket's greeting."""


@pytest.fixture
async def relay(world: World) -> AsyncIterator[Relay]:
    """Stand between connectors and the hub of `world`."""
    async with Relay(world.hub.url) as standing:
        yield standing


def connection(station: Station, relay: Relay, clock: TestClock) -> Connection:
    return Connection(
        station.session,
        relay.url,
        DOMAIN,
        station.member.device,
        clock,
        Log(station.logged, json=True),
        websocket=True,
        poll_wait_s=0,
        greeting_s=GREETING_S,
    )


@pytest.mark.parametrize(
    "weather",
    [
        Weather(upgrade="refuse"),
        Weather(upgrade="strip"),
        Weather(upgrade="swallow"),
        Weather(upgrade="cut"),
        Weather(buffering=True),
    ],
    ids=["refused", "stripped", "swallowed", "cut", "buffered"],
)
async def test_http_9_polling_takes_over_where_websockets_are_blocked_and_goes_back_when_they_are_not(
    world: World, relay: Relay, weather: Weather
) -> None:
    await world.prison.send(world.probation.desk)
    relay.weather = weather
    way = connection(world.probation, relay, world.hub.clock)
    async with way.open() as link:
        assert isinstance(link, PollingLink)
        items = await link.receive(0)
        way.reached(link)
        assert len(items) == 1
        assert not way.worth_reopening
    assert "websocket-blocked" in world.probation.logged.getvalue()
    asked = len([line for line in relay.asked if "/v1/connect" in line])
    async with way.open() as link:
        assert isinstance(link, PollingLink), "it is not tried anew each time"
        way.reached(link)
        relay.weather = Weather()
        world.hub.clock.advance(BLOCKED_FOR)
        assert way.worth_reopening
    assert len([line for line in relay.asked if "/v1/connect" in line]) == asked
    async with way.open() as link:
        assert isinstance(link, SocketLink)
        assert await link.receive(0) == items


async def break_once(way: Connection, relay: Relay, clock: TestClock, after: int = 0) -> bool:
    """Open a link, cut it after `after` ms if it is a websocket, and tell whether it was one."""
    try:
        async with way.open() as link:
            if isinstance(link, PollingLink):
                return False
            clock.advance(after)
            relay.cut_all()
            await link.receive(0)
    except HubUnreachable:
        return True
    raise AssertionError("a link that was cut goes on")


async def test_websockets_that_open_and_break_again_and_again_count_as_blocked(world: World, relay: Relay) -> None:
    way = connection(world.prison, relay, world.hub.clock)
    for _ in range(MOST_BROKEN - 1):
        assert await break_once(way, relay, world.hub.clock)
    # One that lived for a while clears the count.
    assert await break_once(way, relay, world.hub.clock, after=SHORT_LIFE)
    assert await break_once(way, relay, world.hub.clock)
    # A busy machine may lose one of them before it is open; it counts all the same.
    for _ in range(MOST_BROKEN - 1):
        await break_once(way, relay, world.hub.clock)
    assert not await break_once(way, relay, world.hub.clock)


async def test_a_half_open_websocket_is_noticed(world: World, relay: Relay, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket_link, "HEARTBEAT_S", 0.2)
    async with open_socket(
        world.prison.session, relay.url, DOMAIN, world.prison.member.device, world.hub.clock
    ) as link:
        relay.weather.silent = True
        with pytest.raises(HubUnreachable):
            async with asyncio.timeout(10):
                await link.receive(0)


@pytest.mark.parametrize("portal", ["page", "redirect"])
async def test_a_login_page_is_no_answer_and_nothing_of_it_is_taken_in(world: World, relay: Relay, portal: str) -> None:
    relay.weather.portal = portal
    way = connection(world.probation, relay, world.hub.clock)
    async with way.open() as link:
        with pytest.raises(UnexpectedAnswer):
            await link.receive(0)
        with pytest.raises(UnexpectedAnswer):
            await link.submit([b"sealed bytes"])
    relay.weather.portal = ""
    async with way.open() as link:
        assert await link.receive(0) == ()


async def test_an_answer_cut_in_the_middle_is_fetched_again(world: World, relay: Relay) -> None:
    await world.prison.send(world.probation.desk)
    link = PollingLink(HubClient(world.probation.session, relay.url, world.hub.clock, world.probation.member.device), 0)
    relay.weather.cut_after = 500
    with pytest.raises(HubUnreachable):
        await link.receive(0)
    assert relay.cuts == 1
    relay.weather.cut_after = None
    assert len(await link.receive(0)) == 1


async def test_http_2_a_clock_that_is_off_is_named_over_polling(world: World, relay: Relay) -> None:
    ahead = TestClock(world.hub.clock.now + 5 * MINUTE)
    client = HubClient(world.prison.session, relay.url, ahead, world.prison.member.device)
    with pytest.raises(ClockSkewed, match="300 s from the hub"):
        await client.read_mailbox(0, wait_s=0)


@pytest.fixture
def quiet_logging() -> Iterator[None]:
    """Give the test run its own logging back, which a connector takes over."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


async def deliver(tmp_path: Path, seed: int, messages: int, cuts: int) -> None:
    """Send through a link that delays, stalls and cuts in the middle of frames; the pauses of both sides are real.

    One connector has a websocket, the other polls. All must come, once; at least `cuts` connections are cut.
    """
    programme = make_programme(now=system_clock())
    folder = tmp_path / "hub"
    folder.mkdir()
    async with RunningHub(folder, programme, WallClock()) as hub, Relay(hub.url, seed=seed) as bad:
        places = [installed(tmp_path, programme, name, bad.url) for name in ("gora-prison", "reka-probation")]
        async with (
            running(*places[0], websocket="true") as prison,
            running(*places[1], websocket="false", poll_wait_s="1") as probation,
        ):
            bad.weather = Weather(delay_s=0.002, bytes_per_s=2_000_000, stall=(0.05, 0.1), cut=0.02)
            opened, sent = bad.opened, list[MessageId]()
            while len(sent) < messages or bad.cuts < cuts:
                sent.append(await prison.send(probation.member))
                if len(sent) >= messages:
                    await until(lambda: everything_opened(prison, *sent), patience_s=120)
            # Every cut costs a few connections; without pauses there would be hundreds.
            assert bad.opened - opened < 20 + 10 * bad.cuts
            page = await probation.client.handovers(direction=Direction.RECEIVED, limit=200)
            assert sorted(one.id for one in page.items) == sorted(sent)
            assert (await probation.client.status()).counts.quarantined == 0


async def test_con_2_a_slow_and_lossy_link_delivers_everything_exactly_once(
    tmp_path: Path, quiet_logging: None
) -> None:
    await deliver(tmp_path, seed=3, messages=3, cuts=1)


async def test_con_15_mail_comes_although_no_large_answer_ever_arrives_whole(world: World, relay: Relay) -> None:
    """Every connection is cut after what four or five messages take; a whole page would be ten times that."""
    sent = [await world.prison.send(world.probation.desk) for _ in range(40)]
    relay.weather = Weather(upgrade="refuse", cut_after=120_000)
    way, cursor, breaks = connection(world.probation, relay, world.hub.clock), 0, 0
    while len(sent) > cursor:
        try:
            async with way.open() as link:
                items = await link.receive(cursor)
        except HubUnreachable:
            breaks += 1
            assert breaks < 40
        else:
            cursor = items[-1].index + 1
    assert breaks


async def test_con_15_what_never_gets_through_holds_up_nothing_and_fails_when_it_expires(
    world: World, relay: Relay
) -> None:
    """The large one is the oldest, and alone larger than what any connection carries."""
    clock, outbox = world.hub.clock, world.prison.parts.outbox
    large = await world.prison.compose(world.probation.desk, content=package(*[person_section()] * 12))
    small = [await world.prison.compose(world.probation.desk) for _ in range(3)]
    while await world.prison.parts.sealer.step():
        clock.advance(SECOND)
    relay.weather = Weather(cut_sending_after=80_000)
    link = PollingLink(HubClient(world.prison.session, relay.url, clock, world.prison.member.device), 0)

    async def tried() -> None:
        with suppress(HubUnreachable):
            await outbox.step(link)
        clock.advance(SECOND)

    for _ in range(16):
        await tried()
    for one in small:
        assert await world.prison.states(one.id) == {world.probation.desk: MessageState.ACCEPTED}
    assert await world.prison.states(large.id) == {world.probation.desk: MessageState.QUEUED}
    # It is tried on, and what is new comes before it all the same.
    cuts, late = relay.cuts, await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()
    await tried()
    assert await world.prison.states(late.id) == {world.probation.desk: MessageState.ACCEPTED}
    assert relay.cuts == cuts
    await tried()
    assert relay.cuts > cuts
    clock.advance(400 * DAY)
    await world.prison.look()
    await world.prison.parts.sealer.step()
    await tried()
    (recipient,) = (await world.prison.view(large.id)).recipients
    assert (recipient.state, recipient.error) == (MessageState.EXPIRED, "expired")
    assert await outbox.next_due() is None


@pytest.mark.full
@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_con_2_many_messages_over_a_lossy_link(tmp_path: Path, quiet_logging: None, seed: int) -> None:
    await deliver(tmp_path, seed=seed, messages=60, cuts=10)


@pytest.mark.parametrize("password", [None, "office:a secret: with signs"], ids=["open", "with a password"])
async def test_a_hub_with_a_private_certificate_is_reached_through_a_proxy(
    tmp_path: Path, password: str | None, quiet_logging: None
) -> None:
    programme = make_programme(now=system_clock())
    folder = tmp_path / "hub"
    folder.mkdir()
    made = certificate(tmp_path, "localhost", 30)
    async with (
        RunningHub(folder, programme, WallClock(), certificate=made) as hub,
        Relay(proxy=True, weather=Weather(password=password)) as proxy,
    ):
        named = {"proxy": proxy.url, "ca_file": made[0]}
        if password is not None:
            credentials = tmp_path / "credentials"
            credentials.touch(mode=0o600)
            credentials.write_text(password + "\n")
            named["proxy_credentials_file"] = credentials
        changes = {name: f'"{value}"' for name, value in named.items()}
        here, there = (installed(tmp_path, programme, name, hub.url) for name in ("gora-prison", "reka-probation"))
        async with running(*here, **changes) as prison, running(*there, **changes) as probation:
            sent = await prison.send(probation.member)
            await until(lambda: everything_opened(prison, sent))
            assert (await prison.client.status()).hub.connected
        assert proxy.opened
        assert all(line.startswith("CONNECT localhost:") for line in proxy.asked)


async def test_what_a_proxy_says_is_told_in_one_word(tmp_path: Path, world: World) -> None:
    async with Relay(proxy=True, weather=Weather(password="office:right")) as proxy:
        credentials = tmp_path / "credentials"
        credentials.touch(mode=0o600)
        for text in ("office:wrong", None):
            if text is not None:
                credentials.write_text(text)
            way = WayOut(proxy.url, credentials if text else None)
            async with way.session() as session:
                with pytest.raises(HubUnreachable) as refusal:
                    await HubClient(session, "https://hub.example", world.hub.clock).hub()
                assert refusal.value.reason == "proxy"
                with pytest.raises(HubUnreachable) as refusal:
                    async with open_socket(
                        session, "https://hub.example", DOMAIN, world.prison.member.device, world.hub.clock
                    ):
                        pass
                assert refusal.value.reason == "proxy"


@pytest.mark.parametrize("text", ["", "no colon", ":no name", "two\nlines:x\ny"])
async def test_credentials_that_are_none_are_refused_before_anything_is_sent(tmp_path: Path, text: str) -> None:
    path = tmp_path / "credentials"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(ConfigurationError):
        WayOut("http://localhost:9", path).session()
    path.write_text("office:secret")
    with pytest.raises(ConfigurationError, match=r"set connector\.proxy"):
        WayOut(None, path).session()
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        WayOut("http://localhost:9", path).session()
