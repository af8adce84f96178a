# SPDX-License-Identifier: Apache-2.0
"""The websocket to the hub: authenticated once, then submissions, deliveries and acknowledgements (HTTP-9).

What cannot be had as a websocket is told apart from what cannot be had at all, or not just now: the first makes the
connector poll instead, the others make it wait.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import aiohttp
from yarl import URL

from connectors.hub_client import HubAway, HubClient, Outcome, outcome
from connectors.portion import BROKEN
from connectors.timing import Clock
from keys.signing import DeviceSigner
from protocol import labels
from protocol.errors import (
    CODES,
    HubUnreachable,
    MalformedEnvelope,
    Revoked,
    ThroughcareError,
    TooManyRequests,
    Unavailable,
    UnexpectedAnswer,
)
from protocol.frames import (
    MAX_INCOMING,
    Accepted,
    Acknowledge,
    Challenge,
    Deliver,
    Frame,
    Hello,
    Item,
    Refused,
    Submit,
    Welcome,
    encode_frame,
    parse_frame,
)
from protocol.http.calling import why_not_reached
from protocol.http.hub import CONNECT
from protocol.http.problems import from_problem
from protocol.limits import MAX_SOCKET_ENVELOPE

HEARTBEAT_S: Final = 25.0
GREETING_S: Final = 15.0
ANSWER_S: Final = 60.0
SILENCE_S: Final = 50.0
"""Seconds after which `receive` returns without items, so that its caller can do its rounds."""

_NOT_NOW: Final = frozenset({429, 502, 503, 504})
"""What a busy hub answers to the wish for a websocket, or a proxy while the hub starts."""
_DELIVERIES: Final = 4
"""Frames of mail that wait here; then the socket is not read on, and the hub stops sending."""
_GOODBYE: Final = frozenset({aiohttp.WSCloseCode.GOING_AWAY, aiohttp.WSCloseCode.SERVICE_RESTART})
"""How a hub closes a websocket that is stopped in order, or a proxy before it."""


class SocketRefused(HubUnreachable):
    """The hub answers, but no websocket can be had: something in between blocks it."""


class HubLeft(HubAway):
    """The hub said that it goes away, as each does that is stopped in order; it is tried again."""


class SocketPostponed(HubUnreachable):
    """No websocket can be had just now, for the reason `told`; a plain request might get the same answer."""

    def __init__(self, told: ThroughcareError) -> None:
        super().__init__(told.detail)
        self.told = told


class SocketLink:
    """One open websocket. Make it with `open_socket`."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse, plain: HubClient) -> None:
        """Take over an authenticated socket; `read` must run as long as the link is used.

        What is too large for it goes by the requests of `plain`.
        """
        self._socket = socket
        self._plain = plain
        self._mail: asyncio.Queue[tuple[Item, ...]] = asyncio.Queue(_DELIVERIES)
        self._waiting: dict[int, asyncio.Future[Outcome]] = {}
        self._next_ref = 0
        self._ended: ThroughcareError | None = None
        self._over = asyncio.Event()

    async def read(self) -> None:
        """Take what the hub sends until the socket ends; then every call on the link fails."""
        try:
            while True:
                message = await self._socket.receive()
                if message.type is not aiohttp.WSMsgType.BINARY:
                    raise _reason(message)
                await self._take(parse_frame(message.data, limit=MAX_INCOMING))
        except MalformedEnvelope:
            self._ended = UnexpectedAnswer()
        except ThroughcareError as error:
            self._ended = error
        except (aiohttp.ClientError, OSError):
            self._ended = HubUnreachable()
        finally:
            self._over.set()
            for future in self._waiting.values():
                if not future.done():
                    future.set_exception(self._ended or HubUnreachable())

    async def _take(self, frame: Frame) -> None:
        match frame:
            case Deliver(items):
                await self._mail.put(items)
            case Accepted() | Refused():
                future = self._waiting.pop(frame.ref, None)
                if future is not None and not future.done():
                    future.set_result(outcome(frame))
            case _:
                raise UnexpectedAnswer

    async def reach(self) -> None:
        """Return if the socket is open, as far as is known: the hub greeted whoever opened it."""
        self._check()

    async def submit(self, envelopes: Sequence[bytes]) -> list[Outcome]:
        """Submit 1 to 64 envelopes; each stands alone (HTTP-6). Raises `HubUnreachable` if the socket ends meanwhile.

        The large ones go first, by one plain request. Where the way breaks, or the hub wants less, nothing was sent;
        whatever else is in the way of that request is so only of the large ones, and the others go.
        """
        self._check()
        large = [envelope for envelope in envelopes if len(envelope) > MAX_SOCKET_ENVELOPE]
        small = [envelope for envelope in envelopes if len(envelope) <= MAX_SOCKET_ENVELOPE]
        plainly = iter(await self._submit_plainly(large) if large else [])
        by_frames = iter(await self._submit(small))
        return [next(plainly if len(envelope) > MAX_SOCKET_ENVELOPE else by_frames) for envelope in envelopes]

    async def _submit_plainly(self, envelopes: Sequence[bytes]) -> list[Outcome]:
        try:
            return await self._plain.submit_batch(envelopes)
        except (*BROKEN, Revoked, TooManyRequests):
            raise
        except ThroughcareError as error:
            # Nothing is wrong with the envelopes, so that each is to be sent again.
            return [error if error.retryable else UnexpectedAnswer()] * len(envelopes)

    async def _submit(self, envelopes: Sequence[bytes]) -> list[Outcome]:
        loop = asyncio.get_running_loop()
        refs = []
        try:
            for envelope in envelopes:
                ref, self._next_ref = self._next_ref, self._next_ref + 1
                self._waiting[ref] = loop.create_future()
                refs.append(ref)
                await self._send(Submit(ref, envelope))
            async with asyncio.timeout(ANSWER_S):
                return list(await asyncio.gather(*(self._waiting[ref] for ref in refs)))
        except TimeoutError:
            raise HubUnreachable("The hub does not answer; what was sent is sent again.") from None
        finally:
            for ref in refs:
                future = self._waiting.pop(ref, None)
                if future is not None:
                    future.cancel()

    async def receive(self, cursor: int) -> tuple[Item, ...]:
        """Return what the hub delivered next, or nothing after a silence; the hub knows the place by itself."""
        if self._mail.empty():
            over = asyncio.ensure_future(self._over.wait())
            mail = asyncio.ensure_future(self._mail.get())
            try:
                await asyncio.wait({over, mail}, timeout=SILENCE_S, return_when=asyncio.FIRST_COMPLETED)
                if mail.done():
                    return mail.result()
                self._check()
                return ()
            finally:
                over.cancel()
                mail.cancel()
        return self._mail.get_nowait()

    async def acknowledge(self, up_to: int) -> None:
        """Say that everything up to leaf `up_to` is stored here (HTTP-7)."""
        self._check()
        await self._send(Acknowledge(up_to))

    async def _send(self, frame: Frame) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._socket.send_bytes(encode_frame(frame))
        except (aiohttp.ClientError, OSError, TimeoutError):
            raise HubUnreachable from None

    def _check(self) -> None:
        if self._over.is_set():
            raise self._ended or HubUnreachable()


@asynccontextmanager
async def open_socket(
    session: aiohttp.ClientSession,
    base: str,
    domain: str,
    device: DeviceSigner,
    clock: Clock,
    *,
    greeting_s: float = GREETING_S,
) -> AsyncIterator[SocketLink]:
    """Open and authenticate a websocket to the hub `domain` at `base` for `device`.

    Raises `SocketRefused` if no websocket can be had, also where the wish for one is cut off or not answered within
    `greeting_s`: that is what proxies do which do not know websockets. Raises `SocketPostponed` if the answer says
    that it is not the time, the error that the hub names if it refuses the device, and `HubUnreachable` if not even a
    connection can be had.
    """
    try:
        async with asyncio.timeout(greeting_s):
            socket = await session.ws_connect(
                base + CONNECT.path,
                max_msg_size=MAX_INCOMING,
                heartbeat=HEARTBEAT_S,
                compress=0,
                timeout=aiohttp.ClientWSTimeout(ws_close=2.0),
            )
    except (aiohttp.ClientConnectorError, aiohttp.ClientHttpProxyError) as error:
        if _is_elsewhere(error, base):
            raise SocketRefused from error
        away = HubUnreachable()
        away.reason = why_not_reached(error)
        raise away from None
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        if isinstance(error, aiohttp.WSServerHandshakeError) and error.status in _NOT_NOW:
            raise SocketPostponed(_told(error)) from error
        raise SocketRefused from error
    async with socket:
        await _greet(socket, domain, device, greeting_s)
        link = SocketLink(socket, HubClient(session, base, clock, device))
        reader = asyncio.create_task(link.read())
        try:
            yield link
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)


def _told(error: aiohttp.WSServerHandshakeError) -> ThroughcareError:
    """Return what an answer says of which only status and headers are known."""
    wait = from_problem(error.status, b"", error.headers or {}).error.retry_after
    found = TooManyRequests() if error.status == TooManyRequests.status else HubAway()
    found.retry_after = wait
    return found


def _is_elsewhere(error: aiohttp.ClientError, base: str) -> bool:
    """Tell whether a redirect was followed into the void: aiohttp follows it, as to a network's login page."""
    if not isinstance(error, aiohttp.ClientConnectorError) or isinstance(error, aiohttp.ClientProxyConnectionError):
        return False
    return error.host != URL(base).host


async def _greet(socket: aiohttp.ClientWebSocketResponse, domain: str, device: DeviceSigner, greeting_s: float) -> None:
    challenge = await _frame(socket, greeting_s)
    if not isinstance(challenge, Challenge):
        raise SocketRefused
    signature = device.transport.sign(labels.CONNECT, domain.encode() + challenge.challenge)
    try:
        await socket.send_bytes(encode_frame(Hello(device.key_id, signature)))
    except (aiohttp.ClientError, OSError):
        raise SocketRefused from None
    if not isinstance(await _frame(socket, greeting_s), Welcome):
        raise SocketRefused


async def _frame(socket: aiohttp.ClientWebSocketResponse, greeting_s: float) -> Frame:
    try:
        message = await socket.receive(greeting_s)
    except (aiohttp.ClientError, OSError, TimeoutError):
        raise SocketRefused from None
    if message.type is not aiohttp.WSMsgType.BINARY:
        reason = _reason(message)
        raise SocketRefused if isinstance(reason, HubUnreachable) else reason
    try:
        return parse_frame(message.data)
    except MalformedEnvelope:
        raise SocketRefused from None


def _reason(message: aiohttp.WSMessage) -> ThroughcareError:
    """Return why the hub ended the socket: it gives the error's code as the reason of its close frame."""
    if message.type is aiohttp.WSMsgType.TEXT:
        return UnexpectedAnswer()
    known = CODES.get(str(message.extra or ""))
    if message.data in _GOODBYE and known in (None, Unavailable):
        return HubLeft()
    return known() if known is not None else HubUnreachable()
