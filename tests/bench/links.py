# SPDX-License-Identifier: Apache-2.0
"""Clients: one sender and one recipient online, for the hub by its three ways in and for the floor by its two.

What a client does while the clock runs is kept small, since it shares the machine with the server: frames are made
beforehand, receipts are only looked into afterwards. The recipient acknowledges as soon as it has something.
"""

import asyncio
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from itertools import count
from types import TracebackType
from typing import Any, ClassVar, Self

import aiohttp
import cbor2

from keys.signing import DeviceSigner
from protocol import labels
from protocol.frames import (
    MAX_INCOMING,
    Acknowledge,
    Challenge,
    Hello,
    Refused,
    Submit,
    Welcome,
    encode_batch,
    encode_frame,
    parse_frame,
)
from protocol.http import hub as api
from protocol.http.calling import Client, signed
from tests.bench.floor import DELIVER, SUBMIT
from tests.bench.stock import Stock
from tests.hub.process import now

BATCH = 16
_ACCEPTED, _DELIVERED = 5, 7


class Link(ABC):
    """A sender and a recipient at one server; `lot` messages go with each call of `send`."""

    name: ClassVar[str]
    lot: ClassVar[int] = 1

    def __init__(self, url: str) -> None:
        self.url = url
        self.times: dict[int, float] = {}
        """When the recipient had a message, by the server's own number of it."""
        self._stack = AsyncExitStack()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        # The connector must not stand in the way of many requests in flight.
        connector = aiohttp.TCPConnector(limit=0)
        self.session = await self._stack.enter_async_context(aiohttp.ClientSession(connector=connector))
        await self._open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    def _keep(self, work: Callable[[], Any]) -> None:
        self._tasks.append(asyncio.create_task(work()))

    def check(self) -> None:
        """Raise what has ended one of the link's tasks."""
        for task in self._tasks:
            if task.done():
                task.result()
                raise RuntimeError(f"a connection of {self.name} ended")

    def reset(self) -> None:
        """Forget what was sent and received."""
        self.times.clear()

    @abstractmethod
    async def _open(self) -> None: ...

    @abstractmethod
    def prepare(self, messages: int) -> Sequence[Any]:
        """Make at least `messages` messages, as the things that `send` takes."""

    @abstractmethod
    async def send(self, prepared: Any) -> Any:
        """Send one lot; returns the server's answer once it is durable."""

    @abstractmethod
    def numbers(self, answer: Any) -> list[int]:
        """Return the server's numbers of the messages that `answer` is for."""


async def connect(
    session: aiohttp.ClientSession, url: str, domain: str, device: DeviceSigner
) -> aiohttp.ClientWebSocketResponse:
    """Open a hub's websocket as `device` (HTTP-9)."""
    socket = await session.ws_connect(f"{url}/v1/connect", max_msg_size=MAX_INCOMING)
    challenge = parse_frame(await socket.receive_bytes())
    assert isinstance(challenge, Challenge)
    signature = device.transport.sign(labels.CONNECT, domain.encode() + challenge.challenge)
    await socket.send_bytes(encode_frame(Hello(device.key_id, signature)))
    assert isinstance(parse_frame(await socket.receive_bytes()), Welcome)
    return socket


class HubLink(Link):
    """A link to a hub: the recipient is online at the websocket; how the sender sends is for others to say."""

    def __init__(self, url: str, stock: Stock, domain: str, recipient: DeviceSigner) -> None:
        super().__init__(url)
        self._stock = stock
        self._domain = domain
        self._recipient = recipient

    async def _open(self) -> None:
        mailbox = await connect(self.session, self.url, self._domain, self._recipient)

        async def collect() -> None:
            while True:
                items = cbor2.loads(await mailbox.receive_bytes())[1]
                at = time.perf_counter()
                for index, _kind, _data in items:
                    self.times[index] = at
                await mailbox.send_bytes(encode_frame(Acknowledge(items[-1][0])))

        self._keep(collect)

    def numbers(self, answer: Sequence[bytes]) -> list[int]:
        """Return the leaf indexes of receipts."""
        return [cbor2.loads(cbor2.loads(receipt)[0])[2] for receipt in answer]


class HubSocket(HubLink):
    """The sender submits over the websocket: what connectors do."""

    name = "hub, websocket"

    async def _open(self) -> None:
        await super()._open()
        self._refs = count()
        self._answers: dict[int, asyncio.Future[bytes]] = {}
        self._sender = await connect(self.session, self.url, self._domain, self._stock.device)

        async def hear() -> None:
            while True:
                kind, ref, *rest = cbor2.loads(await self._sender.receive_bytes())
                if kind != _ACCEPTED:
                    raise RuntimeError(f"the hub refused an envelope: {rest}")
                self._answers.pop(ref).set_result(rest[0])

        self._keep(hear)

    def prepare(self, messages: int) -> list[tuple[int, bytes]]:
        """Return frames with their numbers."""
        numbered = zip(self._refs, self._stock.copies(messages), strict=False)
        return [(ref, encode_frame(Submit(ref, data))) for ref, data in numbered]

    async def send(self, prepared: tuple[int, bytes]) -> list[bytes]:
        """Send one frame and return its receipt."""
        ref, frame = prepared
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._answers[ref] = answer
        await self._sender.send_bytes(frame)
        return [await answer]


class HubPost(HubLink):
    """The sender submits each envelope by a signed request of its own."""

    name = "hub, single requests"

    async def _open(self) -> None:
        await super()._open()
        device = self._stock.device
        self._client = Client(self.session, self.url, signed(device.key_id, device.transport.sign_raw, now))

    def prepare(self, messages: int) -> Sequence[Any]:
        """Return envelopes."""
        return self._stock.copies(messages)

    async def send(self, prepared: Any) -> list[bytes]:
        """Send one envelope and return its receipt."""
        return [await self._client.call_bytes(api.SUBMIT_ENVELOPE, body=prepared)]


class HubBatch(HubPost):
    """The sender submits envelopes in batches by signed requests."""

    name = "hub, batches of 16"
    lot = BATCH

    def prepare(self, messages: int) -> list[bytes]:
        """Return the bodies of batches."""
        return [encode_batch(self._stock.copies(BATCH)) for _ in range(-(-messages // BATCH))]

    async def send(self, prepared: bytes) -> list[bytes]:
        """Send one batch and return its receipts."""
        receipts = []
        for result in cbor2.loads(await self._client.call_bytes(api.SUBMIT_BATCH, body=prepared)):
            answered = parse_frame(result)
            if isinstance(answered, Refused):
                raise RuntimeError(f"the hub refused an envelope: {answered.code}")
            receipts.append(cbor2.loads(result)[2])
        return receipts


class FloorPost(Link):
    """The floor, its sender posting each body."""

    name = "floor, POST"
    _MAILBOX = 1

    def __init__(self, url: str, size: int) -> None:
        """Send bodies of `size` bytes."""
        super().__init__(url)
        self._body = secrets.token_bytes(size)

    async def _open(self) -> None:
        mailbox = await self._connect(self._MAILBOX)

        async def collect() -> None:
            while True:
                data = await mailbox.receive_bytes()
                number = data[1:9]
                self.times[int.from_bytes(number, "big")] = time.perf_counter()
                await mailbox.send_bytes(DELIVER + number)

        self._keep(collect)

    async def _connect(self, mailbox: int) -> aiohttp.ClientWebSocketResponse:
        return await self.session.ws_connect(f"{self.url}/connect/{mailbox}", max_msg_size=MAX_INCOMING)

    def prepare(self, messages: int) -> Sequence[Any]:
        """Return bodies; nobody looks at them."""
        return [self._body] * messages

    async def send(self, prepared: Any) -> int:
        """Post one body and return its number."""
        async with self.session.post(f"{self.url}/messages/{self._MAILBOX}", data=prepared) as response:
            if response.status != 202:
                raise RuntimeError(f"the floor answered {response.status}")
            return int.from_bytes(await response.read(), "big")

    def numbers(self, answer: int) -> list[int]:
        """Return the number."""
        return [answer]


class FloorSocket(FloorPost):
    """The floor, its sender sending over a websocket as well."""

    name = "floor, websocket"

    async def _open(self) -> None:
        await super()._open()
        self._refs = count()
        self._answers: dict[int, asyncio.Future[int]] = {}
        self._sender = await self._connect(0)

        async def hear() -> None:
            while True:
                data = await self._sender.receive_bytes()
                answer = self._answers.pop(int.from_bytes(data[1:9], "big"))
                answer.set_result(int.from_bytes(data[9:17], "big"))

        self._keep(hear)

    def prepare(self, messages: int) -> list[tuple[int, bytes]]:
        """Return frames with their numbers."""
        tail = self._MAILBOX.to_bytes(8, "big") + self._body
        return [
            (ref, SUBMIT + ref.to_bytes(8, "big") + tail) for ref, _ in zip(self._refs, range(messages), strict=False)
        ]

    async def send(self, prepared: tuple[int, bytes]) -> int:
        """Send one frame and return the number of its message."""
        ref, frame = prepared
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._answers[ref] = answer
        await self._sender.send_bytes(frame)
        return await answer
