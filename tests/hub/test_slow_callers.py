# SPDX-License-Identifier: Apache-2.0
"""Fault 13 at its full figure: 500 connections that dawdle, at a hub that is a program of its own."""

import asyncio
import contextlib
import re
import time
from pathlib import Path

import aiohttp
import pytest

from tests.hub.process import HubProcess, prepare

CALLERS = 500
BETWEEN_S = 10.0
HEAD = b"GET /v1/hub HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 60
BODY_HEAD = (
    b"POST /v1/enrolment/requests HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 2000\r\n\r\n"
)


def resident_mib(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1024


async def dawdle(port: int, begin: bytes) -> float:
    """Send `begin`, then a byte every ten seconds; return the seconds after which the hub had hung up."""
    started = time.monotonic()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)

    async def drip() -> None:
        writer.write(begin)
        while True:
            await asyncio.sleep(BETWEEN_S)
            writer.write(b"a")

    dripping = asyncio.create_task(drip())
    try:
        async with asyncio.timeout(120):
            with contextlib.suppress(ConnectionError):
                while await reader.read(65_536):
                    continue
        return time.monotonic() - started
    finally:
        dripping.cancel()
        writer.transport.abort()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@pytest.mark.full
@pytest.mark.parametrize("begin", [HEAD, BODY_HEAD], ids=["heads", "bodies"])
async def test_http_16_five_hundred_that_dawdle_are_cut_off_and_others_go_on(tmp_path: Path, begin: bytes) -> None:
    """Takes about 25 s. Others call from another address, as others do."""
    config, programme = prepare(tmp_path)
    async with HubProcess(config, programme) as hub:
        await hub.start()
        await hub.publish()
        port = int(hub.url.rpartition(":")[2])
        before = resident_mib(hub.pid)
        callers = [asyncio.create_task(dawdle(port, begin)) for _ in range(CALLERS)]
        most, answered = before, 0
        connector = aiohttp.TCPConnector(local_addr=("127.0.0.2", 0))
        async with aiohttp.ClientSession(connector=connector) as others:
            while not all(caller.done() for caller in callers):
                async with others.get(f"{hub.url}/v1/hub", timeout=aiohttp.ClientTimeout(10)) as response:
                    assert response.status == 200
                    answered += 1
                most = max(most, resident_mib(hub.pid))
                await asyncio.sleep(0.2)
        seconds = [caller.result() for caller in callers]
        assert answered > 10
        assert max(seconds) < 60, "cut off late even for a busy machine"
        assert most - before < 50
        assert await hub.stop() == 0
