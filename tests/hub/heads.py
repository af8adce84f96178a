# SPDX-License-Identifier: Apache-2.0
"""Signed submissions of which a test sends the head by itself, and of the body whatever it likes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from yarl import URL

from keys.signing import DeviceSigner
from protocol.http.calling import Outgoing, signed
from tests.hub.running import RunningHub

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def head_of(
    hub: RunningHub, device: DeviceSigner, body: bytes, path: str = "/v1/envelopes", forwarded: str = ""
) -> bytes:
    """Return the head of a signed submission of `body`; a proxy says that it comes from `forwarded`."""
    url = URL(hub.url + path)
    sign = signed(device.key_id, device.transport.sign_raw, hub.clock)
    headers = sign(Outgoing("POST", str(url), "application/cbor", body))
    head = [f"POST {url.path_qs} HTTP/1.1", f"Host: {url.authority}", f"Content-Length: {len(body)}"]
    if forwarded:
        head.append(f"X-Forwarded-For: {forwarded}")
    return "\r\n".join([*head, *(f"{name}: {value}" for name, value in headers.items()), "", ""]).encode()


@asynccontextmanager
async def begun(hub: RunningHub, head: bytes) -> AsyncIterator[Streams]:
    """Send the head of a request, and nothing of the body."""
    reader, writer = await asyncio.open_connection("127.0.0.1", URL(hub.url).port)
    writer.write(head)
    try:
        yield reader, writer
    finally:
        writer.close()


async def status_of(reader: asyncio.StreamReader) -> int:
    """Return the status of the answer."""
    async with asyncio.timeout(10):
        return int((await reader.readline()).split()[1])
