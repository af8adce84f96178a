# SPDX-License-Identifier: Apache-2.0
"""A server made of operations: what passes reaches the handler checked, what fails becomes one problem document."""

import asyncio
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from protocol.errors import CannotOpen, Conflict, DirectoryStale, KeystoreError, StoreFull, Unavailable
from protocol.http.call import Call
from protocol.http.operation import Auth, Method, Operation
from protocol.http.serving import Exchange, Serving, bind_all
from tests.protocol.http.shop import (
    CANARY,
    CODE,
    CONNECT,
    GET_THINGS,
    MAKE_THING,
    NOW,
    OPERATIONS,
    OWNER,
    Shop,
    Thing,
    check_headers,
    problem_of,
)


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
    for failure in (ZeroDivisionError(CANARY), KeystoreError(f"{CANARY} cannot be written.")):
        shop.failure = failure
        async with session.get(base + f"/v1/failure/{CODE}") as response:
            document = await problem_of(response, "internal-error")
        exchange = shop.exchanges[-1]
        assert exchange.failure is shop.failure
        assert exchange.request_id == document["request_id"]
        assert CANARY not in repr(exchange)


async def test_what_never_reaches_the_application_is_observed_too(
    session: aiohttp.ClientSession, base: str, shop: Shop
) -> None:
    reader, writer = await asyncio.open_connection("localhost", int(base.rpartition(":")[2]))
    writer.write(CANARY.encode() + b"\r\n\r\n")
    assert b"malformed-request" in await reader.read()
    writer.close()
    await writer.wait_closed()
    assert [(exchange.status, exchange.code, exchange.failure) for exchange in shop.exchanges] == [
        (400, "malformed-request", None)
    ]


async def test_a_failure_of_the_observer_is_observed_by_the_runner_and_hidden_outside(
    session: aiohttp.ClientSession, shop: Shop
) -> None:
    def broken(_: Exchange) -> None:
        raise ZeroDivisionError(CANARY)

    serving = Serving(clock=lambda: NOW, observe=broken)
    async with shop.running(serving) as base, session.get(base + "/v1/things") as response:
        await problem_of(response, "internal-error")
    assert isinstance(shop.exchanges[-1].failure, ZeroDivisionError)


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
