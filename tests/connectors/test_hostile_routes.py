# SPDX-License-Identifier: Apache-2.0
"""Requests that are meant to harm, sent to every route of a hub and of a connector (faults 14 to 16).

The routes come from the tables of operations, so a new operation is attacked from its first day. Each request carries a
good signature or token: what is refused is refused for what it is, not for who sends it.
"""

import asyncio
import contextlib
import gzip
import json
import re
import secrets
import zlib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pytest

from connectors.access import ensure_token
from connectors.api import application
from connectors.logs import Log
from protocol.http.connector import CONNECTOR_OPERATIONS
from protocol.http.hub import HUB_OPERATIONS
from protocol.http.operation import Media, Operation
from protocol.http.reading import media_type
from protocol.http.running import Runner, listen
from protocol.http.signatures import sign_request
from protocol.limits import SECOND
from tests.connectors.conftest import World
from tests.connectors.stations import api_of

CANARY = "zolotoi-petushok"
NUMBER = b"9" * 50_000

BAD_JSON = {
    "deep lists": b"[" * 60_000,
    "deep objects": b'{"a":' * 12_000,
    "many digits": b'{"limit":' + NUMBER + b"}",
    "many digits behind the point": b"[0." + NUMBER + b"]",
    "a large exponent": b'{"limit":1e999999}',
    "many names": json.dumps({f"{number:x}": 1 for number in range(5_000)}).encode(),
    "a name twice": b'{"zolotoi-petushok":1,"zolotoi-petushok":1}',
    "not a number": b'{"zolotoi-petushok":NaN}',
    "infinity": b"[-Infinity]",
    "bytes": b'{"zolotoi-petushok":"\xff"}',
    "overlong encoding": b'{"zolotoi-petushok":"\xc0\x80"}',
    "half a surrogate": b'{"zolotoi-petushok":"\\ud800"}',
    "zero byte": b'{"zolotoi-petushok\\u0000":1}',
    "reversed writing": b'{"\\u202ezolotoi-petushok":"\xe2\x80\xae"}',
    "byte order mark": b'\xef\xbb\xbf{"zolotoi-petushok":1}',
    "sixteen bits": '{"zolotoi-petushok":1}'.encode("utf-16"),
    "nothing": b"",
    "a list": b'["zolotoi-petushok"]',
}
BAD_CBOR = {
    "deep arrays": b"\x81" * 60_000,
    "deep maps": b"\xa1\x00" * 30_000,
    "an array of 2^64 things": b"\x9b" + b"\xff" * 8,
    "bytes without end": b"\x5f" + b"\x41a" * 20_000,
    "a string that is no text": b"\x81\x62\xff\xfe",
    "a tag": b"\xc2\x58\x20" + bytes(32),
    "nothing": b"",
    "text": CANARY.encode(),
}
BAD_IN_PATH = ("%ff%fe", "%c0%af", "%00", "%ed%a0%80", "%0d%0aX-Forged:zolotoi-petushok", "\xff")
BAD_IN_QUERY = ("x=%ff", "x=%00", "zolotoi-petushok=1", "x=1&x=2", "limit=" + "9" * 5_000, "x", "&".join(["x=1"] * 50))
BOMB = bytes(1 << 20)
CODINGS = {
    "gzip": gzip.compress(BOMB),
    "deflate": zlib.compress(BOMB),
    "br": b"\x8b\xff\xff\x7f" * 9,
    "zstd": b"\x28\xb5\x2f\xfd" * 9,
    "identity": b"{}",
    "gzip, gzip": gzip.compress(gzip.compress(BOMB)),
    CANARY: b"{}",
}
FOREIGN = ("multipart/form-data; boundary=zolotoi-petushok", "application/x-www-form-urlencoded", "text/xml", "")


@dataclass(frozen=True)
class Attack:
    """A request and the statuses that are right for it."""

    name: str
    statuses: frozenset[int]
    path: str = ""
    query: str = ""
    body: bytes = b""
    media: str | None = None
    headers: Mapping[str, str] | None = None
    announced: int | None = None
    """What Content-Length says, if it is not the body's length."""


@dataclass(frozen=True)
class Target:
    """A running server: its port, its operations, how a caller shows who it is, and what it has logged."""

    port: int
    operations: Sequence[Operation]
    authorise: Callable[[str, str, str | None, bytes], Mapping[str, str]]
    logged: Callable[[], str]


def attacks_on(operation: Operation) -> Iterator[Attack]:
    for bad in BAD_IN_QUERY:
        yield Attack(f"query {bad[:20]}", frozenset({400, 404, 422}), query=bad)
    for name in sorted(operation.names):
        for bad in BAD_IN_PATH:
            path = operation.url_path({**operation.example.path, name: bad})
            yield Attack(f"path {bad}", frozenset({400}), path=path)
    yield Attack("bytes in a header", frozenset({400}), headers={"X-Any": "\xff\xfe"})
    refused = frozenset({415})
    if operation.request is None:
        yield Attack("a body where none is", frozenset({400}), body=CANARY.encode())
        yield Attack("a coding where no body is", refused, headers={"Content-Encoding": "gzip"})
        return
    for coding, body in CODINGS.items():
        yield Attack(f"coding {coding}", refused, body=body, headers={"Content-Encoding": coding})
    for media in FOREIGN:
        yield Attack(f"media {media}", refused, body=CANARY.encode(), media=media)
    yield Attack("sixteen bits", refused, body=b"{}", media=f"{media_type(operation)}; charset=utf-16")
    yield Attack("100 MB announced", frozenset({413}), announced=max(100 << 20, operation.limit + 1))
    if isinstance(operation.request, type):
        for name, body in BAD_JSON.items():
            yield Attack(name, frozenset({400, 422}), body=body)
    elif operation.request is Media.CBOR:
        for name, body in BAD_CBOR.items():
            # A batch is a list; what stands in it is refused one by one.
            yield Attack(name, frozenset({400, 422}), body=body)


def request(target: Target, operation: Operation, attack: Attack) -> bytes:
    path = attack.path or operation.url_path({name: operation.example.path[name] for name in operation.names})
    query = attack.query or "&".join(f"{name}={value}" for name, value in operation.example.query.items())
    location = path + (f"?{query}" if query else "")
    media = media_type(operation) if attack.media is None else attack.media
    headers = dict(
        target.authorise(operation.method.value, location.replace("\xff", "%FF"), media or None, attack.body)
    )
    if operation.request is not None and media:
        headers["Content-Type"] = media
    if operation.idempotency_key:
        headers["Idempotency-Key"] = secrets.token_hex(16)
    if operation.if_match:
        headers["If-Match"] = '"1"'
    if operation.request is not None or attack.body:
        headers["Content-Length"] = str(len(attack.body) if attack.announced is None else attack.announced)
    headers |= attack.headers or {}
    lines = [f"{operation.method.value} {location} HTTP/1.1", f"Host: localhost:{target.port}", "Connection: close"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + attack.body


async def answer_to(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        answer = b""
        async with asyncio.timeout(30):
            with contextlib.suppress(ConnectionError):
                while more := await reader.read(65_536):
                    answer += more
        return answer
    finally:
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.fixture
async def hub_target(world: World) -> Target:
    device, hub = world.prison.member.device, world.hub
    port = int(hub.url.rpartition(":")[2])

    def authorise(method: str, location: str, media: str | None, body: bytes) -> Mapping[str, str]:
        return sign_request(
            method=method,
            url=f"http://localhost:{port}{location}",
            body=body,
            content_type=media if body else None,
            device_id=device.key_id,
            sign=device.transport.sign_raw,
            now=hub.clock(),
        )

    return Target(port, HUB_OPERATIONS, authorise, hub.logged.getvalue)


@pytest.fixture
async def connector_target(world: World) -> AsyncIterator[Target]:
    station = world.prison
    token = ensure_token(station.folder)
    api = api_of(station)
    app = application(api, token, world.hub.clock, Log(station.logged, json=True))
    runner = Runner(app, clock=world.hub.clock, shutdown_s=1.0)
    port = await listen(runner, "127.0.0.1", 0)
    yield Target(port, CONNECTOR_OPERATIONS, lambda *_: {"Authorization": f"Bearer {token}"}, station.logged.getvalue)
    await runner.cleanup()


def check(operation: Operation, attack: Attack, answer: bytes) -> None:
    told = f"{operation.id}, {attack.name}: {answer[:300]!r}"
    found = re.match(rb"HTTP/1\.[01] (\d{3}) ", answer)
    assert found, told
    assert int(found[1]) in attack.statuses, told
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head, told
    assert json.loads(body)["status"] == int(found[1]), told
    assert CANARY.encode() not in answer, told
    assert b"X-Forged" not in answer, told


async def attack_all(target: Target, world: World, step: int) -> None:
    """Send every `step`th attack to each route, another choice to each, so that each attack meets some route."""
    count = 0
    for number, operation in enumerate(target.operations):
        if operation.socket:
            continue
        # What a minute allows is not what is tested here.
        world.hub.clock.advance(30 * SECOND)
        for attack in list(attacks_on(operation))[number % step :: step]:
            check(operation, attack, await answer_to(target.port, request(target, operation, attack)))
            count += 1
    assert count > 8 * len(target.operations) / step
    logged = target.logged()
    assert CANARY not in logged
    assert "Traceback" not in logged
    for line in logged.splitlines():
        json.loads(line)


EVERY = [pytest.param(4, id="sample"), pytest.param(1, id="all", marks=pytest.mark.full)]


@pytest.mark.parametrize("step", EVERY)
async def test_no_route_of_a_hub_takes_or_repeats_what_is_meant_to_harm(
    world: World, hub_target: Target, step: int
) -> None:
    """Faults 14 to 16."""
    await attack_all(hub_target, world, step)
    assert "request-failed" not in hub_target.logged()


@pytest.mark.parametrize("step", EVERY)
async def test_no_route_of_a_connector_takes_or_repeats_what_is_meant_to_harm(
    world: World, connector_target: Target, step: int
) -> None:
    """Faults 14 to 16."""
    await attack_all(connector_target, world, step)
