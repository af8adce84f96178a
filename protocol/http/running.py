# SPDX-License-Identifier: Apache-2.0
"""Runs an application on a socket, with what aiohttp itself would answer brought under our rules.

aiohttp answers a request that it cannot parse before any middleware runs, and its text repeats the bytes. Here it is
a problem document like every other (HTTP-3). Compressed bodies are never inflated, and a connection that does not
send a whole request head in time is closed.
"""

import asyncio
import errno
import os
import socket
import ssl
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from protocol.errors import ConfigurationError, InternalError, MalformedRequest
from protocol.http.addresses import network_of
from protocol.http.serving import (
    COMMON_HEADERS,
    EXCHANGE,
    Clock,
    Exchange,
    Observe,
    new_request_id,
    problem_response,
    unobserved,
)

HEAD_S = 15.0
"""Seconds for a request's head on a new or a kept connection; clients close idle connections earlier."""
LINGER_S = 1.0
"""Seconds in which the rest of a refused body is read and thrown away, so that its sender sees the answer."""
UNREAD_S = 60
"""Seconds after which the system gives up a connection whose other side takes nothing of what was sent."""
MAX_HEADERS = 64
MAX_LINE = 8_190


@dataclass(frozen=True, slots=True)
class _Answering:
    """How to answer, and whom to tell, where no application does."""

    clock: Clock
    observe: Observe

    def refuse(self, request: Any, status: int, failure: BaseException | None = None) -> web.Response:
        """Return the problem document for a request that ended with `status`, say nothing of it, and hang up."""
        error = MalformedRequest() if status < 500 else InternalError()
        known = request.get(EXCHANGE)
        request_id = known.request_id if known is not None else new_request_id()
        exchange = Exchange(request_id, "", status=error.status, code=error.code, failure=failure)
        self.observe(exchange)
        response = problem_response(error, exchange.request_id, now=self.clock())
        response.headers.update(COMMON_HEADERS | {"Connection": "close", "X-Request-Id": exchange.request_id})
        response.force_close()
        return response

    def guard(
        self, handler: Callable[[Any], Awaitable[web.StreamResponse]]
    ) -> Callable[[Any], Awaitable[web.StreamResponse]]:
        """Return `handler` with our answer to what is raised before the middleware, as for a strange `Expect`."""

        async def answer(request: Any) -> web.StreamResponse:
            try:
                return await handler(request)
            except web.HTTPException as error:
                return self.refuse(request, error.status)

        return answer


class _Callers:
    """How many connections each address has."""

    def __init__(self, most: int | None) -> None:
        """`most` is how many one address may have; None for any number."""
        self._most = most
        self._open: Counter[str] = Counter()

    def enter(self, address: str) -> bool:
        """Count a connection, and tell whether it may stay."""
        self._open[address] += 1
        return self._most is None or self._open[address] <= self._most

    def leave(self, address: str) -> None:
        """Count it no more."""
        self._open[address] -= 1
        if not self._open[address]:
            del self._open[address]


class _Protocol(RequestHandler):
    """aiohttp's connection, with our answer to what is not HTTP."""

    def __init__(self, manager: "_Server", options: dict[str, Any]) -> None:
        super().__init__(manager, loop=asyncio.get_running_loop(), **options)
        self._answering = manager.answering
        self._callers = manager.callers
        self._caller: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a new connection, unless its address has as many as it may have (HTTP-16)."""
        super().connection_made(transport)
        peer, link = transport.get_extra_info("peername"), transport.get_extra_info("socket")
        if isinstance(peer, tuple) and link is not None and hasattr(socket, "TCP_USER_TIMEOUT"):
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, UNREAD_S * 1_000)
        self._caller = network_of(peer[0]) if isinstance(peer, tuple) else ""
        if not self._callers.enter(self._caller) and isinstance(transport, asyncio.Transport):
            transport.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Let go of a connection."""
        super().connection_lost(exc)
        if self._caller is not None:
            self._callers.leave(self._caller)
            self._caller = None

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed, or that nothing else answered."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        # What the parser raises quotes the bytes; what our own code raises is ours to know.
        return self._answering.refuse(request, status, exc if status >= 500 else None)


class _Server(web.Server):
    """Makes our connections in place of aiohttp's."""

    def __init__(self, inner: web.Server, answering: _Answering, callers: _Callers, options: dict[str, Any]) -> None:
        super().__init__(answering.guard(inner.request_handler), request_factory=inner.request_factory, **options)
        self.answering = answering
        self.callers = callers
        self._options = options

    def __call__(self) -> RequestHandler:
        return _Protocol(self, self._options)


class Runner(web.AppRunner):
    """Serves one application; use it as `web.AppRunner`, with a `Site`.

    `observe` is told of requests that never reach the application: unreadable ones, and failures outside it.
    `per_address` is how many connections one address may have at the same time; None for any number.
    """

    def __init__(
        self,
        app: web.Application,
        *,
        clock: Clock,
        observe: Observe = unobserved,
        shutdown_s: float = 5.0,
        per_address: int | None = None,
    ) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_s)
        self._answering = _Answering(clock, observe)
        self._callers = _Callers(per_address)

    async def _make_server(self) -> web.Server:
        inner = await super()._make_server()
        options = {
            "access_log": None,
            "auto_decompress": False,
            "keepalive_timeout": HEAD_S,
            "lingering_time": LINGER_S,
            "max_headers": MAX_HEADERS,
            "max_line_size": MAX_LINE,
            "max_field_size": MAX_LINE,
        }
        return _Server(inner, self._answering, self._callers, options)


class Site(web.TCPSite):
    """Where a `Runner` listens. TLS has to stand within the time of a request's head, not in asyncio's minute."""

    async def start(self) -> None:
        """Listen; raises OSError for a port that is taken."""
        if self._ssl_context is None:
            await super().start()
            return
        await web.BaseSite.start(self)
        if self._runner.server is None:
            raise TypeError("the runner is not set up")
        # What aiohttp does itself, but for the handshake's time, for which it has no parameter.
        self._server = await asyncio.get_running_loop().create_server(
            self._runner.server,
            self._host,
            self._port,
            ssl=self._ssl_context,
            ssl_handshake_timeout=HEAD_S,
            backlog=self._backlog,
        )


async def listen(runner: Runner, host: str, port: int, tls: ssl.SSLContext | None = None) -> int:
    """Set up `runner`, listen on `host` and `port` (0 for any free one), and return the port."""
    await runner.setup()
    await Site(runner, host, port, ssl_context=tls).start()
    return int(runner.addresses[0][1])


def cannot_listen(error: OSError, host_key: str, port_key: str) -> ConfigurationError:
    """Return what a listener that failed to start means for whoever set these two keys of the configuration."""
    if error.errno == errno.EADDRINUSE:
        return ConfigurationError(f"Another program listens on {port_key} already. Stop it, or set another port.")
    if error.errno in (errno.EACCES, errno.EPERM):
        return ConfigurationError(
            f"This user may not listen on {port_key}; ports below 1024 need a right of their own. Set a higher port, "
            "or give the right (CAP_NET_BIND_SERVICE)."
        )
    # asyncio gives no number at all where none of a name's addresses is this machine's.
    if isinstance(error, socket.gaierror) or error.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT, None):
        return ConfigurationError(f"{host_key} is no address of this machine. Set one that it has.")
    return ConfigurationError(f"{port_key} cannot be listened on: {os.strerror(error.errno)}.")
