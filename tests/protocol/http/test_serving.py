# SPDX-License-Identifier: Apache-2.0
"""A server made of operations: what passes reaches the handler checked, what fails becomes one problem document."""

import re
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from protocol.errors import CODES, CannotOpen, Conflict, DirectoryStale, StoreFull, Unavailable
from protocol.http.call import Call
from protocol.http.fields import format_time
from protocol.http.operation import Auth, Method, Operation
from protocol.http.serving import LOCAL_HOSTS, Serving, bind_all
from tests.protocol.http.shop import CONNECT, GET_THINGS, MAKE_THING, NOW, OPERATIONS, TOKEN, Shop, Thing

CANARY = "zolotoi-petushok"
OWNER = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "0123456789abcdef"}
CODE = "cod_" + "a" * 26


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
def shop() -> Shop:
    return Shop()


@pytest.fixture
async def base(shop: Shop) -> AsyncIterator[str]:
    async with shop.running() as base:
        yield base


async def problem_of(response: aiohttp.ClientResponse, code: str) -> dict[str, Any]:
    """Check that a response is the problem `code`, with all that belongs to every problem (HTTP-3)."""
    assert response.content_type == "application/problem+json"
    document: dict[str, Any] = await response.json(content_type=None)
    kind = CODES[code]
    assert document["code"] == code
    assert response.status == document["status"] == kind.status
    assert document["retryable"] == kind.retryable
    assert document["request_id"] == response.headers["X-Request-Id"]
    assert re.fullmatch("req_[a-z2-7]{16}", document["request_id"])
    assert document["type"] == f"/v1/docs#{code}"
    check_headers(response)
    text = await response.text()
    assert CANARY not in text
    assert "Traceback" not in text
    return document


def check_headers(response: aiohttp.ClientResponse) -> None:
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert "X-Request-Id" in response.headers
    assert response.headers["Server"] == "throughcare"


async def test_a_good_call_reaches_its_handler_and_is_answered(session: aiohttp.ClientSession, base: str) -> None:
    async with session.get(base + "/v1/things?limit=1") as response:
        assert (response.status, await response.json()) == (200, {"names": ["tea"], "caller": ""})
        check_headers(response)
    async with session.post(base + "/v1/things", json={"name": "oil"}, headers=OWNER) as response:
        assert response.status == 201
        assert (await response.json())["caller"] == "the owner"
        assert response.headers["Idempotent-Replayed"] == "false"
    async with session.post(base + "/v1/deletions", headers=OWNER) as response:
        assert (response.status, await response.read()) == (204, b"")
        check_headers(response)
    async with session.get(base + f"/v1/codes/{CODE}") as response:
        assert (await response.json())["names"] == ["00" * 16]


async def test_each_request_has_an_id_of_its_own_and_keeps_its_trace(
    session: aiohttp.ClientSession, base: str, shop: Shop
) -> None:
    trace = f"00-{'a' * 32}-{'b' * 16}-01"
    wrong = [f"00-{'0' * 32}-{'b' * 16}-01", CANARY, trace + "-00"]
    for value in [trace, *wrong]:
        async with session.get(base + "/v1/things", headers={"traceparent": value, "X-Request-Id": CANARY}) as response:
            assert (await response.json())["caller"] == (trace if value == trace else "")
    ids = {exchange.request_id for exchange in shop.exchanges}
    assert len(ids) == 4
    assert CANARY not in str(ids)


async def test_http_3_every_error_becomes_a_problem_document(
    session: aiohttp.ClientSession, base: str, shop: Shop
) -> None:
    for error in (Conflict(), CannotOpen(), StoreFull(), DirectoryStale()):
        shop.failure = error
        async with session.get(base + f"/v1/failure/{CODE}") as response:
            document = await problem_of(response, error.code)
            assert document["detail"] == error.detail
            assert ("Retry-After" in response.headers) == (error.status in (503, 507))


async def test_an_error_may_say_when_to_try_again(session: aiohttp.ClientSession, base: str, shop: Shop) -> None:
    shop.failure = Unavailable()
    shop.failure.retry_after = 77
    async with session.get(base + f"/v1/failure/{CODE}") as response:
        await problem_of(response, "unavailable")
        assert response.headers["Retry-After"] == "77"


async def test_http_3_what_nobody_expected_is_reported_inside_and_hidden_outside(
    session: aiohttp.ClientSession, base: str, shop: Shop
) -> None:
    shop.failure = ZeroDivisionError(CANARY)
    async with session.get(base + f"/v1/failure/{CODE}") as response:
        document = await problem_of(response, "internal-error")
    exchange = shop.exchanges[-1]
    assert exchange.failure is shop.failure
    assert exchange.request_id == document["request_id"]
    assert CANARY not in repr(exchange)


async def test_every_exchange_is_observed(session: aiohttp.ClientSession, base: str, shop: Shop) -> None:
    await (await session.get(base + "/v1/things")).read()
    await (await session.post(base + "/v1/things", json={"name": "tea"}, headers=OWNER)).read()
    await (await session.get(base + "/v1/nothing")).read()
    seen = [(e.operation.id if e.operation else "", e.method, e.status, e.code, e.caller) for e in shop.exchanges]
    assert seen == [
        ("getThings", "GET", 200, "", None),
        ("makeThing", "POST", 409, "conflict", "the owner"),
        ("", "GET", 404, "not-found", None),
    ]
    assert all(exchange.duration_ms > 0 for exchange in shop.exchanges)


async def test_a_path_that_is_not_there_is_404_and_a_method_that_is_not_there_405(
    session: aiohttp.ClientSession, base: str
) -> None:
    async with session.get(base + "/v1/" + CANARY) as response:
        await problem_of(response, "not-found")
    async with session.delete(base + "/v1/things") as response:
        await problem_of(response, "method-not-allowed")
        assert response.headers["Allow"] == "GET,POST"


async def test_http_4_an_id_that_cannot_be_is_answered_as_one_that_is_not_there(
    session: aiohttp.ClientSession, base: str
) -> None:
    for wrong in (CANARY, CODE.upper(), CODE[:-1] + "b", "%00", CODE + "%20"):
        async with session.get(base + "/v1/codes/" + wrong) as response:
            assert response.status in (400, 404)
            await problem_of(response, "malformed-request" if response.status == 400 else "not-found")


async def test_a_caller_without_proof_is_refused_before_its_body_is_read(
    session: aiohttp.ClientSession, base: str, shop: Shop
) -> None:
    for headers in ({}, {"Authorization": f"Bearer {CANARY}"}):
        async with session.post(base + "/v1/things", json={"name": "oil"}, headers=headers) as response:
            document = await problem_of(response, "not-authenticated")
            assert document["server_time"] == format_time(NOW)
            assert response.headers["WWW-Authenticate"] == "Bearer"
    assert "oil" not in shop.names


@pytest.mark.parametrize(
    ("body", "code", "errors"),
    [
        ('{"name": 5}', "invalid-input", [{"pointer": "/name", "code": "wrong-type"}]),
        ('{"name": "x", "zolotoi-petushok": 1}', "invalid-input", [{"pointer": "", "code": "unknown-field"}]),
        ('{"name": "zolotoi-petushok zolotoi-petushok"}', "invalid-input", [{"pointer": "/name", "code": "too-long"}]),
        ('{"name": "x", "count": "1"}', "invalid-input", [{"pointer": "/count", "code": "wrong-type"}]),
        ('{"name": "x", "count": -1}', "invalid-input", [{"pointer": "/count", "code": "out-of-range"}]),
        ("[]", "invalid-input", [{"pointer": "", "code": "wrong-type"}]),
        ("", "malformed-request", None),
        ('{"name": "x", "name": "zolotoi-petushok"}', "malformed-request", None),
        ("zolotoi-petushok", "malformed-request", None),
    ],
)
async def test_http_3_a_wrong_body_is_told_field_by_field(
    session: aiohttp.ClientSession, base: str, shop: Shop, body: str, code: str, errors: object
) -> None:
    headers = OWNER | {"Content-Type": "application/json"}
    async with session.post(base + "/v1/things", data=body, headers=headers) as response:
        assert (await problem_of(response, code)).get("errors") == errors
    assert shop.names == ["tea", "salt"]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("limit=0", "invalid-input"),
        ("limit=zolotoi-petushok", "invalid-input"),
        ("zolotoi-petushok=1", "invalid-input"),
        ("limit=1&limit=2", "malformed-request"),
        ("limit", "malformed-request"),
        ("&", "malformed-request"),
        ("&".join(f"a{number}=1" for number in range(30)), "malformed-request"),
    ],
)
async def test_a_wrong_query_is_refused(session: aiohttp.ClientSession, base: str, query: str, code: str) -> None:
    async with session.get(f"{base}/v1/things?{query}") as response:
        await problem_of(response, code)
    async with session.get(f"{base}/v1/codes/{CODE}?{query}") as response:
        assert response.status in (400, 422)


@pytest.mark.parametrize("key", [None, "short", "x" * 256, "with spaces in it 123", "schlüssel-schlüssel"])
async def test_an_operation_that_creates_wants_an_idempotency_key(
    session: aiohttp.ClientSession, base: str, shop: Shop, key: str | None
) -> None:
    headers = {"Authorization": OWNER["Authorization"]} | ({"Idempotency-Key": key} if key else {})
    async with session.post(base + "/v1/things", json={"name": "oil"}, headers=headers) as response:
        await problem_of(response, "idempotency-key-missing")
    assert shop.keys == []


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/json; charset=latin-1"},
        {"Content-Type": "application/json; boundary=x"},
        {"Content-Type": "application/cbor"},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {"Content-Type": "application/json", "Content-Encoding": "br"},
        {"Content-Type": "application/json", "Content-Encoding": "identity"},
    ],
)
async def test_only_the_operations_own_media_type_is_taken_and_no_coding(
    session: aiohttp.ClientSession, base: str, headers: dict[str, str]
) -> None:
    async with session.post(base + "/v1/things", data=b'{"name": "oil"}', headers=OWNER | headers) as response:
        await problem_of(response, "unsupported-media-type")


@pytest.mark.parametrize("media", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
async def test_a_media_type_may_name_the_charset_that_it_has_anyway(
    session: aiohttp.ClientSession, base: str, media: str
) -> None:
    headers = OWNER | {"Content-Type": media}
    async with session.post(base + "/v1/things", data=b'{"name": "oil"}', headers=headers) as response:
        assert response.status == 201


async def test_a_body_where_none_is_taken_is_refused(session: aiohttp.ClientSession, base: str, shop: Shop) -> None:
    async with session.post(base + "/v1/deletions", data=b"x", headers=OWNER) as response:
        await problem_of(response, "malformed-request")
    async with session.request("GET", base + "/v1/things", data=b"x") as response:
        await problem_of(response, "malformed-request")
    assert shop.names


async def test_a_body_is_taken_up_to_its_limit_and_not_beyond(session: aiohttp.ClientSession, base: str) -> None:
    headers = {"Content-Type": "application/cbor"}
    for size, status in ((64 * 1024, 200), (64 * 1024 + 1, 413)):
        async with session.post(base + "/v1/bytes", data=b"x" * size, headers=headers) as response:
            assert response.status == status

        async def chunks(size: int = size) -> AsyncIterator[bytes]:
            for start in range(0, size, 8192):
                yield b"x" * min(8192, size - start)

        async with session.post(base + "/v1/bytes", data=chunks(), headers=headers) as response:
            assert response.status == status


async def test_con_6_a_request_for_another_host_is_misdirected(session: aiohttp.ClientSession, shop: Shop) -> None:
    async with shop.running(Serving(clock=lambda: NOW, hosts=LOCAL_HOSTS)) as base:
        for host, status in {
            "localhost": 200,
            "LOCALHOST:80": 200,
            "127.0.0.1:8080": 200,
            "[::1]:1": 200,
            "localhost.evil.example": 421,
            "evil.example": 421,
            "localhost:80:80": 421,
            "localhost@evil.example": 421,
            "": 421,
        }.items():
            async with session.get(base + "/v1/things", headers={"Host": host}) as response:
                assert response.status == status, host
                if status == 421:
                    await problem_of(response, "misdirected-request")


async def test_con_6_a_foreign_web_page_changes_nothing(session: aiohttp.ClientSession, shop: Shop) -> None:
    async with shop.running(Serving(clock=lambda: NOW, refuse_foreign_pages=True)) as base:
        for site, status in {"none": 204, "same-origin": 204, "same-site": 403, "cross-site": 403, "x": 403}.items():
            headers = OWNER | {"Sec-Fetch-Site": site}
            async with session.post(base + "/v1/deletions", headers=headers) as response:
                assert response.status == status
                if status == 403:
                    await problem_of(response, "forbidden")
            async with session.get(base + "/v1/things", headers=headers) as response:
                assert response.status == 200


async def test_a_websocket_is_bound_by_its_operation(session: aiohttp.ClientSession, base: str, shop: Shop) -> None:
    async with session.ws_connect(base + "/v1/connect") as socket:
        await socket.send_bytes(b"hello")
        assert await socket.receive_bytes() == b"hello"
    async with session.get(base + "/v1/connect") as response:
        await problem_of(response, "malformed-request")
    assert {exchange.operation for exchange in shop.exchanges} == {CONNECT}


async def test_a_websocket_that_fails_is_cut_and_says_nothing(
    session: aiohttp.ClientSession, base: str, shop: Shop
) -> None:
    async with session.ws_connect(base + "/v1/connect") as socket:
        await socket.send_str("not bytes")
        message = await socket.receive()
        assert message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR, aiohttp.WSMsgType.CLOSE)
        assert "secret" not in str(message)
    assert isinstance(shop.exchanges[-1].failure, ValueError)


async def test_the_server_describes_itself(session: aiohttp.ClientSession, base: str) -> None:
    async with session.get(base + "/v1/openapi.json") as response:
        assert (await response.json())["openapi"].startswith("3.1")
    async with session.get(base + "/v1/docs") as response:
        assert response.content_type == "text/html"
        assert response.headers["Content-Security-Policy"].startswith("default-src 'none'")
        check_headers(response)


def test_a_server_does_not_start_with_a_handler_missing_or_too_many() -> None:
    shop = Shop()
    good = {"getThings": shop.get_things, "makeThing": shop.make_thing}
    serving = Serving(clock=lambda: NOW)
    pair = (GET_THINGS, MAKE_THING)
    for operations, handlers, message in (
        (pair, {"getThings": shop.get_things}, "makeThing has no handler"),
        (pair, good | {"fail": shop.fail}, "fail has no operation"),
        ((*pair, CONNECT), good, "connect has no socket handler"),
    ):
        with pytest.raises(TypeError, match=message):
            bind_all(web.Application(), operations, handlers, shop.authenticate, serving)
    with pytest.raises(TypeError, match="connect has no operation"):
        bind_all(web.Application(), pair, good, shop.authenticate, serving, sockets={"connect": shop.connect})


async def test_an_answer_of_another_form_than_the_operations_is_a_mistake_of_ours(
    session: aiohttp.ClientSession,
) -> None:
    class Wrong(Shop):
        async def get_things(self, call: Call[str]) -> Any:
            return await self.send_bytes(call)

        async def send_bytes(self, call: Call[str]) -> Any:
            return await super().get_code(call) if call.path_model else await super().delete_all(call)

        async def delete_all(self, call: Call[str]) -> Any:
            return await super().send_bytes(call)

    shop = Wrong()
    async with shop.running() as base:
        async with session.get(base + "/v1/things") as response:
            await problem_of(response, "internal-error")
        async with session.post(
            base + "/v1/bytes", data=b"x", headers={"Content-Type": "application/cbor"}
        ) as response:
            await problem_of(response, "internal-error")
        async with session.post(base + "/v1/deletions", headers=OWNER) as response:
            await problem_of(response, "internal-error")
    assert [type(exchange.failure) for exchange in shop.exchanges] == [TypeError] * 3


def test_a_call_gives_only_the_models_of_its_operation() -> None:
    call: Call[str] = Call(operation=GET_THINGS, request_id="req_a", body_model=Thing(name=CANARY), raw=CANARY.encode())
    assert call.body(Thing).name == CANARY
    with pytest.raises(TypeError):
        call.query(Thing)
    assert CANARY not in repr(call)
    assert {operation.id for operation in OPERATIONS} >= {"getThings"}
    assert Operation(id="a", method=Method.GET, path="/v1/a", summary="A.", auth=Auth.NONE).limit == 65_536
