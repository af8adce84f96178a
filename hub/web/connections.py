# SPDX-License-Identifier: Apache-2.0
"""The open websockets: who may open one, and when they are closed from this side (HTTP-9, HTTP-12)."""

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import WSCloseCode, WSMsgType, web

from hub.logs import Event, Log
from hub.service.allowances import Allowances
from hub.service.clocktrust import ClockTrust, ClockUnsure
from hub.service.mailbox import Mailboxes
from hub.service.submission import Submissions
from hub.web.authentication import Authenticator
from hub.web.connection import Connection
from hub.web.strangers import VISIT, Visit
from hub.web.threshold import Threshold, sent_ahead
from keys.verifying import verify_ed25519
from protocol import labels
from protocol.clockwatch import Clock
from protocol.errors import (
    BadSignature,
    MalformedEnvelope,
    MalformedRequest,
    NotAuthenticated,
    Revoked,
    ThroughcareError,
    Unavailable,
)
from protocol.frames import CHALLENGE_SIZE, Challenge, Hello, Welcome, encode_frame, parse_frame
from protocol.ids import KeyId
from protocol.limits import MAX_FRAME

HELLO_S = 10.0
"""Seconds in which a new connection must answer the challenge."""
HEARTBEAT_S = 25.0
CLOSE_S = 1.0
MAX_STRANGERS = 1_024
"""Connections that may be open without having answered their challenge; HTTP-14 bounds those of one address.

Over that the one that has kept the hub waiting longest makes room, not the one that comes: whoever has many addresses
could otherwise keep everybody else from connecting, and a connector answers within one round trip."""


@dataclass(frozen=True, slots=True)
class Parts:
    """The services that a connection calls."""

    submissions: Submissions
    mailboxes: Mailboxes
    authenticator: Authenticator
    allowances: Allowances
    clock: Clock
    log: Log
    trust: ClockTrust


class Connections:
    """All open connections of the hub."""

    def __init__(self, domain: str, parts: Parts) -> None:
        self._domain = domain
        self._parts = parts
        self._open: set[Connection] = set()
        self._strangers: dict[asyncio.Timeout, None] = {}
        self._closing = False

    def __len__(self) -> int:
        return len(self._open)

    async def connect(self, request: web.Request) -> web.StreamResponse:
        """Serve one websocket from its challenge to its end (HTTP-9)."""
        if self._closing:
            raise Unavailable
        if not self._parts.trust.given:
            # What shows the time are signed requests, by which a connector goes on when it gets no websocket (CON-16).
            raise ClockUnsure
        if sent_ahead(request):
            raise MalformedRequest("A websocket's first bytes are the hub's.")
        # Ciphertext does not shrink, so compression would only cost. Pings are counted before they are answered.
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, timeout=CLOSE_S, compress=False, max_msg_size=MAX_FRAME, autoping=False
        )
        await socket.prepare(request)
        threshold = Threshold(request)
        device_id = await self._greet(socket, request[VISIT], threshold)
        if device_id is not None:
            parts, agency = self._parts, request[VISIT].agency
            await self._serve(
                Connection(
                    socket,
                    device_id,
                    agency,
                    threshold,
                    parts.submissions,
                    parts.mailboxes,
                    parts.allowances,
                    parts.log,
                )
            )
        return socket

    async def _serve(self, connection: Connection) -> None:
        self._open.add(connection)
        self._parts.log.info(Event.CONNECTION_OPENED, count=len(self._open))
        try:
            await connection.serve()
        finally:
            self._open.discard(connection)
            self._parts.log.info(Event.CONNECTION_CLOSED, count=len(self._open))

    @asynccontextmanager
    async def _patience(self) -> AsyncIterator[None]:
        """Give a stranger its time; raises TimeoutError when that is over, or somebody else needs the room."""
        async with asyncio.timeout(HELLO_S) as limit:
            if len(self._strangers) >= MAX_STRANGERS:
                oldest = next(iter(self._strangers))
                del self._strangers[oldest]
                if not oldest.expired():
                    oldest.reschedule(asyncio.get_running_loop().time())
            self._strangers[limit] = None
            try:
                yield
            finally:
                self._strangers.pop(limit, None)

    async def _greet(self, socket: web.WebSocketResponse, visit: Visit, threshold: Threshold) -> KeyId | None:
        """Challenge whoever connects; return the device that answered rightly, or None after closing."""
        challenge = secrets.token_bytes(CHALLENGE_SIZE)
        try:
            async with self._patience():
                await socket.send_bytes(encode_frame(Challenge(challenge)))
                while (message := await socket.receive()).type in (WSMsgType.PING, WSMsgType.PONG):
                    # Of those the threshold lets few pass.
                    continue
            if message.type is not WSMsgType.BINARY:
                raise MalformedEnvelope
            hello = parse_frame(message.data, limit=1_024)
            if not isinstance(hello, Hello):
                raise MalformedEnvelope
            visit.recognise(await self._check(hello, challenge))
            threshold.open()
            await socket.send_bytes(encode_frame(Welcome(self._parts.clock())))
        except ThroughcareError as error:
            await socket.close(code=WSCloseCode.POLICY_VIOLATION, message=error.code.encode())
            return None
        except (TimeoutError, ConnectionError):
            await socket.close(code=WSCloseCode.POLICY_VIOLATION)
            return None
        return hello.device_id

    async def _check(self, hello: Hello, challenge: bytes) -> str:
        """Return the agency of the device that answers; raises what is wrong with the answer."""
        device = await self._parts.authenticator.known(hello.device_id)
        message = self._domain.encode() + challenge
        try:
            verify_ed25519(device.key.transport, labels.CONNECT, message, hello.signature)
        except BadSignature:
            raise NotAuthenticated from None
        return self._parts.authenticator.in_force(hello.device_id).agency

    def recheck(self) -> None:
        """Close the connections of devices that are not in force any more, and end their long polls (HTTP-12)."""
        for connection in self._open:
            try:
                self._parts.authenticator.in_force(connection.device_id)
            except (Revoked, NotAuthenticated) as error:
                self._parts.log.info(Event.CONNECTION_REVOKED, code=error.code)
                connection.end(WSCloseCode.POLICY_VIOLATION, error.code)
        self._parts.mailboxes.recheck(self._parts.authenticator.in_force)

    def close(self) -> None:
        """Ask every connection to end, and take no new one."""
        self._closing = True
        for connection in self._open:
            connection.end(WSCloseCode.GOING_AWAY, "unavailable")
