# SPDX-License-Identifier: Apache-2.0
"""What a request must be before a handler sees it: proof, host, media type, size, query and body."""

from collections.abc import AsyncIterator

import aiohttp
import pytest

from protocol.http.fields import format_time
from protocol.http.operation import HOW_TO_CALL
from protocol.http.serving import LOCAL_HOSTS, Serving
from tests.protocol.http.shop import (
    CANARY,
    CODE,
    NOW,
    OWNER,
    Shop,
    problem_of,
)


async def test_a_caller_without_proof_is_refused_before_its_body_is_read(
    session: aiohttp.ClientSession, base: str, shop: Shop
) -> None:
    for headers in ({}, {"Authorization": f"Bearer {CANARY}"}):
        async with session.post(base + "/v1/things", json={"name": "oil"}, headers=headers) as response:
            document = await problem_of(response, "not-authenticated")
            assert document["server_time"] == format_time(NOW)
            assert response.headers["WWW-Authenticate"] == "Bearer"
            if not headers:
                assert document["detail"] == HOW_TO_CALL, "the first thing that a newcomer meets says what to send"
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
    ("key", "status"), [(None, 200), ("k" * 16, 200), ("short", 400), ("with spaces in it 123", 400)]
)
async def test_where_an_idempotency_key_may_be_left_out_one_that_is_given_has_the_form_of_one(
    session: aiohttp.ClientSession, base: str, shop: Shop, key: str | None, status: int
) -> None:
    headers = {"Content-Type": "application/cbor"} | ({"Idempotency-Key": key} if key else {})
    async with session.post(base + "/v1/bytes", data=b"abc", headers=headers) as response:
        assert response.status == status
    assert shop.keys == ([key or ""] if status == 200 else [])


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
