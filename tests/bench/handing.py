# SPDX-License-Identifier: Apache-2.0
"""What a process in front of the hub would add to each message: handed over a socket and answered, and nothing else.

Both ends run in one event loop of the hub's kind, and the messages are counted, not read. So this is the least that
it can cost; two processes also wake each other.
"""

import asyncio
import socket
import time
from collections import deque
from typing import Final, cast

from hub.serving import new_event_loop

IN_FLIGHT: Final = 32


class _End(asyncio.Protocol):
    """Counts whole messages of `size` bytes."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._had = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is none by its class

    def data_received(self, data: bytes) -> None:
        whole, self._had = divmod(self._had + len(data), self._size)
        for _ in range(whole):
            self.came()

    def came(self) -> None:
        """Take a whole message."""


class _Behind(_End):
    """Answers each message."""

    def __init__(self, size: int, answer: bytes) -> None:
        super().__init__(size)
        self._answer = answer

    def came(self) -> None:
        self.transport.write(self._answer)


class _Front(_End):
    """Hands messages over and waits for each answer."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self._waiting = deque[asyncio.Future[None]]()

    def came(self) -> None:
        self._waiting.popleft().set_result(None)

    async def hand(self, message: bytes) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(done)
        self.transport.write(message)
        await done


def handed_over(message: bytes, answer: bytes, count: int) -> float:
    """Return the CPU seconds of both ends for one message, `count` of them, 32 at once; in a thread of its own."""
    loop = new_event_loop()
    try:
        return loop.run_until_complete(_measured(loop, message, answer, count))
    finally:
        loop.close()


async def _measured(loop: asyncio.AbstractEventLoop, message: bytes, answer: bytes, count: int) -> float:
    one, other = socket.socketpair()
    there, _ = await loop.create_connection(lambda: _Behind(len(message), answer), sock=other)
    here, front = await loop.create_connection(lambda: _Front(len(answer)), sock=one)
    rounds = max(1, count // IN_FLIGHT)

    async def sender() -> None:
        for _ in range(rounds):
            await front.hand(message)

    begin = time.thread_time()
    await asyncio.gather(*(sender() for _ in range(IN_FLIGHT)))
    taken = time.thread_time() - begin
    here.close()
    there.close()
    return taken / (rounds * IN_FLIGHT)
