# SPDX-License-Identifier: Apache-2.0
"""Bad networks, made for real: a relay of TCP connections that delays, stalls, cuts, buffers, and meddles like a proxy.

It stands between a real connector and a real hub. What it does is set by the test at any moment, and chance comes from
a seed, so that a failure can be seen again.
"""

import asyncio
import base64
import contextlib
import random
import re
from collections.abc import Coroutine
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

_PIECE = 4_096
_HEAD = 16_384
PORTAL = (
    b"<!doctype html><title>Welcome</title><form action=/login>Please accept the terms of use of this network.</form>"
)
"""What a network that wants a login answers to whatever is asked."""


@dataclass
class Weather:
    """How the network is now; a change counts from the next piece of data on."""

    delay_s: float = 0.0
    """Seconds for each piece, each way."""
    bytes_per_s: float | None = None
    stall: tuple[float, float] = (0.0, 0.0)
    """How likely a piece is lost at first, and the seconds until it is sent again, as TCP does."""
    cut: float = 0.0
    """How likely the connection is cut in the middle of a piece."""
    cut_after: int | None = None
    """Bytes from the hub after which a connection is cut, in the middle of whatever it is."""
    cut_sending_after: int | None = None
    """Bytes to the hub after which a connection is cut."""
    silent: bool = False
    """Connections are taken and kept, and nothing passes: half open, or a firewall that drops."""
    buffering: bool = False
    """Answers are passed on when they are whole, as a proxy does that wants to look into them: a websocket never is."""
    upgrade: str = "pass"
    """What becomes of a request for a websocket: `pass`, `refuse` (403), `strip` (passed on as a plain request),
    `swallow` (never answered) or `cut`."""
    portal: str = ""
    """`page` or `redirect`: a login page is answered to everything."""
    password: str | None = None
    """NAME:PASSWORD that a CONNECT must show."""
    connect_status: int = 200
    """What a CONNECT is answered with; other than 200 nothing is passed on."""


@dataclass
class Relay:
    """Listens at `url` and passes on to the server at `target`. As a `proxy` it goes where CONNECT asks instead."""

    target: str = ""
    proxy: bool = False
    weather: Weather = field(default_factory=Weather)
    seed: int = 0

    async def __aenter__(self) -> Self:
        self.opened = 0
        """Connections so far."""
        self.cuts = 0
        self.asked: list[str] = []
        """The first line of each connection's first request."""
        self._chance = random.Random(self.seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut_all()
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=5)
        await self._server.wait_closed()

    @property
    def secure_url(self) -> str:
        """The same place, for a hub that speaks TLS itself."""
        return self.url.replace("http://", "https://")

    def cut_all(self) -> None:
        """End every connection at once, without a word."""
        for writer in tuple(self._writers):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.opened += 1
        try:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await self._connection(reader, writer)
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._tasks.discard(task)

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        where = urlsplit(self.target)
        host, port = where.hostname or "", where.port or 0
        first = await reader.read(_HEAD)
        if not first:
            return
        line = first.split(b"\r\n", 1)[0].decode("latin-1")
        self.asked.append(line)
        if self.weather.silent:
            await reader.read()
            return
        if self.proxy:
            refusal = self._refusal(first)
            if refusal:
                writer.write(refusal)
                await writer.drain()
                return
            host, _, number = line.split()[1].rpartition(":")
            port, first = int(number), b""
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        inner, outer = await asyncio.open_connection(host, port)
        self._writers.add(outer)
        try:
            pumps = [
                asyncio.create_task(_quietly(self._up(first, reader, outer, writer))),
                asyncio.create_task(_quietly(self._down(inner, writer))),
            ]
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
            for pump in pumps:
                pump.cancel()
            await asyncio.wait(pumps)
        finally:
            outer.transport.abort()
            self._writers.discard(outer)

    def _refusal(self, first: bytes) -> bytes:
        """Return what the proxy answers to a CONNECT that it does not follow."""
        weather = self.weather
        if weather.password is not None:
            shown = b"Basic " + base64.b64encode(weather.password.encode())
            if shown not in first:
                return b"HTTP/1.1 407 Who are you\r\nProxy-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"
        if not first.startswith(b"CONNECT ") or weather.connect_status != 200:
            return f"HTTP/1.1 {weather.connect_status} No\r\nContent-Length: 0\r\n\r\n".encode()
        return b""

    async def _up(
        self, piece: bytes, source: asyncio.StreamReader, hub: asyncio.StreamWriter, back: asyncio.StreamWriter
    ) -> None:
        """Pass on what the connector says, beginning with `piece`, or answer it here."""
        swallowing, sent = False, 0
        while piece or not source.at_eof():
            passed, answer = self._meddle(piece)
            if passed is None and answer is None:
                return
            swallowing = swallowing or (passed == b"" and answer == b"" and piece != b"")
            if answer:
                back.write(answer)
                await back.drain()
            sent += len(passed or b"")
            if self.weather.cut_sending_after is not None and sent > self.weather.cut_sending_after:
                self.cuts += 1
                return
            if passed and not swallowing and not self.weather.silent:
                await self._endure(passed)
                hub.write(passed)
                await hub.drain()
            piece = await source.read(_PIECE)

    async def _down(self, source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        """Pass on what the hub says."""
        passed, kept = 0, b""
        while piece := await source.read(_PIECE):
            weather = self.weather
            if weather.silent:
                continue
            await self._endure(piece)
            passed += len(piece)
            cut = weather.cut and self._chance.random() < weather.cut
            if cut or (weather.cut_after is not None and passed > weather.cut_after):
                self.cuts += 1
                target.write(piece[: len(piece) // 2])
                await target.drain()
                return
            if weather.buffering:
                kept += piece
                if not _is_whole(kept):
                    continue
                piece, kept = kept, b""
            target.write(piece)
            await target.drain()
        target.write(kept)
        await target.drain()

    async def _endure(self, piece: bytes) -> None:
        """Take the time that the network takes."""
        weather = self.weather
        seconds = weather.delay_s
        if weather.bytes_per_s is not None:
            seconds += len(piece) / weather.bytes_per_s
        if weather.stall[0] and self._chance.random() < weather.stall[0]:
            seconds += weather.stall[1]
        if seconds:
            await asyncio.sleep(seconds)

    def _meddle(self, piece: bytes) -> tuple[bytes | None, bytes | None]:
        """Return what is passed on of a piece, and what is answered here; None and None to hang up."""
        weather = self.weather
        if weather.portal == "page":
            size = str(len(PORTAL)).encode()
            return b"", b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: " + size + b"\r\n\r\n" + PORTAL
        if weather.portal == "redirect":
            return b"", b"HTTP/1.1 302 Found\r\nLocation: http://login.example/\r\nContent-Length: 0\r\n\r\n"
        if weather.upgrade == "pass" or b"upgrade: websocket" not in piece.lower():
            return piece, b""
        if weather.upgrade == "refuse":
            return b"", b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"
        if weather.upgrade == "strip":
            lines = piece.split(b"\r\n")
            return b"\r\n".join(one for one in lines if not one.lower().startswith((b"upgrade:", b"connection:"))), b""
        return (None, None) if weather.upgrade == "cut" else (b"", b"")


async def _quietly(pumping: Coroutine[None, None, None]) -> None:
    """Pump until one side has gone."""
    with contextlib.suppress(OSError):
        await pumping


def _is_whole(answer: bytes) -> bool:
    """Tell whether `answer` is one whole HTTP answer."""
    head, end, body = answer.partition(b"\r\n\r\n")
    size = re.search(rb"(?i)^content-length: (\d+)", head, flags=re.MULTILINE)
    return bool(end) and size is not None and len(body) >= int(size[1])
