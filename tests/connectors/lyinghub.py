# SPDX-License-Identifier: Apache-2.0
"""A hub that lies: a real server in front of a real hub, which passes everything on except what a test bends.

It has the hub's signing keys, as a malicious operator would, and nobody's private keys besides.
"""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp import web
from yarl import URL

from protocol.frames import Item, encode_page, parse_page
from protocol.http.calling import new_session
from protocol.http.hub import DirectoryHead, HubInfo, StatementPage

HEAD: Final = "/v1/directory/head"
STATEMENTS: Final = "/v1/directory/statements"

Bend = Callable[[bytes], bytes]


def straight(body: bytes) -> bytes:
    """Change nothing."""
    return body


def bend_items(change: Callable[[Sequence[Item]], Sequence[Item]]) -> Bend:
    """Change the items of a mailbox page."""

    def bend(body: bytes) -> bytes:
        cursor, items = parse_page(body)
        return encode_page(cursor, list(change(items)))

    return bend


def bend_head(change: Callable[[bytes], bytes]) -> Bend:
    """Change the signed head of the directory."""
    return lambda body: (
        DirectoryHead(head=change(DirectoryHead.model_validate_json(body).head)).model_dump_json().encode()
    )


def bend_statements(change: Callable[[list[bytes]], list[bytes]]) -> Bend:
    """Change a page of the directory's statements."""

    def bend(body: bytes) -> bytes:
        page = StatementPage.model_validate_json(body)
        return StatementPage(items=change(page.items), next_index=page.next_index).model_dump_json().encode()

    return bend


def bend_info(change: Callable[[HubInfo], HubInfo]) -> Bend:
    """Change what the hub says about itself."""
    return lambda body: change(HubInfo.model_validate_json(body)).model_dump_json().encode()


class LyingHub:
    """Serves at a URL of its own that outlives the real hub, which may be exchanged or be gone."""

    def __init__(self) -> None:
        self.target: str | None = None
        self.bends: dict[str, Bend] = {}
        self.lose_answers: set[str] = set()
        """Paths whose requests are passed on and whose answers never arrive."""
        self.lose_posts: set[str] = set()
        """Likewise, of what is posted there only."""
        self.refuse: dict[str, int] = {}
        """Paths answered with a bare status, as by a proxy in between."""
        self.refuse_posts: dict[str, int] = {}
        """Likewise, where something is posted there only."""
        self.swallow: dict[str, bytes] = {}
        """Paths of which what is posted goes nowhere, each with the answer that it was created."""
        self.seen: list[tuple[str, bytes]] = []
        """Path and body of every request."""

    async def __aenter__(self) -> Self:
        app = web.Application(client_max_size=8 << 20)
        app.router.add_route("*", "/{path:.*}", self._pass)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://localhost:{self._runner.addresses[0][1]}"
        self._session = new_session()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()
        await self._runner.cleanup()

    def paths(self, path: str) -> list[bytes]:
        """Return the bodies of all requests for `path`, in order."""
        return [body for asked, body in self.seen if asked == path]

    async def _pass(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.seen.append((request.path, body))
        refused = self.refuse | (self.refuse_posts if request.method == "POST" else {})
        if request.path in refused:
            return web.Response(status=refused[request.path])
        if request.method == "POST" and request.path in self.swallow:
            return web.Response(status=201, body=self.swallow[request.path], content_type="application/json")
        if self.target is None:
            _cut(request)
            return web.Response()
        try:
            async with self._session.request(
                request.method,
                URL(self.target + request.path_qs, encoded=True),
                data=body or None,
                headers={name: value for name, value in request.headers.items() if name != "Content-Length"},
            ) as answer:
                content = await answer.read()
                status, media = answer.status, answer.content_type
        except aiohttp.ClientError:
            _cut(request)
            return web.Response()
        if request.path in self.lose_answers or (request.method == "POST" and request.path in self.lose_posts):
            _cut(request)
            return web.Response()
        if status < 300:
            content = self.bends.get(request.path, straight)(content)
        return web.Response(status=status, body=content or None, content_type=media)


def _cut(request: web.Request) -> None:
    """Let the caller see a connection that ends without an answer."""
    if request.transport is not None:
        request.transport.abort()
