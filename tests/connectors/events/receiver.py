# SPDX-License-Identifier: Apache-2.0
"""A receiver of webhooks: a server as another program of an agency would run it."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from aiohttp import web

SECRET: Final = f"whsec_{base64.b64encode(b'n' * 32).decode()}"


@dataclass
class Call:
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """An agency's own server on the loopback interface; `answer` says what it answers."""

    url: str = ""
    calls: list[Call] = field(default_factory=list)
    held: asyncio.Event | None = None
    """What it waits for before it answers."""
    answer: Callable[[], web.Response] = lambda: web.Response(status=204)

    async def handle(self, request: web.Request) -> web.Response:
        self.calls.append(Call(request.path, dict(request.headers), await request.read()))
        if self.held is not None:
            await self.held.wait()
        return self.answer()

    def says(self, status: int, **headers: str) -> None:
        self.answer = lambda: web.Response(status=status, headers=headers)


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """Serve a receiver that confirms everything until it is told otherwise."""
    made = Receiver()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", made.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    try:
        yield made
    finally:
        await runner.cleanup()
