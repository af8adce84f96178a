# SPDX-License-Identifier: Apache-2.0
"""A network in memory: the bytes of real HTTP and real websockets, with the faults that networks have.

It takes the place of TCP below aiohttp, so requests, signatures, frames and parsers are the real ones. Bytes of one
connection arrive in order or not at all; connections overtake one another.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler

from tests.simulation.faults import Faults
from tests.simulation.history import History
from tests.simulation.virtualtime import RESOLUTION

URL = "http://localhost"
"""Where the hub is, as far as connectors know."""
LATENCY_S = (0.002, 0.08)


class Pipe(asyncio.Transport):
    """One end of a connection; what is written here arrives at the other end."""

    def __init__(self, line: "Line", protocol: asyncio.Protocol) -> None:
        super().__init__({"peername": ("127.0.0.1", 1)})
        self._line = line
        self._loop = asyncio.get_running_loop()
        self.protocol = protocol
        self.other: Pipe
        self.closed = False
        self._reading = True
        self._arrived: list[bytes | None] = []
        self._next_arrival = 0.0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send `data` on its way."""
        if not self.closed and data:
            self._line.carry(self, bytes(data))

    def send(self, data: bytes | None, delay: float) -> None:
        """Let `data`, or the end of the connection, arrive at the other end after `delay`, behind all before it."""
        # Two timers of one moment come in any order, so no two are of one moment.
        self._next_arrival = max(self._loop.time() + delay, self._next_arrival + RESOLUTION)
        self._loop.call_at(self._next_arrival, self.other.arrive, data)

    def arrive(self, data: bytes | None) -> None:
        """Hand over what has come, unless nobody is reading now."""
        if self.closed:
            return
        self._arrived.append(data)
        self._hand_over()

    def _hand_over(self) -> None:
        while self._arrived and self._reading and not self.closed:
            data = self._arrived.pop(0)
            if data is None:
                self.end(None)
            else:
                self.protocol.data_received(data)

    def end(self, error: Exception | None) -> None:
        """End this side of the connection now."""
        if not self.closed:
            self.closed = True
            self._loop.call_soon(self.protocol.connection_lost, error)

    def close(self) -> None:
        """End the connection once all that was written has arrived."""
        if not self.closed:
            if not self._line.lost:
                self.send(None, self._line.latency)
            self.end(None)

    def abort(self) -> None:
        """End the connection, whatever is on its way."""
        self.close()

    def is_closing(self) -> bool:
        """Tell whether this side has ended."""
        return self.closed

    def pause_reading(self) -> None:
        """Let what arrives wait."""
        self._reading = False

    def resume_reading(self) -> None:
        """Take what waits, and what comes."""
        self._reading = True
        self._loop.call_soon(self._hand_over)

    def is_reading(self) -> bool:
        """Tell whether what arrives is handed over."""
        return self._reading

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand over to somebody else from now on."""
        assert isinstance(protocol, asyncio.Protocol)
        self.protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return who is handed what arrives."""
        return self.protocol

    def get_write_buffer_size(self) -> int:
        """Return nothing: the network takes all there is."""
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing, likewise."""

    def can_write_eof(self) -> bool:
        """HTTP needs none."""
        return False


class Line:
    """One connection of a node to the hub, and its fate."""

    def __init__(self, network: "Network", node: str, client: asyncio.Protocol, server: asyncio.Protocol) -> None:
        faults = network.faults
        self.network = network
        self.node = node
        self.latency = faults.seconds(*LATENCY_S)
        self.client, self.server = Pipe(self, client), Pipe(self, server)
        self.client.other, self.server.other = self.server, self.client
        self.silent = False
        self.asked = b""
        """All that the client has sent, while somebody in between may send it again."""

    def open(self) -> None:
        """Let both sides know."""
        self.server.protocol.connection_made(self.server)
        self.client.protocol.connection_made(self.client)

    def carry(self, source: Pipe, data: bytes) -> None:
        """Carry what one side has written, or not."""
        network, faults = self.network, self.network.faults
        asking = source is self.client
        if asking and len(self.asked) < 1 << 20:
            self.asked += data
        if self.lost:
            return
        delay = self.latency
        if faults.happens("connection-silent"):
            network.history.note(self.node, "a connection goes silent")
            self.silent = True
            return
        if faults.happens("connection-slow"):
            delay += faults.seconds(1, 20)
        if faults.happens("request-cut" if asking else "answer-cut"):
            network.history.note(self.node, f"a connection is cut amid {'a request' if asking else 'an answer'}")
            source.send(data[: faults.number(len(data))], delay)
            self.cut(delay)
            return
        source.send(data, delay)
        if asking and faults.happens("request-twice"):
            network.history.note(self.node, "somebody in between sends a request twice")
            network.repeat(self, delay + faults.seconds(0, 5))

    def cut(self, delay: float = 0.0) -> None:
        """End the connection for both sides."""
        self.silent = True
        for pipe in (self.client, self.server):
            asyncio.get_running_loop().call_later(delay, pipe.end, ConnectionResetError("cut"))

    @property
    def lost(self) -> bool:
        """Whether what is written now arrives nowhere."""
        return self.silent or self.network.parted(self.node)

    @property
    def over(self) -> bool:
        """Whether both sides have ended."""
        return self.client.closed and self.server.closed


class _Nobody(asyncio.Protocol):
    """Takes an answer that nobody asked for."""


class Network:
    """All connections to the hub, which comes and goes."""

    def __init__(self, faults: Faults, history: History) -> None:
        self.faults = faults
        self.history = history
        self.serve: Callable[[], asyncio.Protocol] | None = None
        """Makes the hub's side of a connection; None while the hub is away."""
        self._lines: list[Line] = []
        self._joined: dict[str, asyncio.Event] = {}

    def part(self, node: str) -> None:
        """Let nothing pass between `node` and the hub: neither an answer nor a refusal."""
        self._joined[node] = asyncio.Event()

    def join(self, node: str) -> None:
        """Let new connections of `node` reach the hub; the old ones never recover."""
        self._joined.pop(node).set()
        self.hang_up(node)

    def parted(self, node: str) -> bool:
        """Tell whether nothing passes."""
        return node in self._joined

    async def reach(self, node: str) -> None:
        """Take the time that a first answer takes; as long as `node` is cut off, for ever."""
        if node in self._joined:
            await self._joined[node].wait()
        await asyncio.sleep(self.faults.seconds(*LATENCY_S))

    def hang_up(self, node: str | None = None) -> None:
        """Cut the connections of `node`, or all: a machine was switched off."""
        self._lines = [line for line in self._lines if not line.over]
        for line in self._lines:
            if node in (None, line.node):
                line.cut()

    def open(self, node: str, client: asyncio.Protocol) -> None:
        """Connect `client` with the hub; raises ConnectionRefusedError."""
        if self.serve is None or self.faults.happens("connection-refused"):
            raise ConnectionRefusedError
        line = Line(self, node, client, self.serve())
        self._lines = [one for one in self._lines if not one.over]
        self._lines.append(line)
        line.open()

    def repeat(self, line: Line, delay: float) -> None:
        """Send what the client of `line` has sent once more, over a connection of its own."""
        asyncio.get_running_loop().call_later(delay, self._repeat, line.node, line.asked)

    def _repeat(self, node: str, asked: bytes) -> None:
        if self.serve is None or self.parted(node):
            return
        line = Line(self, f"{node} again", _Nobody(), self.serve())
        self._lines.append(line)
        line.open()
        line.client.send(asked, line.latency)


class Dialer(aiohttp.BaseConnector):
    """How a node of the simulation connects; it takes the place of aiohttp's TCP connector."""

    def __init__(self, network: Network, node: str, alive: Callable[[], bool]) -> None:
        """A node that is not `alive` any more reaches nobody."""
        super().__init__(keepalive_timeout=10.0)
        self._network = network
        self._node = node
        self._alive = alive

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp hands it in
    ) -> ResponseHandler:
        async with asyncio.timeout(timeout.sock_connect or timeout.connect or timeout.total):
            await self._network.reach(self._node)
        protocol: ResponseHandler = self._factory()
        try:
            if not self._alive():
                raise ConnectionRefusedError
            self._network.open(self._node, protocol)
        except OSError as error:
            raise aiohttp.ClientConnectorError(req.connection_key, error) from error
        return protocol
