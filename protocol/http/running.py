# SPDX-License-Identifier: Apache-2.0
"""Runs an application on a socket, with what aiohttp itself would answer brought under our rules.

aiohttp answers a request that it cannot parse before any middleware runs, and its text repeats the bytes. Here it is
a problem document like every other (HTTP-3). Compressed bodies are never inflated, and a connection that does not
send a whole request head in time is closed.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from protocol.errors import InternalError, MalformedRequest
from protocol.http.serving import COMMON_HEADERS, Clock, new_request_id, problem_response

HEAD_S = 15.0
"""Seconds for a request's head on a new or a kept connection; clients close idle connections earlier."""
LINGER_S = 1.0
"""Seconds in which the rest of a refused body is read and thrown away, so that its sender sees the answer."""
MAX_HEADERS = 64
MAX_LINE = 8_190


class _Protocol(RequestHandler):
    """aiohttp's connection, with our answer to what is not HTTP."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer a request that could not be parsed, or that nothing else answered; say nothing of its bytes."""
        if request.writer.output_size > 0:
            raise ConnectionError("an answer is on its way already")
        error = MalformedRequest() if status < 500 else InternalError()
        manager = self._manager
        clock: Clock = manager.clock if isinstance(manager, _Server) else lambda: 0
        return _closing(problem_response(error, new_request_id(), now=clock()))


def _closing(response: web.Response) -> web.Response:
    response.headers.update(COMMON_HEADERS | {"Connection": "close"})
    response.force_close()
    return response


class _Server(web.Server):
    """Makes our connections in place of aiohttp's."""

    def __init__(self, inner: web.Server, clock: Clock, options: dict[str, Any]) -> None:
        super().__init__(_guarded(inner.request_handler, clock), request_factory=inner.request_factory, **options)
        self.clock = clock
        self._options = options

    def __call__(self) -> RequestHandler:
        return _Protocol(self, loop=self._loop, **self._options)


def _guarded(
    handler: Callable[[Any], Awaitable[web.StreamResponse]], clock: Clock
) -> Callable[[Any], Awaitable[web.StreamResponse]]:
    async def answer(request: Any) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            # Raised before the middleware, as for an `Expect` that no route has.
            fault = MalformedRequest() if error.status < 500 else InternalError()
            return _closing(problem_response(fault, new_request_id(), now=clock()))

    return answer


class Runner(web.AppRunner):
    """Serves one application; use it as `web.AppRunner`, with `web.TCPSite` and the like."""

    def __init__(self, app: web.Application, *, clock: Clock, shutdown_s: float = 5.0) -> None:
        super().__init__(app, access_log=None, shutdown_timeout=shutdown_s)
        self._clock = clock

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
        return _Server(inner, self._clock, options)


async def listen(runner: Runner, host: str, port: int) -> int:
    """Set up `runner`, listen on `host` and `port` (0 for any free one), and return the port."""
    await runner.setup()
    site = web.TCPSite(runner, host, port)
    await site.start()
    return int(runner.addresses[0][1])
