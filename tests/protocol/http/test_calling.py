# SPDX-License-Identifier: Apache-2.0
"""A caller gets the model, or the error that the server named, and believes nothing else."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.client_reqrep import ConnectionKey
from nacl.signing import SigningKey

from protocol.errors import (
    ClockSkewed,
    ConfigurationError,
    Conflict,
    HubUnreachable,
    NotAuthenticated,
    NotFound,
    ThroughcareError,
    TooLarge,
    Unavailable,
    UnexpectedAnswer,
)
from protocol.http.call import Answer, Call
from protocol.http.calling import Authorize, Client, Outgoing, base_url, bearer, new_session, signed, why_not_reached
from protocol.http.hub import (
    ACKNOWLEDGE,
    GET_HUB,
    HUB_OPERATIONS,
    READ_MAILBOX,
    SUBMIT_ENVELOPE,
    Acknowledgement,
    HubInfo,
    MailboxPosition,
)
from protocol.http.operation import Operation
from protocol.http.problems import InvalidFields
from protocol.http.running import Runner, listen
from protocol.http.serving import ReadBody, Serving, bind_all
from protocol.http.signatures import SignedRequest, verify_request
from protocol.ids import KeyId
from tests.protocol.http.shop import (
    CANARY,
    CODE,
    DELETE_ALL,
    FAIL,
    GET_CODE,
    GET_THINGS,
    MAKE_THING,
    NOW,
    SEND_BYTES,
    TOKEN,
    Shop,
    Thing,
    Things,
)

KEY = "0123456789abcdef"


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with new_session() as session:
        yield session


async def test_a_call_gives_the_model_of_its_answer(session: aiohttp.ClientSession, base: str, shop: Shop) -> None:
    client = Client(session, base, bearer(TOKEN))
    assert await client.call(GET_THINGS, Things, query={"limit": 1}) == Things(names=["tea"])
    made = await client.call(MAKE_THING, Things, body=Thing(name="oil", count=2), idempotency_key=KEY)
    assert made.names == ["tea", "salt", "oil", "oil"]
    assert (await client.call(GET_CODE, Things, path={"code_id": CODE})).names == ["00" * 16]
    assert await client.call_bytes(SEND_BYTES, body=b"abc") == b"cba"
    assert await client.call_bytes(DELETE_ALL) == b""
    assert shop.names == []


async def test_a_call_raises_the_error_that_the_server_names(session: aiohttp.ClientSession, base: str) -> None:
    client = Client(session, base, bearer(TOKEN))
    with pytest.raises(Conflict):
        await client.call(MAKE_THING, Things, body=Thing(name="tea"), idempotency_key=KEY)
    with pytest.raises(NotFound):
        await client.call(GET_CODE, Things, path={"code_id": "nothing"})
    with pytest.raises(InvalidFields) as caught:
        await client.call(GET_THINGS, Things, query={"limit": 99})
    assert [(field.pointer, field.code) for field in caught.value.fields] == [("/limit", "out-of-range")]
    with pytest.raises(TooLarge):
        await client.call_bytes(SEND_BYTES, body=bytes(64 * 1024 + 1))
    with pytest.raises(NotAuthenticated) as refused:
        await Client(session, base, bearer("wrong")).call_bytes(DELETE_ALL)
    assert refused.value.__notes__[0].startswith("The server's log has it as req_")


async def test_con_2_how_long_to_wait_reaches_the_caller(session: aiohttp.ClientSession, base: str, shop: Shop) -> None:
    shop.failure = Unavailable()
    shop.failure.retry_after = 9
    with pytest.raises(Unavailable) as caught:
        await Client(session, base).call_bytes(FAIL, path={"code_id": CODE})
    assert caught.value.retry_after == 9


@pytest.mark.parametrize(
    "text",
    [
        ("https://Hub.Example/", "https://hub.example"),
        ("https://hub.example:443", "https://hub.example"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://[::1]:0080/", "http://[::1]"),
    ],
)
def test_http_1_a_base_url_has_one_spelling(text: tuple[str, str]) -> None:
    assert base_url(text[0]) == text[1]


@pytest.mark.parametrize(
    "text",
    [
        "hub.example",
        "ftp://hub.example",
        "https://hub.example/v1",
        "https://u:p@hub.example",
        "https://h:99999",
        "",
        "https://a b",
    ],
)
def test_a_base_url_of_another_form_is_a_mistake_in_the_configuration(text: str) -> None:
    with pytest.raises(ConfigurationError):
        base_url(text)


Raw = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def answering(answer: Raw) -> AsyncIterator[str]:
    """Serve one answer to everything, as a broken server or a proxy might."""
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    runner = Runner(app, clock=lambda: NOW)
    port = await listen(runner, "127.0.0.1", 0)
    try:
        yield f"http://localhost:{port}"
    finally:
        await runner.cleanup()


def fixed(**arguments: Any) -> Raw:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(**arguments)

    return answer


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"body": b'{"names": ["zolotoi-petushok"], "more": 1}', "content_type": "application/json"}, None),
        ({"body": b'{"names": 5}', "content_type": "application/json"}, UnexpectedAnswer),
        ({"body": b'{"names": [], "names": []}', "content_type": "application/json"}, UnexpectedAnswer),
        ({"body": b"[" * 10_000, "content_type": "application/json"}, UnexpectedAnswer),
        ({"body": b"zolotoi-petushok", "content_type": "text/html"}, UnexpectedAnswer),
        ({"body": b'{"names": []}', "content_type": "application/json", "status": 201}, UnexpectedAnswer),
        ({"status": 302, "headers": {"Location": "http://zolotoi-petushok.example/"}}, UnexpectedAnswer),
        ({"status": 404, "text": "zolotoi-petushok"}, UnexpectedAnswer),
        ({"status": 502, "text": "zolotoi-petushok"}, Unavailable),
        ({"body": b"x" * (5 << 20), "content_type": "application/json"}, UnexpectedAnswer),
        (
            {
                "body": b'{"names": []}',
                "content_type": "application/json",
                "headers": {"Content-Encoding": "gzip"},
            },
            UnexpectedAnswer,
        ),
    ],
)
async def test_an_answer_that_its_interface_does_not_name_is_not_believed(
    session: aiohttp.ClientSession, arguments: dict[str, Any], expected: type[ThroughcareError] | None
) -> None:
    async with answering(fixed(**arguments)) as base:
        if expected is None:
            assert (await Client(session, base).call(GET_THINGS, Things)).names == [CANARY]
            return
        with pytest.raises(expected) as caught:
            await Client(session, base).call(GET_THINGS, Things)
        assert CANARY not in str(caught.value)


async def test_a_server_that_breaks_off_is_unreachable(session: aiohttp.ClientSession) -> None:
    async def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "50"})
        await response.prepare(request)
        await response.write(b'{"names":')
        assert request.transport is not None
        request.transport.abort()
        return response

    for broken in (cut, half):
        async with answering(broken) as base:
            with pytest.raises(HubUnreachable):
                await Client(session, base).call(GET_THINGS, Things)


async def test_calls_go_through_the_proxy_that_is_configured() -> None:
    seen = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await reader.readuntil(b"\r\n")).strip())
        body = b'{"names": ["by proxy"]}'
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(proxy, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, new_session(proxy=f"http://127.0.0.1:{port}") as session:
        answer = await Client(session, "http://hub.example").call(GET_THINGS, Things)
    assert answer.names == ["by proxy"]
    assert seen == [b"GET http://hub.example/v1/things HTTP/1.1"]


async def test_a_server_that_has_stopped_is_unreachable_in_the_callers_own_words(
    session: aiohttp.ClientSession,
) -> None:
    address = ""
    async with answering(fixed()) as base:
        address = base
    with pytest.raises(HubUnreachable):
        await Client(session, address).call(GET_THINGS, Things)
    with pytest.raises(Unavailable):
        await Client(session, address, unreachable=Unavailable).call(GET_THINGS, Things)


async def test_a_server_that_says_nothing_is_unreachable_after_the_operations_time(
    session: aiohttp.ClientSession,
) -> None:
    hold = asyncio.Event()

    async def wait(_: web.Request) -> web.StreamResponse:
        await hold.wait()
        return web.Response()

    short = Operation(
        id="getThings",
        method=GET_THINGS.method,
        path="/v1/things",
        summary="Get.",
        auth=GET_THINGS.auth,
        response=Things,
        timeout_s=1,
    )
    async with answering(wait) as base:
        with pytest.raises(HubUnreachable):
            await Client(session, base).call(short, Things)
        assert not hold.is_set(), "the caller gave up by itself"
        hold.set()


async def test_nothing_secret_is_shown_by_what_makes_a_call() -> None:
    request = Outgoing("POST", "http://localhost/v1", None, CANARY.encode())
    assert CANARY not in repr(request)
    assert CANARY not in repr(bearer(CANARY))


# A hub in small: real operations, real signatures.

TRANSPORT = SigningKey(hashlib.sha256(b"transport").digest())
DEVICE = KeyId(hashlib.sha256(b"device").digest())


class SmallHub:
    def __init__(self) -> None:
        self.base = ""
        self.now = NOW
        self.nonces: set[bytes] = set()
        self.acknowledged = -1

    async def authenticate(self, request: web.Request, operation: Operation, body: ReadBody) -> SignedRequest:
        signed_request = verify_request(
            method=request.method,
            url=self.base + request.raw_path,
            headers=request.headers,
            resolve=lambda device: bytes(TRANSPORT.verify_key) if device == DEVICE else None,
            now=self.now,
        )
        signed_request.check_body(await body())
        if signed_request.nonce in self.nonces:
            raise NotAuthenticated
        self.nonces.add(signed_request.nonce)
        return signed_request

    async def submit(self, call: Call[SignedRequest]) -> Answer:
        return Answer(hashlib.sha256(call.raw).digest() + call.caller.device_id)

    async def read(self, call: Call[SignedRequest]) -> Answer:
        return Answer(str(call.query(MailboxPosition).cursor).encode())

    async def acknowledge(self, call: Call[SignedRequest]) -> Answer:
        self.acknowledged = call.body(Acknowledgement).up_to
        return Answer()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        app = web.Application()
        operations = [item for item in HUB_OPERATIONS if item in (SUBMIT_ENVELOPE, READ_MAILBOX, ACKNOWLEDGE)]
        handlers = {"submitEnvelope": self.submit, "readMailbox": self.read, "acknowledge": self.acknowledge}
        bind_all(app, operations, handlers, self.authenticate, Serving(clock=lambda: self.now))
        runner = Runner(app, clock=lambda: self.now)
        self.base = f"http://localhost:{await listen(runner, '127.0.0.1', 0)}"
        try:
            yield self.base
        finally:
            await runner.cleanup()


def by_device(now: int = NOW) -> Authorize:
    return signed(DEVICE, lambda data: TRANSPORT.sign(data).signature, lambda: now)


async def test_http_1_a_connector_signs_and_a_hub_verifies_every_form_of_request(
    session: aiohttp.ClientSession,
) -> None:
    hub = SmallHub()
    async with hub.running() as base:
        client = Client(session, base, by_device())
        envelope = bytes(range(256)) * 400
        answer = await client.call_bytes(SUBMIT_ENVELOPE, body=envelope)
        assert answer == hashlib.sha256(envelope).digest() + DEVICE
        assert await client.call_bytes(READ_MAILBOX, query={"cursor": 41, "wait": 0}) == b"41"
        assert await client.call_bytes(ACKNOWLEDGE, body=Acknowledgement(up_to=7)) == b""
    assert hub.acknowledged == 7


async def test_http_2_a_request_sent_twice_with_one_nonce_is_refused(session: aiohttp.ClientSession) -> None:
    kept: dict[str, str] = {}

    def again(request: Outgoing) -> dict[str, str]:
        if not kept:
            kept.update(by_device()(request))
        return kept

    hub = SmallHub()
    async with hub.running() as base:
        client = Client(session, base, again)
        await client.call_bytes(ACKNOWLEDGE, body=Acknowledgement(up_to=7))
        with pytest.raises(NotAuthenticated):
            await client.call_bytes(ACKNOWLEDGE, body=Acknowledgement(up_to=7))
        with pytest.raises(NotAuthenticated):
            await client.call_bytes(ACKNOWLEDGE, body=Acknowledgement(up_to=8))
    assert hub.acknowledged == 7


async def test_http_2_a_wrong_clock_is_told_from_a_wrong_key(session: aiohttp.ClientSession) -> None:
    hub = SmallHub()
    async with hub.running() as base:
        late = NOW - 120_000
        with pytest.raises(ClockSkewed, match="120 s"):
            await Client(session, base, by_device(late), clock=lambda: late).call_bytes(READ_MAILBOX)
        stranger = signed(KeyId(bytes(32)), lambda data: TRANSPORT.sign(data).signature, lambda: NOW)
        with pytest.raises(NotAuthenticated):
            await Client(session, base, stranger, clock=lambda: NOW).call_bytes(READ_MAILBOX)


async def test_why_a_server_was_not_reached_is_known_in_one_word() -> None:
    key = ConnectionKey("hub.example", 443, True, True, None, None, None)
    refused = aiohttp.ClientConnectorError(key, ConnectionRefusedError(111, "refused"))
    causes: list[tuple[Exception, str]] = [
        (refused, "refused"),
        (aiohttp.ClientConnectorError(key, OSError(101, "unreachable")), "other"),
        (aiohttp.ClientConnectorDNSError(key, OSError(-2, "unknown")), "name"),
        (aiohttp.ClientProxyConnectionError(key, ConnectionRefusedError(111, "refused")), "proxy"),
        (aiohttp.ClientConnectorSSLError(key, OSError(1, "untrusted")), "certificate"),
        (TimeoutError(), "timeout"),
        (aiohttp.ServerDisconnectedError(), "other"),
    ]
    for error, reason in causes:
        assert why_not_reached(error) == reason
    async with new_session() as session:
        with pytest.raises(HubUnreachable) as caught:
            await Client(session, "http://localhost:1").call(GET_HUB, HubInfo)
    assert caught.value.reason == "refused"
