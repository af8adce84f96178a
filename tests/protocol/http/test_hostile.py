# SPDX-License-Identifier: Apache-2.0
"""Requests that are meant to harm: too large, too deep, not text, or HTTP that two readers read differently.

Samples of faults 13 to 17. Each goes to a real server over a raw socket, once with aiohttp's C parser and once with
its Python parser, since both must refuse alike.
"""

import asyncio
import contextlib
import gzip
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from protocol.http.serving import Serving
from tests.protocol.http.shop import MUCH, Shop

ROOT = Path(__file__).parents[3]
CANARY = b"zolotoi-petushok"


@pytest.fixture(scope="module", params=["C parser", "Python parser"])
def server(request: pytest.FixtureRequest) -> Iterator[tuple[int, int]]:
    """Start the shop as a process of its own; give its port and process id."""
    environment = dict(os.environ)
    if request.param == "Python parser":
        environment["AIOHTTP_NO_EXTENSIONS"] = "1"
    command = [sys.executable, "-m", "tests.protocol.http.shop"]
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        _, talk = process.communicate(timeout=20)
    assert process.returncode == 0
    assert b"Traceback" not in talk
    assert CANARY not in talk


@pytest.fixture
async def port(server: tuple[int, int]) -> int:
    return server[0]


async def hang_up(writer: asyncio.StreamWriter) -> None:
    """Close, whatever the server has done to the connection."""
    writer.transport.abort()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()


async def exchange(port: int, data: bytes, *, shut: bool = False) -> tuple[int, bytes]:
    """Send `data`, read until the server closes or has answered once; return the status and all that it said."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(data)
        if shut:
            writer.write_eof()
        answer = b""
        async with asyncio.timeout(20):
            while b"\r\n\r\n" not in answer:
                more = await reader.read(65_536)
                if not more:
                    break
                answer += more
            length = re.search(rb"(?i)content-length: (\d+)", answer)
            if length:
                head = answer.index(b"\r\n\r\n") + 4
                while len(answer) < head + int(length[1]) and (more := await reader.read(65_536)):
                    answer += more
    finally:
        await hang_up(writer)
    found = re.match(rb"HTTP/1\.[01] (\d{3})", answer)
    return (int(found[1]) if found else 0), answer


def post(body: bytes, *headers: str, path: str = "/v1/bytes", media: str = "application/cbor") -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Type: {media}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def check_refused(status: int, answer: bytes, expected: set[int]) -> None:
    """A refusal is a problem document and repeats nothing (HTTP-3)."""
    assert status in expected, answer
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    assert b"no-store" in head
    document = json.loads(body)
    assert document["status"] == status
    assert CANARY not in answer
    assert b"aiohttp" not in answer
    assert b"Server: throughcare\r\n" in head


BAD_HTTP = {
    "length and chunks": post(b"0\r\n\r\nGET /zolotoi-petushok", "Content-Length: 30", "Transfer-Encoding: chunked"),
    "chunks and length": post(b"0\r\n\r\n", "Transfer-Encoding: chunked", "Content-Length: 5"),
    "two lengths": post(b"hello", "Content-Length: 5", "Content-Length: 6"),
    "two lengths in one": post(b"hello", "Content-Length: 5, 6"),
    "signed length": post(b"hello", "Content-Length: +5"),
    "negative length": post(b"hello", "Content-Length: -5"),
    "hexadecimal length": post(b"hello", "Content-Length: 0x5"),
    "length with a letter": post(b"hello", "Content-Length: 5zolotoi-petushok"),
    "unknown coding": post(b"hello", "Transfer-Encoding: zolotoi-petushok"),
    "hidden coding": post(b"0\r\n\r\n", "Transfer-Encoding: xchunked"),
    "coding twice": post(b"0\r\n\r\n", "Transfer-Encoding: chunked, chunked"),
    "coding before space": post(b"0\r\n\r\n", "Transfer-Encoding : chunked"),
    "chunk size with a sign": post(b"+5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    "chunk size with a letter": post(b"5g\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    "chunk longer than its size": post(b"5\r\nhelloworld\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    "line feed in a chunk extension": post(b"5;a\nb\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    "line feed alone in a chunk": post(b"5\nhello\n0\n\n", "Transfer-Encoding: chunked"),
    "chunk size of 70 bits": post(b"1" + b"0" * 17 + b"\r\nhello", "Transfer-Encoding: chunked"),
    "chunk size with an underscore": post(b"0_5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    "chunk size in hexadecimal form": post(b"0x5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    "chunk size after a space": post(b" 5\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
    "trailer without a colon": post(b"5\r\nhello\r\n0\r\nzolotoi-petushok\r\n\r\n", "Transfer-Encoding: chunked"),
    "zero byte in a trailer": post(b"5\r\nhello\r\n0\r\nX-A: a\0b\r\n\r\n", "Transfer-Encoding: chunked"),
    "coding after a tab": post(b"0\r\n\r\n", "Transfer-Encoding:\tx chunked"),
    "coding with a vertical tab": post(b"0\r\n\r\n", "Transfer-Encoding: \x0bchunked"),
    "coding in two headers": post(b"0\r\n\r\n", "Transfer-Encoding: chunked", "Transfer-Encoding: identity"),
    "identity": post(b"hello", "Transfer-Encoding: identity"),
    "chunked before another": post(b"0\r\n\r\n", "Transfer-Encoding: chunked, gzip"),
    "coding with a quote": post(b"0\r\n\r\n", 'Transfer-Encoding: "chunked"'),
    "coding with a parameter": post(b"0\r\n\r\n", "Transfer-Encoding: chunked;a=b"),
    "coding with a letter that is no letter": post(b"0\r\n\r\n", "Transfer-Encoding: chun\u212aed"),
    "length in two headers alike": post(b"hello", "Content-Length: 5", "Content-Length: 5"),
    "length with a space in it": post(b"hello", "Content-Length: 1 5"),
    "length with an underscore": post(b"hello", "Content-Length: 0_5"),
    "length of nothing": post(b"hello", "Content-Length: "),
    "length with other digits": post(b"hello", "Content-Length: \u0665"),
    "length of 70 digits": post(b"hello", "Content-Length: " + "9" * 70),
    "line feeds alone": b"POST /v1/bytes HTTP/1.1\nHost: localhost\nContent-Length: 0\n\n",
    "line feed alone in a header": post(b"", "X-A: a\nX-B: zolotoi-petushok"),
    "carriage return alone in a header": post(b"", "X-A: a\rX-B: zolotoi-petushok"),
    "header with an empty name": post(b"", ": zolotoi-petushok"),
    "first header begins with a space": b"GET /v1/things HTTP/1.1\r\n Host: localhost\r\n\r\n",
    "method in small letters and signs": b"G@T /v1/things HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "tab in the request line": b"GET\t/v1/things HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "zero byte in the target": b"GET /v1/things\0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "version 1.10": b"GET /v1/things HTTP/1.10\r\nHost: localhost\r\n\r\n",
    "version 2.0": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "zero byte in a header": post(b"", "X-A: zolotoi\0petushok"),
    "control byte in a header": post(b"", "X-A: zolotoi\x01petushok"),
    "space in a header name": post(b"", "X A: zolotoi-petushok"),
    "two hosts": post(b"", "Host: zolotoi-petushok"),
    "no host": b"GET /v1/things HTTP/1.1\r\n\r\n",
    "chunks in HTTP/1.0": b"POST /v1/bytes HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "folded header": post(b"", "X-A: a\r\n zolotoi-petushok"),
    "header without a colon": post(b"", "zolotoi-petushok"),
    "no version": b"GET /v1/things\r\n\r\n",
    "version of letters": b"GET /v1/things HTTP/zolotoi-petushok\r\nHost: localhost\r\n\r\n",
    "not HTTP": b"\x16\x03\x01\x02\x00\x01zolotoi-petushok\r\n\r\n",
    "header of 10 kB": post(b"", "X-A: " + "a" * 10_000),
    "two hundred headers": post(b"", *[f"X-A{number}: a" for number in range(200)]),
}


@pytest.mark.parametrize("name", list(BAD_HTTP))
async def test_http_that_can_be_read_in_two_ways_is_refused_and_the_connection_closed(port: int, name: str) -> None:
    """Fault 17."""
    status, answer = await exchange(port, BAD_HTTP[name] + post(b"", "Content-Length: 0", path="/smuggled"))
    check_refused(status, answer, {400})
    assert re.search(rb"(?i)connection: close", answer)
    assert answer.count(b"HTTP/1.") == 1
    assert b'"code":"malformed-request"' in answer


@pytest.mark.parametrize(
    ("data", "taken"),
    [
        (post(b"", "Content-Length: 0").replace(b"POST ", b"POST  "), b""),
        (post(b"5;a\rb\r\nhello\r\n0\r\n\r\n", "Transfer-Encoding: chunked"), b"olleh"),
    ],
    ids=["two spaces in the request line", "carriage return in a chunk extension"],
)
async def test_what_one_parser_takes_and_the_other_refuses_moves_no_border(
    port: int, data: bytes, taken: bytes
) -> None:
    """All that aiohttp's two parsers were found to differ in; whoever takes it takes the same request."""
    status, answer = await exchange(port, data + post(b"", "Content-Length: 0", path="/smuggled"))
    assert status in (200, 400)
    if status == 200:
        head, _, body = answer.partition(b"\r\n\r\n")
        assert b"\r\nContent-Length: %d\r\n" % len(taken) in head
        assert body.startswith(taken)
    else:
        assert re.search(rb"(?i)connection: close", answer)


BAD_TEXT = {
    "percent-encoded bytes in the path": b"GET /v1/codes/%ff%fe HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "overlong encoding in the path": b"GET /v1/codes/%c0%af HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "surrogate in the path": b"GET /v1/codes/%ed%a0%80 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "zero byte in the path": b"GET /v1/codes/%00 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "raw bytes in the path": b"GET /v1/codes/\xff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "raw letters in the path": b"GET /v1/codes/\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "percent-encoded bytes in the query": b"GET /v1/things?limit=%ff HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "bytes in a header": b"GET /v1/things HTTP/1.1\r\nHost: localhost\r\nX-A: \xff\xfe\r\n\r\n",
    "target of another server": b"GET http://zolotoi-petushok/v1/things HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "target without a path": b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("name", list(BAD_TEXT))
async def test_bytes_that_are_no_text_are_refused_wherever_they_stand(port: int, name: str) -> None:
    """Fault 16."""
    status, answer = await exchange(port, BAD_TEXT[name])
    check_refused(status, answer, {400})


BAD_JSON = {
    "deep lists": b"[" * 60_000,
    "deep objects": b'{"name":' * 7_000,
    "a hundred thousand digits": b'{"count":' + b"9" * 60_000 + b"}",
    "a name twice": b'{"name":"a","name":"zolotoi-petushok"}',
    "not a number": b'{"name":"a","count":NaN}',
    "bytes": b'{"name":"\xff"}',
    "overlong encoding": b'{"name":"\xc0\x80"}',
    "half a surrogate": b'{"name":"\\ud800"}',
    "zero byte": b'{"name":"\\u0000"}',
    "reversed writing": b'{"name":"\\u202ezolotoi-petushok"}',
    "many names": json.dumps({str(number): 1 for number in range(6_000)}).encode(),
}


@pytest.mark.parametrize("name", list(BAD_JSON))
async def test_json_that_is_deep_or_ambiguous_is_refused(port: int, name: str) -> None:
    """Faults 15 and 16."""
    body = BAD_JSON[name]
    headers = (
        "Authorization: Bearer open-sesame",
        "Idempotency-Key: 0123456789abcdef",
        f"Content-Length: {len(body)}",
    )
    status, answer = await exchange(port, post(body, *headers, path="/v1/things", media="application/json"))
    check_refused(status, answer, {400, 422})


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd", "identity", "zolotoi-petushok"])
async def test_a_compressed_body_is_refused_and_never_inflated(port: int, coding: str) -> None:
    """Fault 15: 10 MB of zeros in 10 kB."""
    bomb = gzip.compress(bytes(10 << 20))
    status, answer = await exchange(port, post(bomb, f"Content-Length: {len(bomb)}", f"Content-Encoding: {coding}"))
    check_refused(status, answer, {415})


def _resident_kib(process: int) -> int:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1])


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_of_100_mb_is_refused_without_being_held(server: tuple[int, int], chunked: bool) -> None:
    """Fault 14."""
    port, process = server
    before = _resident_kib(process) if sys.platform == "linux" else 0
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    size, piece = 100 << 20, bytes(64 * 1024)
    writer.write(post(b"", "Transfer-Encoding: chunked" if chunked else f"Content-Length: {size}"))
    sent = 0

    async def pour() -> None:
        nonlocal sent
        while sent < size:
            writer.write(b"10000\r\n" + piece + b"\r\n" if chunked else piece)
            await writer.drain()
            sent += len(piece)

    pouring = asyncio.create_task(pour())
    async with asyncio.timeout(20):
        answer = await reader.readuntil(b"\r\n\r\n")
        body = await reader.readexactly(int(re.search(rb"(?i)content-length: (\d+)", answer)[1]))  # type: ignore[index]
    pouring.cancel()
    await asyncio.gather(pouring, return_exceptions=True)
    await hang_up(writer)
    check_refused(int(answer[9:12]), answer + body, {413})
    if sys.platform == "linux":
        assert _resident_kib(process) - before < 10 * 1024


async def test_a_body_that_stops_half_way_is_no_request(port: int) -> None:
    status, answer = await exchange(port, post(b"hello", "Content-Length: 50"), shut=True)
    assert status in (0, 400), answer


async def test_an_expectation_is_met_or_ignored_and_never_repeated(port: int) -> None:
    status, answer = await exchange(port, post(b"hello", "Content-Length: 5", "Expect: 100-continue"))
    assert answer.startswith(b"HTTP/1.1 100 Continue\r\n\r\n")
    status, answer = await exchange(port, post(b"", "Content-Length: 99999999", "Expect: 100-continue"))
    check_refused(status, answer, {413})
    status, answer = await exchange(port, post(b"hello", "Content-Length: 5", "Expect: zolotoi-petushok"))
    assert status == 200
    assert CANARY not in answer
    data = post(b"hello", "Content-Length: 5", "Expect: zolotoi-petushok", path="/v1/nothing")
    status, answer = await exchange(port, data)
    check_refused(status, answer, {400, 404})


@pytest.fixture
async def quick(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Serve the shop with times that a test can wait for."""
    from protocol.http import reading, running

    monkeypatch.setattr(running, "HEAD_S", 0.5)
    monkeypatch.setattr(reading, "BYTES_PER_SECOND", 1 << 20)
    async with Shop().running(Serving(clock=lambda: 0, body_s=0.1)) as base:
        yield int(base.rpartition(":")[2])


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", 0),
        (b"GET /v1/th", 0),
        (b"GET /v1/things HTTP/1.1\r\nHost: loc", 0),
        (post(b"he", "Content-Length: 5"), 400),
    ],
)
async def test_http_16_a_sender_that_dawdles_is_cut_off(quick: int, data: bytes, expected: int) -> None:
    """Fault 13."""
    status, answer = await exchange(quick, data)
    assert status == expected, answer


async def test_http_16_a_reader_that_takes_nothing_of_a_large_answer_is_cut_off(quick: int) -> None:
    """Fault 13. Half of it lies in the system's buffers, so what counts is that the connection does not stay."""
    loop = asyncio.get_running_loop()
    with socket.socket() as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        link.setblocking(False)
        await loop.sock_connect(link, ("127.0.0.1", quick))
        await loop.sock_sendall(link, b"GET /v1/much HTTP/1.1\r\nHost: localhost\r\n\r\n")
        received = 0
        with contextlib.suppress(ConnectionResetError):
            # It takes a little, then nothing for longer than it may, then all it can get.
            received += len(await loop.sock_recv(link, 100))
            await asyncio.sleep(0.5)
            async with asyncio.timeout(20):
                while more := await loop.sock_recv(link, 1 << 20):
                    received += len(more)
    assert 0 < received < MUCH
    assert (await exchange(quick, b"GET /v1/things HTTP/1.1\r\nHost: localhost\r\n\r\n"))[0] == 200


async def test_http_16_connections_of_one_address_are_bounded_and_a_place_that_is_left_is_free() -> None:
    async with Shop().running(Serving(clock=lambda: 0), per_address=3) as base:
        port = int(base.rpartition(":")[2])
        request = b"GET /v1/things HTTP/1.1\r\nHost: localhost\r\n\r\n"
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for reader, writer in held:
            writer.write(request)
            assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionResetError):
            assert await reader.read() == b""
        await hang_up(writer)
        await hang_up(held.pop()[1])
        status = 0
        for _ in range(200):
            status, _ = await exchange(port, request)
            if status == 200:
                break
            await asyncio.sleep(0.01)
        assert status == 200
        for _, other in held:
            await hang_up(other)


async def test_a_body_of_another_kind_is_told_which_one_is_wanted(port: int) -> None:
    """`curl -d` sends a form unless it is told otherwise."""
    headers = ("Authorization: Bearer open-sesame", "Idempotency-Key: 0123456789abcdef", "Content-Length: 2")
    status, answer = await exchange(
        port, post(b"{}", *headers, path="/v1/things", media="application/x-www-form-urlencoded")
    )
    check_refused(status, answer, {415})
    assert b"with Content-Type: application/json." in answer
