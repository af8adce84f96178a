# SPDX-License-Identifier: Apache-2.0
"""A connector's end of the websocket, taken frame by frame."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp

from keys.signing import DeviceSigner
from protocol import labels
from protocol.frames import (
    MAX_INCOMING,
    Challenge,
    Deliver,
    Frame,
    Hello,
    Welcome,
    encode_frame,
    parse_frame,
)
from protocol.ids import KeyId
from tests.hub.running import RunningHub

CLOSED = (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSING)


@dataclass
class Socket:
    """A connector's end of the websocket, for tests."""

    ws: aiohttp.ClientWebSocketResponse
    challenge: bytes
    deliveries: list[Deliver] = field(default_factory=list)
    closed: tuple[int | None, str] | None = None

    async def send(self, frame: Frame) -> None:
        await self.ws.send_bytes(encode_frame(frame))

    async def receive(self) -> Frame | None:
        """Return the next frame, or None once the hub has closed; the reason stands in `closed`."""
        async with asyncio.timeout(20):
            message = await self.ws.receive()
        if message.type in CLOSED:
            self.closed = (self.ws.close_code, str(message.extra or ""))
            return None
        return parse_frame(message.data, limit=MAX_INCOMING)

    async def until(self, kind: type[Frame]) -> Frame:
        """Return the next frame of `kind`; deliveries that come before are kept."""
        while True:
            frame = await self.receive()
            assert frame is not None, self.closed
            if isinstance(frame, kind):
                return frame
            assert isinstance(frame, Deliver)
            self.deliveries.append(frame)


def hello(device: DeviceSigner, challenge: bytes, *, domain: str = "hub.example", key_id: KeyId | None = None) -> Hello:
    return Hello(key_id or device.key_id, device.transport.sign(labels.CONNECT, domain.encode() + challenge))


@asynccontextmanager
async def stranger(hub: RunningHub) -> AsyncIterator[Socket]:
    """Open a websocket and read the challenge."""
    # Some tests keep the hub from reading; its farewell is then not waited for.
    patience = aiohttp.ClientWSTimeout(ws_close=0.5)
    async with hub.session.ws_connect(f"{hub.url}/v1/connect", max_msg_size=MAX_INCOMING, timeout=patience) as ws:
        first = parse_frame((await ws.receive()).data)
        assert isinstance(first, Challenge)
        yield Socket(ws, first.challenge)


@asynccontextmanager
async def connected(hub: RunningHub, device: DeviceSigner) -> AsyncIterator[Socket]:
    """Open a websocket for a device."""
    async with stranger(hub) as socket:
        await socket.send(hello(device, socket.challenge))
        assert await socket.receive() == Welcome(hub.clock.now)
        yield socket
