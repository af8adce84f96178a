# SPDX-License-Identifier: Apache-2.0
"""What websockets and long polls may hold: next to nothing for a stranger, and so many for one agency (HTTP-20)."""

import asyncio
import base64
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import WSCloseCode
from yarl import URL

from hub.service import allowances as allowances_module
from hub.service import mailbox as mailbox_module
from hub.web import connections as connections_module
from hub.web.threshold import STRANGER_BYTES
from protocol.errors import Unavailable
from protocol.frames import Accepted, Submit
from protocol.limits import MAX_ENVELOPE, MAX_FRAME, MAX_SOCKET_ENVELOPE
from tests.hub.running import RunningHub, eventually
from tests.hub.sockets import connected, hello, stranger

FRAME_HEAD = b"\x82\xfe" + struct.pack(">H", MAX_FRAME - 1) + bytes(4)
"""The head of the largest binary frame, masked by zeros."""
TOO_LARGE = b"\x82\xff" + struct.pack(">Q", MAX_ENVELOPE) + bytes(4)
"""That of one of 1 MiB."""


def upgrade(hub: RunningHub) -> bytes:
    url = URL(f"{hub.url}/v1/connect")
    key = base64.b64encode(bytes(16)).decode()
    lines = [
        f"GET {url.path} HTTP/1.1",
        f"Host: {url.authority}",
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


@asynccontextmanager
async def raw(hub: RunningHub, behind: bytes = b"") -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Ask for a websocket over a connection of its own, with something right behind the request."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(hub.url).port)
    writer.write(upgrade(hub) + behind)
    try:
        yield reader, writer
    finally:
        writer.close()


async def ended(reader: asyncio.StreamReader, *, within: float = 10) -> bytes:
    """Return what comes until the hub ends the connection."""
    found = b""
    try:
        async with asyncio.timeout(within):
            while data := await reader.read(1 << 16):
                found += data
    except ConnectionError:
        pass
    return found


async def test_http_20_of_a_stranger_the_hub_takes_no_more_than_an_answer_has(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a message of 64 KiB that never ends would be held for each of 64 strangers at each address."""
    # None of them is sent away for its time.
    monkeypatch.setattr(connections_module, "HELLO_S", 60.0)
    async with raw(hub) as (reader, writer):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        writer.write(FRAME_HEAD + bytes(STRANGER_BYTES - len(FRAME_HEAD)))
        # It may still come to its end, though this one would be no answer.
        with pytest.raises(TimeoutError):
            await ended(reader, within=0.2)
        writer.write(b"x")
        await ended(reader)
    async with raw(hub) as (reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(FRAME_HEAD + bytes(MAX_FRAME // 2))
        await ended(reader)
    await eventually(lambda: not hub.hub.connections._strangers)


async def test_http_20_nothing_is_taken_before_the_challenge(hub: RunningHub) -> None:
    async with raw(hub, FRAME_HEAD + bytes(100)) as (reader, _):
        assert (await ended(reader)).startswith(b"HTTP/1.1 400 ")


async def test_http_20_who_has_answered_sends_more(hub: RunningHub) -> None:
    prison, probation, _ = hub.programme.members.values()
    large = hub.programme.sender("gora-prison").seal(probation.desk, sections=[(bytes(30_000), [probation.desk])])
    assert 30_000 < len(large.data) <= MAX_SOCKET_ENVELOPE
    async with connected(hub, prison.device) as socket:
        await socket.send(Submit(1, large.data))
        assert isinstance(await socket.until(Accepted), Accepted)


@pytest.mark.parametrize("pieces", ["a frame", "fragments"])
async def test_http_9_http_21_no_more_of_a_message_is_held_than_may_go_over_a_websocket(
    hub: RunningHub, pieces: str
) -> None:
    """With half a message of 1 MiB on each of 128 websockets an agency had a hub hold 132 MiB."""
    prison = hub.programme.members["gora-prison"]
    async with connected(hub, prison.device) as socket:
        write: Any = socket.ws._writer.transport
        if pieces == "a frame":
            write.write(TOO_LARGE)
        else:
            # A first part of a message and those that go on with it, of which none is the last.
            for opcode in [2, *[0] * (MAX_FRAME // 8_192 - 1)]:
                write.write(bytes([opcode, 0xFE]) + struct.pack(">H", 8_192) + bytes(4 + 8_192))
        assert await socket.receive() is None
        assert socket.closed is not None
        assert socket.closed[0] == WSCloseCode.MESSAGE_TOO_BIG


async def test_http_20_the_websockets_of_one_agency_are_bounded_whatever_its_devices(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A device that was superseded stays in force, and so an agency has as many devices as it likes."""
    monkeypatch.setattr(allowances_module, "SOCKETS", 3)
    monkeypatch.setattr(mailbox_module, "MAX_WATCHERS", 2)
    prison, probation, _ = hub.programme.members.values()
    old = prison.device
    new = hub.programme.replace_device(prison, "another machine")
    await hub.catch_up()
    async with AsyncExitStack() as stack:
        for device in (old, old, new):
            await stack.enter_async_context(connected(hub, device))
        async with stranger(hub) as one_more:
            await one_more.send(hello(new, one_more.challenge))
            assert await one_more.receive() is None
            assert one_more.closed == (1008, Unavailable.code)
        # The others notice nothing, and the agency can still poll.
        async with connected(hub, probation.device):
            pass
        await hub.device(prison).read()
    await eventually(lambda: not hub.hub.submissions._parts.allowances._sockets)
    async with connected(hub, new):
        pass


async def test_http_20_long_polls_hold_no_place_that_sending_and_acknowledging_need(
    hub: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where websockets are blocked, each of an agency's desks has one that waits."""
    monkeypatch.setattr(allowances_module, "AT_ONCE", 2)
    monkeypatch.setattr(allowances_module, "POLLS", 3)
    prison, probation, _ = hub.programme.members.values()
    device, sender = hub.device(prison), hub.programme.sender("gora-prison")
    polls = [asyncio.create_task(device.read(wait=50)) for _ in range(3)]
    await eventually(lambda: len(hub.hub.mailboxes._watchers.get(prison.device_id, ())) == 3)
    await asyncio.gather(*(device.submit(sender.seal(probation.desk).data) for _ in range(2)))
    with pytest.raises(Unavailable):
        await device.read()
    waiting = await hub.device(probation).items()
    await hub.device(probation).acknowledge(waiting[-1].index)
    await hub.device(probation).submit(hub.programme.sender("reka-probation").seal(prison.desk).data)
    assert [len((await poll)[1]) for poll in polls] == [1, 1, 1]
    await eventually(lambda: not hub.hub.submissions._parts.allowances._polls)
    await device.acknowledge((await device.items())[-1].index)
