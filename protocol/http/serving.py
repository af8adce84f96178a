# SPDX-License-Identifier: Apache-2.0
"""Binds operations to routes: the one way in which hub and connectors take requests.

A request passes, in this order: framing, target, host, origin, route, proof of caller present, media type, body
announced within its limit, caller, idempotency key, path, query, body. What a handler sees has passed all of it; what
fails anywhere becomes one problem document (HTTP-3). Where the caller shows in the headers alone, nothing of a body is
held before it is known who sends it, nor of one whose head is refused (HTTP-14).
"""

import time
from base64 import b32encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from secrets import token_bytes
from typing import Any, TypeVar

from aiohttp import web
from pydantic import BaseModel

from protocol.errors import (
    InternalError,
    KeystoreError,
    MalformedRequest,
    MethodNotAllowed,
    NotFound,
    ThroughcareError,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from protocol.http import reading
from protocol.http.answering import response_to, send
from protocol.http.call import Call, Handler
from protocol.http.operation import Auth, Operation
from protocol.http.problems import PROBLEM, problem, problem_headers
from protocol.http.strictjson import render

CallerT = TypeVar("CallerT")

Clock = Callable[[], int]
ReadBody = Callable[[], Awaitable[bytes]]
"""Reads the body, once, after all that stands in the head; nothing of one that is streamed."""
Authenticate = Callable[[web.Request, Operation, ReadBody], Awaitable[CallerT]]
"""Finds out who calls, from the request's head, and then perhaps from its body; raises `NotAuthenticated` or another
error of the operation."""
SocketHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Admit = Callable[[web.Request, Operation], AbstractContextManager[None]]
"""Surrounds the work on a request, before anything of it is read; raises to refuse it."""
Weigh = Callable[[web.Request, int], None]
"""Is told how many bytes an answer has, before it is sent; raises to refuse it."""

LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "[::1]"})
"""The names by which a connector's local interface may be called (CON-6)."""

COMMON_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff", "Server": "throughcare"}
"""On every response. The server's name stands in for aiohttp's, which would tell its version and Python's."""

_CHALLENGES = {Auth.DEVICE: "Signature", Auth.TOKEN: "Bearer"}


@dataclass(slots=True)
class Exchange:
    """One request and what became of it, for logs and metrics. Holds nothing of the request's content."""

    request_id: str
    method: str
    operation: Operation | None = None
    traceparent: str = ""
    caller: object = field(default=None, repr=False)
    started: bool = False
    status: int = 0
    """What was answered; 0 where the caller had left before it had the answer."""
    code: str = ""
    """The error's code; empty for a success."""
    duration_ms: float = 0.0
    failure: BaseException | None = field(default=None, repr=False)
    """What nobody expected: to be logged in full, with the request id, and shown to nobody."""
    pending: Awaitable[None] | None = field(default=None, repr=False)
    """What authentication has begun and must be done before anything is answered; a task or future."""

    async def settle(self) -> None:
        """Wait for what is pending; raises what it raises."""
        if self.pending is not None:
            await self.pending


Observe = Callable[[Exchange], None]
"""Is told of an exchange when it is over."""


def unobserved(_: Exchange) -> None:
    """Keep no record."""


def admit_all(_request: web.Request, _operation: Operation) -> AbstractContextManager[None]:
    """Bound nobody."""
    return nullcontext()


def weigh_nothing(_request: web.Request, _size: int) -> None:
    """Count nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """How a server answers, apart from its operations.

    `clock` gives ms UTC. `hosts` are the host names answered to, without port; None for every name, behind a proxy.
    With `refuse_foreign_pages` a request made by another site's web page changes nothing. `observe` is told of every
    exchange when it is over. `admit` surrounds the work on each, and `weigh` is told how large its answer is. A body's
    first byte may take `body_s` seconds, and so may each piece of an answer.
    """

    clock: Clock
    hosts: frozenset[str] | None = None
    refuse_foreign_pages: bool = False
    observe: Observe = unobserved
    admit: Admit = admit_all
    weigh: Weigh = weigh_nothing
    body_s: float = 15.0


EXCHANGE = web.RequestKey("exchange", Exchange)
"""Where a websocket's handler finds its request id."""


def bind_all(
    app: web.Application,
    operations: Sequence[Operation],
    handlers: Mapping[str, Handler[CallerT]],
    authenticate: Authenticate[CallerT],
    serving: Serving,
    *,
    sockets: Mapping[str, SocketHandler] | None = None,
) -> None:
    """Give `app` a route for each operation, and the answers to all that goes wrong.

    `handlers` and `sockets` have one entry for each operation by its id. Raises `TypeError` at start-up if one is
    missing or has no operation.
    """
    raw = dict(sockets or {})
    _check_complete("handler", {item.id for item in operations if not item.socket}, set(handlers))
    _check_complete("socket handler", {item.id for item in operations if item.socket}, set(raw))
    app.middlewares.append(_middleware(serving))
    app.on_response_prepare.append(_finish_headers)
    for operation in operations:
        if operation.socket:
            route = _socket_route(operation, raw[operation.id], serving)
        else:
            route = _route(operation, handlers[operation.id], authenticate, serving)
        app.router.add_route(operation.method.value, operation.path, route, expect_handler=_expect(operation))


def _check_complete(what: str, wanted: set[str], given: set[str]) -> None:
    for missing in sorted(wanted - given):
        raise TypeError(f"operation {missing} has no {what}")
    for superfluous in sorted(given - wanted):
        raise TypeError(f"{what} {superfluous} has no operation")


@dataclass(frozen=True, slots=True)
class _Head:
    """What of a call stands in its head, besides who makes it."""

    idempotency_key: str
    version: int | None
    path: BaseModel | None
    query: BaseModel | None


def _read_head(request: web.Request, operation: Operation) -> _Head:
    return _Head(
        reading.read_idempotency_key(request, operation),
        reading.read_if_match(request, operation),
        reading.read_path(request, operation),
        reading.read_query(request, operation),
    )


def _route(
    operation: Operation, handler: Handler[CallerT], authenticate: Authenticate[CallerT], serving: Serving
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def route(request: web.Request) -> web.StreamResponse:
        request[EXCHANGE].operation = operation
        with serving.admit(request, operation):
            try:
                return await serve(request)
            finally:
                await request[EXCHANGE].settle()

    async def serve(request: web.Request) -> web.StreamResponse:
        exchange = request[EXCHANGE]
        reading.check_credentials(request, operation)
        reading.check_media(request, operation)
        reading.check_length(request, operation)
        streamed = operation.streamed and operation.request is not None
        read: tuple[_Head, bytes] | None = None

        async def read_all() -> tuple[_Head, bytes]:
            nonlocal read
            if read is None:
                head = _read_head(request, operation)
                read = head, b"" if streamed else await reading.read_body(request, operation, serving.body_s)
            return read

        async def read_body() -> bytes:
            return (await read_all())[1]

        caller = None
        if operation.auth is not Auth.NONE:
            caller = await authenticate(request, operation, read_body)
            exchange.caller = caller
        head, body = await read_all()
        call = Call(
            operation=operation,
            request_id=exchange.request_id,
            traceparent=exchange.traceparent,
            idempotency_key=head.idempotency_key,
            version=head.version,
            raw=body,
            stream=reading.stream_body(request, operation, serving.body_s) if streamed else None,
            authenticated=caller,
            path_model=head.path,
            query_model=head.query,
            body_model=reading.read_json(body, operation),
        )
        response, pieces = response_to(request, operation, await handler(call))
        # Before the wait: what is held meanwhile is to be bounded.
        serving.weigh(request, response.content_length or 0)
        await exchange.settle()
        if pieces is not None:
            exchange.started = True
            await send(request, response, pieces, serving.body_s)
        return response

    return route


def _socket_route(
    operation: Operation, handler: SocketHandler, serving: Serving
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def route(request: web.Request) -> web.StreamResponse:
        request[EXCHANGE].operation = operation
        with serving.admit(request, operation):
            return await handler(request)

    return route


def new_request_id() -> str:
    """Return a fresh request id."""
    return "req_" + b32encode(token_bytes(10)).decode().lower()


def _middleware(serving: Serving) -> Any:
    @web.middleware
    async def answer_all(
        request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        exchange = Exchange(new_request_id(), request.method)
        request[EXCHANGE] = exchange
        begin = time.perf_counter()
        try:
            reading.check_framing(request)
            reading.check_target(request)
            exchange.traceparent = reading.traceparent(request)
            if serving.hosts is not None:
                reading.check_host(request, serving.hosts)
            if serving.refuse_foreign_pages:
                reading.check_origin(request)
            response = await handler(request)
            exchange.status = response.status
        except web.HTTPException as error:
            response = _refuse(exchange, _translated(error), serving, allowed=error.headers.get("Allow", ""))
        except KeystoreError as error:
            # No caller can do anything about a server's own keys and files.
            exchange.failure = error
            response = _refuse(exchange, InternalError(), serving)
        except ThroughcareError as error:
            response = _refuse(exchange, error, serving)
        except MemoryError:
            response = _refuse(exchange, Unavailable(), serving)
        except Exception as error:  # whatever it is, the caller gets one document and the log the rest
            if isinstance(error, ConnectionError) and _has_left(request):
                # Nothing failed here, and nobody is there to be told: else anybody could raise an alarm by leaving.
                raise
            exchange.failure = error
            response = _refuse(exchange, InternalError(), serving)
        finally:
            exchange.duration_ms = (time.perf_counter() - begin) * 1000
            serving.observe(exchange)
        return response

    return answer_all


def _has_left(request: web.Request) -> bool:
    """Tell whether the caller's connection is gone, or was cut off since nothing was taken (HTTP-16)."""
    return request.transport is None or request.transport.is_closing()


def _refuse(exchange: Exchange, error: ThroughcareError, serving: Serving, *, allowed: str = "") -> web.Response:
    exchange.status, exchange.code = error.status, error.code
    if exchange.started:
        # Half an answer is on its way; only cutting the connection tells the caller that it is not whole.
        raise ConnectionResetError
    response = problem_response(error, exchange.request_id, now=serving.clock())
    if allowed:
        response.headers["Allow"] = allowed
    if error.status == 401 and exchange.operation is not None:
        response.headers["WWW-Authenticate"] = _CHALLENGES.get(exchange.operation.auth, "Bearer")
    if isinstance(error, TooLarge | MalformedRequest):
        # What follows on this connection may be the rest of the request, not another one.
        response.force_close()
    return response


def problem_response(error: ThroughcareError, request_id: str, *, now: int) -> web.Response:
    """Return the response that tells of `error` (HTTP-3)."""
    return web.Response(
        status=error.status,
        body=render(problem(error, request_id, now=now)),
        content_type=PROBLEM,
        headers=problem_headers(error),
    )


def _translated(error: web.HTTPException) -> ThroughcareError:
    known: dict[int, type[ThroughcareError]] = {
        404: NotFound,
        405: MethodNotAllowed,
        413: TooLarge,
        415: UnsupportedMediaType,
    }
    if error.status in known:
        return known[error.status]()
    return MalformedRequest() if error.status < 500 else InternalError()


def _expect(operation: Operation) -> Callable[[web.Request], Awaitable[web.StreamResponse | None]]:
    async def invite(request: web.Request) -> None:
        """Invite a body that was announced, if it can be taken. Unlike aiohttp's own handler, echo nothing."""
        fits = (request.content_length or 0) <= operation.limit
        if fits and request.headers.get("Expect", "").lower() == "100-continue" and request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    return invite


async def _finish_headers(request: web.Request, response: web.StreamResponse) -> None:
    exchange = request.get(EXCHANGE)
    if exchange is not None:
        exchange.started = True
        response.headers["X-Request-Id"] = exchange.request_id
    response.headers.update(COMMON_HEADERS)
