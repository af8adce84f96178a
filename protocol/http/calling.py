# SPDX-License-Identifier: Apache-2.0
"""Calls an operation of another server and gives back its model, or raises the error that the server told of.

Used with a device's signature against the hub and with a bearer token against a connector. It retries nothing:
whoever calls knows whether a message's deadline allows another try (CON-2).
"""

import io
import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import quote, urlencode

import aiohttp
from pydantic import BaseModel, ValidationError
from yarl import URL

from protocol.errors import (
    ClockSkewed,
    ConfigurationError,
    HubUnreachable,
    MalformedRequest,
    NotAuthenticated,
    ThroughcareError,
    UnexpectedAnswer,
)
from protocol.http import strictjson
from protocol.http.operation import Media, Operation
from protocol.http.problems import PROBLEM_LIMIT, from_problem
from protocol.http.signatures import Sign, sign_request
from protocol.ids import KeyId
from protocol.limits import SECOND, SIGNATURE_WINDOW

ModelT = TypeVar("ModelT", bound=BaseModel)
Clock = Callable[[], int]

CONNECT_S = 15.0
_PIECE = 1 << 18
IDLE_S = 10.0
"""Seconds that an idle connection is kept: less than the server keeps it, so that no call meets one being closed."""

_BASE = re.compile(r"(https?)://(\[[0-9a-f:]+\]|[a-z0-9.-]+)(?::(\d{1,5}))?/?")
_PORTS = {"http": 80, "https": 443}
_REQUEST_ID = re.compile(r"req_[a-z2-7]{16}")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A request about to be sent: what an `Authorize` may sign."""

    method: str
    url: str
    content_type: str | None
    body: bytes = field(repr=False)


Authorize = Callable[[Outgoing], Mapping[str, str]]
"""Returns the headers that show who calls."""


def anonymous(_: Outgoing) -> Mapping[str, str]:
    """Show nothing, for operations that ask for no caller."""
    return {}


def bearer(token: str) -> Authorize:
    """Show the bearer token of a connector's local interface (CON-6)."""
    return lambda _: {"Authorization": f"Bearer {token}"}


def signed(device_id: KeyId, sign: Sign, clock: Clock) -> Authorize:
    """Sign each request with a device's transport key (HTTP-1); `clock` gives ms UTC."""
    return lambda request: sign_request(
        method=request.method,
        url=request.url,
        body=request.body,
        content_type=request.content_type,
        device_id=device_id,
        sign=sign,
        now=clock(),
    )


def base_url(text: str) -> str:
    """Return the one spelling of a server's base URL; `ConfigurationError` if it is none.

    It is signed with every request (HTTP-1), so both sides must write it alike: scheme, lower-case host, port
    unless it is the scheme's own, and nothing else.
    """
    found = _BASE.fullmatch(text.strip().lower())
    if found is None:
        raise ConfigurationError("A server's address reads https://host or https://host:port, without a path.")
    scheme, host = found[1], found[2]
    port = int(found[3] or _PORTS[scheme])
    if not 0 < port < 65_536:
        raise ConfigurationError("A server's port is a number from 1 to 65535.")
    return f"{scheme}://{host}" if port == _PORTS[scheme] else f"{scheme}://{host}:{port}"


def new_session(
    *,
    proxy: str | None = None,
    proxy_credentials: tuple[str, str] | None = None,
    use_proxy_settings: bool = False,
    tls: ssl.SSLContext | bool = True,
    connector: aiohttp.BaseConnector | None = None,
    before_connecting: Callable[[], None] | None = None,
) -> aiohttp.ClientSession:
    """Return a session for `Client`: no cookies, no redirects, nothing inflated.

    `proxy` is the URL of a proxy, `proxy_credentials` the name and password for it; `use_proxy_settings` takes one
    from the environment instead. `tls` is a context with an authority of one's own. `connector` opens connections
    where that is not to be done by TCP. `before_connecting` is called before each connection is opened, the first and
    every later one; what it raises is raised to whoever calls, and nothing is opened.
    """
    return aiohttp.ClientSession(
        trace_configs=None if before_connecting is None else [_looking(before_connecting)],
        connector=connector or aiohttp.TCPConnector(keepalive_timeout=IDLE_S, ssl=tls),
        cookie_jar=aiohttp.DummyCookieJar(),
        proxy=_with_credentials(proxy, proxy_credentials),
        trust_env=use_proxy_settings,
        auto_decompress=False,
        headers={"Accept-Encoding": "identity", "User-Agent": "throughcare"},
    )


def _looking(look: Callable[[], None]) -> aiohttp.TraceConfig:
    """Return what has a session call `look` before each connection that it opens."""

    async def begin(*_: object) -> None:
        look()

    tracing = aiohttp.TraceConfig()
    tracing.on_connection_create_start.append(begin)
    return tracing


def _with_credentials(proxy: str | None, credentials: tuple[str, str] | None) -> URL | None:
    if proxy is None:
        return None
    # aiohttp takes them out of the URL and sends them to nobody but the proxy.
    return URL(proxy).with_user(credentials[0]).with_password(credentials[1]) if credentials else URL(proxy)


class Client:
    """Calls the operations of one server.

    `base` is its base URL, `authorize` shows who calls, `unreachable` is the error to raise when the network or the
    server fails, and `clock` (ms UTC) lets a refused signature be told from a wrong clock.
    """

    def __init__(
        self,
        session: aiohttp.ClientSession,
        base: str,
        authorize: Authorize = anonymous,
        *,
        unreachable: type[ThroughcareError] = HubUnreachable,
        clock: Clock | None = None,
    ) -> None:
        self._session = session
        self._base = base_url(base)
        self._authorize = authorize
        self._unreachable = unreachable
        self._clock = clock

    async def call(
        self,
        operation: Operation,
        answer: type[ModelT],
        *,
        body: BaseModel | bytes | None = None,
        query: Mapping[str, str | int] | None = None,
        path: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        version: int | None = None,
        on_replay: Callable[[], None] | None = None,
    ) -> ModelT:
        """Call an operation that answers with the model `answer`.

        `on_replay` is called if the answer is one that was given before to the same `idempotency_key`.

        Raises the error that the server names, `UnexpectedAnswer` if it answers otherwise than its interface
        says, and `unreachable` if it does not answer.
        """
        content = await self.call_bytes(
            operation,
            body=body,
            query=query,
            path=path,
            idempotency_key=idempotency_key,
            version=version,
            on_replay=on_replay,
        )
        try:
            strictjson.parse(content)
            return answer.model_validate_json(content)
        except (MalformedRequest, ValidationError):
            raise UnexpectedAnswer from None

    async def call_bytes(
        self,
        operation: Operation,
        *,
        body: BaseModel | bytes | None = None,
        query: Mapping[str, str | int] | None = None,
        path: Mapping[str, str] | None = None,
        idempotency_key: str = "",
        version: int | None = None,
        on_replay: Callable[[], None] | None = None,
    ) -> bytes:
        """Call an operation and return the body of its answer, empty if it has none; raises as `call`."""
        content = body.model_dump_json().encode() if isinstance(body, BaseModel) else body or b""
        url = self._base + operation.url_path(path or {})
        if query:
            url += "?" + urlencode(query, quote_via=quote)
        media = _media(operation.request)
        request = Outgoing(operation.method.value, url, media if content else None, content)
        headers = {"Content-Type": media} if content and media else {}
        headers |= self._authorize(request)
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        if version is not None:
            headers["If-Match"] = f'"{version}"'
        try:
            return await self._exchange(operation, request, headers, on_replay=on_replay)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._not_reached(error) from None

    def _not_reached(self, error: Exception) -> ThroughcareError:
        certificate = isinstance(error, aiohttp.ClientSSLError)
        text = "The server's certificate is not trusted here; nothing was sent." if certificate else None
        found = self._unreachable(text)
        found.reason = why_not_reached(error)
        return found

    async def send_pieces(
        self,
        operation: Operation,
        answer: type[ModelT],
        pieces: AsyncIterator[bytes],
        *,
        query: Mapping[str, str | int] | None = None,
        idempotency_key: str = "",
    ) -> ModelT:
        """Call an operation with a body that is never held whole; raises as `call`.

        For a connector's local interface: a request that a device signs needs its whole body before.
        """
        url = self._base + operation.path + ("?" + urlencode(query, quote_via=quote) if query else "")
        request = Outgoing(operation.method.value, url, _media(operation.request), b"")
        headers = {"Content-Type": _media(operation.request) or "", **self._authorize(request)}
        if idempotency_key:
            headers["Idempotency-Key"] = idempotency_key
        try:
            return answer.model_validate_json(await self._exchange(operation, request, headers, pieces))
        except ValidationError:
            raise UnexpectedAnswer from None
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise self._unreachable from None

    async def take_pieces(
        self, operation: Operation, *, path: Mapping[str, str], query: Mapping[str, str | int] | None = None
    ) -> AsyncIterator[bytes]:
        """Call an operation and yield its answer piece by piece; raises as `call`, also after pieces have come.

        What has come counts only when the iteration has ended by itself.
        """
        url = self._base + operation.url_path(path) + ("?" + urlencode(query, quote_via=quote) if query else "")
        request = Outgoing(operation.method.value, url, None, b"")
        try:
            async with self._ask(operation, request, self._authorize(request)) as response:
                await self._check(operation, response)
                async for piece in response.content.iter_chunked(_PIECE):
                    yield piece
        except (aiohttp.ClientError, TimeoutError, OSError):
            raise self._unreachable from None

    def _ask(
        self,
        operation: Operation,
        request: Outgoing,
        headers: Mapping[str, str],
        pieces: AsyncIterator[bytes] | None = None,
    ) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        total = None if operation.streamed else operation.timeout_s
        return self._session.request(
            request.method,
            URL(request.url, encoded=True),
            # As a stream: aiohttp warns of bytes over a megabyte, which a batch of envelopes may have.
            data=pieces or (io.BytesIO(request.body) if request.body else None),
            headers=headers,
            allow_redirects=False,
            timeout=aiohttp.ClientTimeout(total=total, connect=CONNECT_S, sock_read=operation.timeout_s),
        )

    async def _check(self, operation: Operation, response: aiohttp.ClientResponse) -> None:
        if response.status != operation.status:
            raise self._error(response.status, await _read(response, PROBLEM_LIMIT), response.headers)
        expected = _media(operation.response)
        if expected is not None and response.content_type != expected:
            raise UnexpectedAnswer
        if "Content-Encoding" in response.headers:
            raise UnexpectedAnswer

    async def _exchange(
        self,
        operation: Operation,
        request: Outgoing,
        headers: Mapping[str, str],
        pieces: AsyncIterator[bytes] | None = None,
        *,
        on_replay: Callable[[], None] | None = None,
    ) -> bytes:
        async with self._ask(operation, request, headers, pieces) as response:
            await self._check(operation, response)
            content = await _read(response, operation.answer_limit)
            if on_replay is not None and response.headers.get("Idempotent-Replayed") == "true":
                on_replay()
            return content

    def _error(self, status: int, body: bytes, headers: Mapping[str, str]) -> ThroughcareError:
        if status < 400:
            return UnexpectedAnswer()
        answered = from_problem(status, body, headers)
        error = answered.error
        if isinstance(error, NotAuthenticated) and answered.server_time is not None and self._clock is not None:
            ahead = self._clock() - answered.server_time
            if abs(ahead) > SIGNATURE_WINDOW:
                error = ClockSkewed(f"This machine's clock is {abs(ahead) // SECOND} s from the hub's. Set the clock.")
        if _REQUEST_ID.fullmatch(answered.request_id):
            error.add_note(f"The server's log has it as {answered.request_id}.")
        return error


def why_not_reached(error: Exception) -> str:
    """Return in one word why a server was not reached; the operator looks in another place for each."""
    if isinstance(error, aiohttp.ClientSSLError):
        return "certificate"
    if isinstance(error, aiohttp.ClientProxyConnectionError | aiohttp.ClientHttpProxyError):
        return "proxy"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "name"
    if isinstance(error, TimeoutError):
        return "timeout"
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    return "refused" if isinstance(cause, ConnectionRefusedError) else "other"


def _media(body: type[BaseModel] | Media | None) -> str | None:
    if body is None:
        return None
    return body.value if isinstance(body, Media) else "application/json"


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    parts, size = [], 0
    async for chunk in response.content.iter_any():
        size += len(chunk)
        if size > limit:
            raise UnexpectedAnswer
        parts.append(chunk)
    return b"".join(parts)
