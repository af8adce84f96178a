# SPDX-License-Identifier: Apache-2.0
"""A TCP proxy between a hub and PostgreSQL that understands where messages begin and end, and can lose them.

A rule sees every message of either side and decides. So a connection can be cut at any point of the conversation,
above all after the server has committed and before its answer is through.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit, urlunsplit


class Way(Enum):
    """Who speaks."""

    HUB = auto()
    SERVER = auto()


Rule = Callable[[Way, bytes], bool]
"""Takes a whole message; says whether the connection is cut instead of passing it on."""

COMMIT = b"Q" + (12).to_bytes(4) + b"COMMIT;\0"
"""What the hub says to commit."""
ROLLBACK = b"Q" + (14).to_bytes(4) + b"ROLLBACK;\0"
"""What the hub says to end a transaction that changed nothing."""
COMMITTED = b"C" + (11).to_bytes(4) + b"COMMIT\0"
"""What the server says once it is on the disk."""


def nothing(_way: Way, _message: bytes) -> bool:
    """Pass everything."""
    return False


class OnceAfter:
    """The rule that cuts instead of the first message `wanted` after the hub has said something that holds `named`."""

    def __init__(self, named: bytes, wanted: bytes) -> None:
        self._named = named
        self._wanted = wanted
        self._heard = False
        self._done = False

    def __call__(self, way: Way, message: bytes) -> bool:
        self._heard = self._heard or (way is Way.HUB and self._named in message)
        if self._done or not self._heard or message != self._wanted:
            return False
        self._done = True
        return True


class CutAt:
    """The rule that cuts once, at the message of this number, counted from 0 over both ways and all connections."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, _way: Way, _message: bytes) -> bool:
        self.left -= 1
        return self.left == -1

    @property
    def done(self) -> bool:
        """Whether it has cut."""
        return self.left < 0


class Proxy:
    """A port of the loopback interface that leads to the server at `url`, as its settings allow at the moment."""

    def __init__(self, url: str) -> None:
        self._target = urlsplit(url)
        self._open: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.rule: Rule = nothing
        self.delay_s = 0.0
        """How long everything that the server says is on its way."""
        self.refusing = False
        """Whether new connections are closed at once."""
        self.flowing = asyncio.Event()
        """While it is not set, connections stay open and nothing comes through: the network is half-open."""
        self.flowing.set()
        self.cuts = 0

    async def __aenter__(self) -> Self:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        port = self._listener.sockets[0].getsockname()[1]
        self.url = urlunsplit(self._target._replace(netloc=f"{self._target.username}@127.0.0.1:{port}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()

    def cut(self) -> None:
        """Cut every connection, as a router does that forgets them."""
        for writer in list(self._open):
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._open.add(writer)
        try:
            if not self.refusing:
                await self._connect(reader, writer)
        except asyncio.CancelledError:
            # Cancelled at the end of the block only; a task of a server must not end so.
            return
        finally:
            self._tasks.discard(task)
            self._drop(writer)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            inner_reader, inner_writer = await asyncio.open_connection(self._target.hostname, self._target.port)
            self._open.add(inner_writer)
            ways = (
                asyncio.create_task(self._pump(Way.HUB, reader, inner_writer)),
                asyncio.create_task(self._pump(Way.SERVER, inner_reader, writer)),
            )
            try:
                await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for way in ways:
                    way.cancel()
                self._drop(inner_writer)
                await asyncio.gather(*ways, return_exceptions=True)

    def _drop(self, writer: asyncio.StreamWriter) -> None:
        self._open.discard(writer)
        writer.transport.abort()

    async def _pump(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Pass one message after the other, until a side has ended or the rule says so."""
        under_way = _UnderWay()
        passing = asyncio.create_task(self._pass_on(under_way, writer))
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                first = way is Way.HUB
                while True:
                    message = await _message(reader, first=first)
                    first = False
                    if self.rule(way, message):
                        self.cuts += 1
                        break
                    delay = self.delay_s if way is Way.SERVER else 0.0
                    under_way.put_nowait((time.monotonic() + delay, message))
            # What was said before still arrives.
            under_way.put_nowait(None)
            await asyncio.gather(passing, return_exceptions=True)
        finally:
            passing.cancel()

    async def _pass_on(self, under_way: "_UnderWay", writer: asyncio.StreamWriter) -> None:
        while (said := await under_way.get()) is not None:
            due, message = said
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            await self.flowing.wait()
            writer.write(message)
            await writer.drain()


async def _message(reader: asyncio.StreamReader, *, first: bool) -> bytes:
    """Read a message; the first one of a client has no letter for its kind."""
    kind = b"" if first else await reader.readexactly(1)
    length = await reader.readexactly(4)
    return kind + length + await reader.readexactly(int.from_bytes(length) - 4)


_UnderWay = asyncio.Queue[tuple[float, bytes] | None]
