# SPDX-License-Identifier: Apache-2.0
"""The way to the hub: a websocket where one can be had, polling where not; both have the same effect (HTTP-9)."""

import asyncio
from collections.abc import Sequence

import pytest
from aiohttp import WSMsgType, web

from connectors.connection import BLOCKED_FOR, MOST_BROKEN, Connection
from connectors.hub_client import HubClient, Outcome, PollingLink
from connectors.logs import Log
from connectors.socket_link import SocketLink, SocketRefused, open_socket
from protocol import labels
from protocol.errors import (
    ClockSkewed,
    EnvelopeError,
    HubUnreachable,
    NotAuthenticated,
    Revoked,
    TooManyRequests,
    Unavailable,
    UnexpectedAnswer,
)
from protocol.frames import Accepted, Challenge, Deliver, Hello, Welcome, encode_frame, parse_frame
from protocol.http.handovers import MessageState
from protocol.limits import MINUTE
from tests.connectors.conftest import World
from tests.connectors.lyinghub import LyingHub
from tests.connectors.stations import Station
from tests.hub.running import RunningHub
from tests.keys.world import device_of
from tests.programme import make_programme

DOMAIN = "hub.example"


def connection(station: Station, world: World, base: str, *, websocket: bool = True) -> Connection:
    """Return a connection of the station to the hub at `base`."""
    log = Log(station.logged, json=True)
    return Connection(
        station.session,
        base,
        DOMAIN,
        station.member.device,
        world.hub.clock,
        log,
        websocket=websocket,
        poll_wait_s=0,
    )


async def drain(station: Station, link: SocketLink | PollingLink) -> None:
    """Take and acknowledge one delivery."""
    await station.parts.inbox.take(await link.receive(await station.parts.inbox.cursor()))
    up_to = await station.parts.inbox.unacknowledged()
    assert up_to is not None
    await link.acknowledge(up_to)
    station.parts.inbox.acknowledged(up_to)


async def test_http_9_submissions_deliveries_and_acknowledgements_over_the_websocket(world: World) -> None:
    queued = await world.prison.compose(world.probation.desk)
    async with (
        open_socket(
            world.prison.session, world.hub.url, DOMAIN, world.prison.member.device, world.hub.clock
        ) as sending,
        open_socket(
            world.probation.session, world.hub.url, DOMAIN, world.probation.member.device, world.hub.clock
        ) as receiving,
    ):
        await world.prison.parts.sealer.step()
        await world.prison.parts.outbox.step(sending)
        assert await world.prison.states(queued.id) == {world.probation.desk: MessageState.ACCEPTED}
        await drain(world.probation, receiving)
        await world.probation.parts.sealer.step()
        await world.probation.parts.outbox.step(receiving)
        await drain(world.prison, sending)
    assert await world.prison.states(queued.id) == {world.probation.desk: MessageState.OPENED}
    assert await world.probation.link.receive(0) == ()


async def test_http_9_what_was_not_acknowledged_comes_again_over_the_other_way(world: World) -> None:
    await world.prison.send(world.probation.desk)
    device = world.probation.member.device
    async with open_socket(world.probation.session, world.hub.url, DOMAIN, device, world.hub.clock) as link:
        first = await link.receive(0)
    assert await world.probation.link.receive(0) == first


async def test_http_9_what_is_too_large_for_the_websocket_goes_by_a_plain_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    sender, prison, desk = world.hub.programme.sender("gora-prison"), world.prison, world.probation.desk
    sizes = (100, 100_000, 200, 300_000)
    sent = [sender.seal(desk, sections=[(bytes(size), [desk])]).data for size in sizes]
    plainly = list[Sequence[bytes]]()
    submit = HubClient.submit_batch

    async def noted(self: HubClient, envelopes: Sequence[bytes]) -> list[Outcome]:
        plainly.append(envelopes)
        return await submit(self, envelopes)

    monkeypatch.setattr(HubClient, "submit_batch", noted)
    async with open_socket(prison.session, world.hub.url, DOMAIN, prison.member.device, world.hub.clock) as link:
        receipts = await link.submit(sent)
        assert plainly == [[sent[1], sent[3]]]
        # The receipts stand in the order of the envelopes: the hub gives the same again for each.
        assert [[receipt] for receipt in receipts] == [await prison.link.submit([envelope]) for envelope in sent]
        assert await link.submit(sent[::2]) == receipts[::2]
    assert len(plainly) == 1 + len(sent), "what is small needs no request"


async def test_http_9_nothing_goes_over_the_websocket_if_the_plain_request_fails(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it is sent again then, and a hub that wants less gets less."""
    sender, prison, desk = world.hub.programme.sender("gora-prison"), world.prison, world.probation.desk
    sent = [sender.seal(desk, sections=[(bytes(size), [desk])]).data for size in (100, 100_000)]

    async def busy(self: HubClient, envelopes: Sequence[bytes]) -> list[Outcome]:
        raise TooManyRequests

    async with open_socket(prison.session, world.hub.url, DOMAIN, prison.member.device, world.hub.clock) as link:
        with monkeypatch.context() as patched:
            patched.setattr(HubClient, "submit_batch", busy)
            with pytest.raises(TooManyRequests):
                await link.submit(sent)
        assert await world.hub.device(world.probation.member).items() == ()
        await link.submit(sent)
    assert len(await world.hub.device(world.probation.member).items()) == 2


@pytest.mark.parametrize("ahead", [2 * MINUTE, -2 * MINUTE])
async def test_http_9_what_stands_only_in_the_way_of_the_plain_request_holds_up_only_what_is_large(
    world: World, ahead: int
) -> None:
    """Else a clock two minutes off, or a proxy that lets only small requests pass, had the websocket stand idle."""
    sender, prison, desk = world.hub.programme.sender("gora-prison"), world.prison, world.probation.desk
    sent = [sender.seal(desk, sections=[(bytes(size), [desk])]).data for size in (100, 100_000, 200)]

    def clock() -> int:
        return world.hub.clock() + ahead

    async with open_socket(prison.session, world.hub.url, DOMAIN, prison.member.device, clock) as link:
        first, large, last = await link.submit(sent)
    assert isinstance(large, ClockSkewed)
    assert large.retryable
    assert [first, last] == await prison.link.submit(sent[::2])


async def test_http_6_a_refused_envelope_does_not_fail_its_neighbours_over_the_websocket(world: World) -> None:
    await world.prison.compose(world.probation.desk)
    await world.prison.parts.sealer.step()
    async with world.prison.parts.store.read() as tx:
        from connectors.store import attempts

        (ready,) = await attempts.ready(tx, world.hub.clock(), limit=1, most_bytes=1 << 20)
    async with open_socket(
        world.prison.session, world.hub.url, DOMAIN, world.prison.member.device, world.hub.clock
    ) as link:
        broken, good = await link.submit([ready.raw[:-1], ready.raw])
    assert isinstance(broken, EnvelopeError)
    assert isinstance(good, bytes)


async def test_http_9_a_stranger_is_told_that_it_is_none_of_ours(world: World) -> None:
    with pytest.raises(NotAuthenticated):
        async with open_socket(world.prison.session, world.hub.url, DOMAIN, device_of("stranger"), world.hub.clock):
            pass


async def test_http_9_the_challenge_of_another_hub_is_worth_nothing_here(world: World) -> None:
    with pytest.raises(NotAuthenticated):
        async with open_socket(
            world.prison.session, world.hub.url, "other.example", world.prison.member.device, world.hub.clock
        ):
            pass


async def test_http_12_a_revoked_device_loses_its_open_connection(world: World, hub: RunningHub) -> None:
    device = world.prison.member.device
    async with open_socket(world.prison.session, hub.url, DOMAIN, device, world.hub.clock) as link:
        receiving = asyncio.ensure_future(link.receive(0))
        hub.programme.now = hub.clock()
        hub.programme.revoke_device(world.prison.member)
        await hub.catch_up()
        with pytest.raises(Revoked):
            await receiving
        with pytest.raises(Revoked):
            await link.submit([b"anything"])
    with pytest.raises(Revoked):
        async with open_socket(world.prison.session, hub.url, DOMAIN, device, world.hub.clock):
            pass


async def test_a_hub_that_stops_ends_the_link_and_what_waits_on_it(world: World, hub: RunningHub) -> None:
    async with open_socket(world.prison.session, hub.url, DOMAIN, world.prison.member.device, world.hub.clock) as link:
        receiving = asyncio.ensure_future(link.receive(0))
        hub.hub.release()
        with pytest.raises(Unavailable):
            await receiving
        with pytest.raises(Unavailable):
            await link.acknowledge(0)


async def test_a_link_is_called_connected_once_the_hub_has_answered_over_it(world: World) -> None:
    """A hub that was away was called connected each second, between two lines that said it was not to be reached."""
    away = connection(world.prison, world, "http://127.0.0.1:9", websocket=False)
    async with away.open() as link:
        with pytest.raises(HubUnreachable):
            await link.receive(0)
    assert '"hub-connected"' not in world.prison.logged.getvalue()
    for websocket, part in ((False, "polling"), (True, "socket")):
        way = connection(world.prison, world, world.hub.url, websocket=websocket)
        for _ in range(2):
            async with way.open() as link:
                for _ in range(2):
                    way.reached(link)
        lines = [line for line in world.prison.logged.getvalue().splitlines() if f'"part": "{part}"' in line]
        assert len([line for line in lines if '"hub-connected"' in line]) == 2, "once for each link"


@pytest.mark.parametrize("status", [403, 404, 426, 500])
async def test_where_websockets_are_blocked_the_mailbox_is_polled(world: World, status: int) -> None:
    async with LyingHub() as lying:
        lying.target = world.hub.url
        lying.refuse["/v1/connect"] = status
        way = connection(world.prison, world, lying.url)
        for _ in range(2):
            async with way.open() as link:
                assert isinstance(link, PollingLink)
                assert await link.receive(0) == ()
        assert len(lying.paths("/v1/connect")) == 1
        # After ten minutes it is worth another try.
        world.hub.clock.advance(BLOCKED_FOR)
        async with way.open() as link:
            way.reached(link)
        assert len(lying.paths("/v1/connect")) == 2


@pytest.mark.parametrize("status", [429, 502, 503, 504])
async def test_con_16_an_answer_that_it_is_not_the_time_is_no_blocked_websocket(world: World, status: int) -> None:
    """Else all connectors would poll for ten minutes after each start of the hub behind a proxy."""
    async with LyingHub() as lying:
        lying.target = world.hub.url
        lying.refuse["/v1/connect"] = status
        way = connection(world.prison, world, lying.url)
        for _ in range(MOST_BROKEN - 1):
            with pytest.raises(TooManyRequests if status == 429 else Unavailable):
                async with way.open():
                    pass
        # The hub is away for plain requests too: that says nothing of websockets, however often.
        lying.refuse["/v1/mailbox"] = status
        for _ in range(3):
            async with way.open() as link:
                assert isinstance(link, PollingLink)
                with pytest.raises(Unavailable):
                    await link.receive(0)
        lying.refuse.clear()
        lying.refuse["/v1/connect"] = status
        # Now it is there, and its websocket is not.
        async with way.open() as link:
            await link.receive(0)
            way.reached(link)
        asked = len(lying.paths("/v1/connect"))
        async with way.open() as link:
            assert isinstance(link, PollingLink)
        assert len(lying.paths("/v1/connect")) == asked == MOST_BROKEN + 3
        world.hub.clock.advance(BLOCKED_FOR)
        with pytest.raises(TooManyRequests if status == 429 else Unavailable):
            async with way.open():
                pass


async def test_con_16_a_connector_waits_for_a_websocket_as_long_as_it_is_told(world: World) -> None:
    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7"})

    app = web.Application()
    app.router.add_get("/v1/connect", busy)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        way = connection(world.prison, world, f"http://localhost:{runner.addresses[0][1]}")
        with pytest.raises(TooManyRequests) as told:
            async with way.open():
                pass
        assert told.value.retry_after == 7
    finally:
        await runner.cleanup()


async def test_a_websocket_is_preferred_where_it_can_be_had(world: World) -> None:
    way = connection(world.prison, world, world.hub.url)
    async with way.open() as link:
        assert isinstance(link, SocketLink)
        assert way.connected
    assert not way.connected
    assert way.last_contact == world.hub.clock()


async def test_a_connector_set_to_poll_never_asks_for_a_websocket(world: World) -> None:
    async with LyingHub() as lying:
        lying.target = world.hub.url
        async with connection(world.prison, world, lying.url, websocket=False).open() as link:
            assert isinstance(link, PollingLink)
        assert lying.paths("/v1/connect") == []


async def test_a_hub_that_is_gone_is_unreachable_not_blocked(world: World) -> None:
    way = connection(world.prison, world, "http://localhost:9")
    with pytest.raises(HubUnreachable) as refusal:
        async with way.open():
            pass
    assert not isinstance(refusal.value, SocketRefused)


class RudeHub:
    """A server that speaks websocket and then does whatever a test says."""

    def __init__(self, *frames: bytes) -> None:
        self.frames = frames

    async def __aenter__(self) -> str:
        app = web.Application()
        app.router.add_get("/v1/connect", self._talk)
        self._runner = web.AppRunner(app, shutdown_timeout=0.5)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        return f"http://localhost:{self._runner.addresses[0][1]}"

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_bytes(self.frames[0])
        message = await socket.receive()
        if message.type is WSMsgType.BINARY:
            hello = parse_frame(message.data)
            assert isinstance(hello, Hello)
            assert len(hello.signature) == 64
            for frame in self.frames[1:]:
                await socket.send_bytes(frame)
            await socket.receive()
        return socket


GREETING = (encode_frame(Challenge(bytes(32))), encode_frame(Welcome(0)))


@pytest.mark.parametrize(
    "frames",
    [(b"\xff",), (encode_frame(Welcome(0)),), (encode_frame(Challenge(bytes(32))), b"\xff")],
    ids=["noise", "no challenge", "no welcome"],
)
async def test_a_server_that_does_not_greet_as_a_hub_is_no_hub(world: World, frames: tuple[bytes, ...]) -> None:
    async with RudeHub(*frames) as url:
        with pytest.raises(SocketRefused):
            async with open_socket(world.prison.session, url, DOMAIN, world.prison.member.device, world.hub.clock):
                pass


@pytest.mark.parametrize(
    "frame",
    [b"\xff", b"", encode_frame(Challenge(bytes(32))), encode_frame(Deliver(()))[:-1]],
    ids=["noise", "nothing", "challenge", "truncated"],
)
async def test_a_frame_that_no_hub_sends_ends_the_link(world: World, frame: bytes) -> None:
    device = world.prison.member.device
    async with (
        RudeHub(*GREETING, frame) as url,
        open_socket(world.prison.session, url, DOMAIN, device, world.hub.clock) as link,
    ):
        with pytest.raises(UnexpectedAnswer):
            await link.receive(0)


async def test_an_answer_to_nothing_that_was_asked_is_ignored(world: World) -> None:
    frames = (encode_frame(Accepted(99, b"receipt")), encode_frame(Deliver(())))
    device = world.prison.member.device
    async with (
        RudeHub(*GREETING, *frames) as url,
        open_socket(world.prison.session, url, DOMAIN, device, world.hub.clock) as link,
    ):
        assert await link.receive(0) == ()


def test_the_challenge_is_signed_under_its_own_label() -> None:
    programme = make_programme()
    device = programme.members["gora-prison"].device
    assert device.transport.sign(labels.CONNECT, b"x") != device.transport.sign_raw(b"x")
