# SPDX-License-Identifier: Apache-2.0
"""A device in force that floods its websocket burns next to none of the hub's time, which is everybody's (HTTP-22)."""

import asyncio
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from hub.service import allowances as allowances_module
from hub.web import connection as connection_module
from hub.web import connections as connections_module
from hub.web.threshold import AHEAD, STEP
from protocol.errors import TooManyRequests
from protocol.frames import Accepted, Acknowledge, Deliver, Refused, Submit, encode_frame, parse_frame
from protocol.limits import MINUTE
from tests.hub.running import RunningHub, eventually
from tests.hub.sockets import Socket, connected, hello
from tests.programme import Programme

FEW = 60


async def flood(socket: Socket, kind: str) -> None:
    """Send more than `FEW` frames that are no submissions."""
    with suppress(ConnectionError):
        for _ in range(2 * FEW):
            if kind == "acknowledgements":
                await socket.send(Acknowledge(0))
            else:
                await (socket.ws.ping() if kind == "pings" else socket.ws.pong())


@pytest.mark.parametrize("kind", ["acknowledgements", "pings", "pongs"])
async def test_http_22_who_says_more_than_it_is_told_is_cut_off_and_nobody_else(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(hub.hub.submissions._parts.allowances._frames, "_quota", FEW)
    prison, probation, csw = hub.programme.members.values()
    await hub.device(prison).submit(hub.programme.sender("gora-prison").seal(probation.desk).data)
    async with connected(hub, csw.device) as other:
        async with connected(hub, probation.device) as hostile:
            await hostile.until(Deliver)
            await flood(hostile, kind)
            await eventually(lambda: len(hub.hub.connections) == 1)
            assert "connection-flooded" in hub.logged.getvalue()
        answer = hub.programme.sender("polje-csw").seal(prison.desk).data
        await other.send(Submit(1, answer))
        assert isinstance(await other.until(Accepted), Accepted)
        # What it had to say counts for a minute, and its mailbox can be read meanwhile.
        await hub.device(probation).read()
        hub.clock.advance(MINUTE)
        async with connected(hub, probation.device) as again:
            await again.send(Acknowledge(0))
            await again.send(Submit(1, hub.programme.sender("reka-probation").seal(prison.desk).data))
            assert isinstance(await again.until(Accepted), Accepted)


@pytest.mark.parametrize("part", [b"\x00\x80" + bytes(4), b"\x00\x00"], ids=["masked", "not-masked"])
async def test_http_22_a_message_in_millions_of_empty_parts_is_cut_off(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch, part: bytes
) -> None:
    """Nobody is told of them before the last; 100 MB of them in a second kept the hub busy, and counted as nothing."""
    monkeypatch.setattr(hub.hub.submissions._parts.allowances._frames, "_quota", FEW)
    prison, _, csw = hub.programme.members.values()
    async with connected(hub, prison.device) as honest:
        async with connected(hub, csw.device) as hostile:
            transport: Any = hostile.ws._writer.transport
            transport.write(b"\x02\x80" + bytes(4))
            for _ in range(AHEAD // 65_536 + FEW * STEP // 65_536 + 4):
                transport.write(part * (65_536 // len(part)))
            await eventually(lambda: len(hub.hub.connections) == 1)
            assert "connection-flooded" in hub.logged.getvalue()
        await honest.send(Submit(1, b"poison"))
        assert isinstance(await honest.until(Refused), Refused)


async def test_http_22_whoever_sends_much_more_than_may_wait_is_not_cut_off(hub: RunningHub) -> None:
    """Also not where something in between sends each message in two parts."""
    prison = hub.programme.members["gora-prison"]
    frame = encode_frame(Submit(1, bytes(32_000)))
    half = struct.pack(">H", len(frame) // 2) + bytes(4)
    first, rest = frame[: len(frame) // 2], frame[len(frame) // 2 :]
    parts = b"\x02\xfe" + half + first + b"\x80\xfe" + struct.pack(">H", len(rest)) + bytes(4) + rest
    async with connected(hub, prison.device) as socket:
        transport: Any = socket.ws._writer.transport
        transport.write(parts * (2 * AHEAD // len(parts)))
        for _ in range(2 * AHEAD // len(parts)):
            assert isinstance(await socket.until(Refused), Refused)
        assert hub.hub.submissions._parts.allowances._frames.has(next(iter(hub.hub.connections._open))._agency, 6_000)


async def test_http_22_each_delivery_may_be_acknowledged(hub: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub.hub.submissions._parts.allowances._frames, "_quota", FEW)
    prison, probation, _ = hub.programme.members.values()
    sender = hub.programme.sender("gora-prison")
    async with connected(hub, probation.device) as socket:
        for number in range(2 * FEW):
            await hub.device(prison).submit(sender.seal(probation.desk).data)
            await socket.until(Deliver)
            await socket.send(Acknowledge(number))
        await eventually(lambda: hub.hub.connections._open.copy().pop()._up_to == 2 * FEW - 1)


async def test_http_9_a_ping_is_answered_also_before_the_challenge_is(hub: RunningHub) -> None:
    probation = hub.programme.members["reka-probation"]
    async with hub.session.ws_connect(f"{hub.url}/v1/connect", autoping=False) as ws:
        challenge = parse_frame((await ws.receive()).data)
        socket = Socket(ws, challenge.challenge)  # type: ignore[union-attr]
        await ws.ping(b"early")
        await socket.send(hello(probation.device, socket.challenge))
        await socket.receive()
        await ws.ping(b"later")
        found = await ws.receive()
        assert (found.type, found.data) == (aiohttp.WSMsgType.PONG, b"later")


async def test_http_9_a_websocket_on_which_nothing_is_said_stays_open_as_long_as_the_other_side_answers(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections_module, "HEARTBEAT_S", 1.0)
    probation, csw = hub.programme.members["reka-probation"], hub.programme.members["polje-csw"]
    async with connected(hub, csw.device), connected(hub, probation.device) as alive:
        listening = asyncio.create_task(alive.receive())
        # Who does not read answers no ping either.
        await eventually(lambda: len(hub.hub.connections) == 1)
        await asyncio.sleep(1.2)
        assert len(hub.hub.connections) == 1
        assert not listening.done()
        listening.cancel()


async def test_http_22_submissions_over_the_share_are_read_slowly_over_all_websockets_of_an_agency(
    tmp_path: Path, programme: Programme, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 128 websockets of 256 places each a hostile agency could else have 32,768 refused in a second."""
    monkeypatch.setattr(allowances_module, "OVER_SHARE", 3)
    monkeypatch.setattr(connection_module, "OVER_SHARE_S", 30.0)
    prison, probation, _ = programme.members.values()
    async with RunningHub(tmp_path, programme, more=("[limits]", f"submissions_per_minute = {FEW}")) as hub:
        await hub.device(prison).submit_batch([b"poison"] * FEW)
        async with connected(hub, prison.device) as one, connected(hub, prison.device) as two:
            for ref in range(10):
                for socket in (one, two):
                    await socket.send(Submit(ref, b"more"))
            answers = list[Refused]()

            async def take(socket: Socket) -> None:
                while isinstance(answer := await socket.until(Refused), Refused):
                    answers.append(answer)

            takers = [asyncio.create_task(take(socket)) for socket in (one, two)]
            await eventually(lambda: len(answers) == 3)
            await asyncio.sleep(0.1)
            assert [answer.code for answer in answers] == [TooManyRequests.code] * 3
            async with connected(hub, probation.device) as honest:
                await honest.send(Submit(1, programme.sender("reka-probation").seal(prison.desk).data))
                assert isinstance(await honest.until(Accepted), Accepted)
            for taker in takers:
                taker.cancel()
