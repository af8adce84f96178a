# SPDX-License-Identifier: Apache-2.0
"""Health and metrics, on a listener of their own that only this machine reaches. No version, no name."""

import shutil
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from aiohttp import web

from protocol.http.measuring import CONTENT_TYPE
from protocol.http.strictjson import render

LEAST_FREE = 64 << 20
"""Bytes of free disk below which the hub asks for no more work."""

Check = Callable[[], Awaitable[bool]]


async def _nothing_yet(_: Mapping[str, bool]) -> bytes:
    return b""


class Health:
    """What the hub can say of its own state; `checks` are asked at every `/readyz`."""

    def __init__(self) -> None:
        self.started = False
        self.checks: dict[str, Check] = {}
        self.unsure: Callable[[], bool] = lambda: False
        """Tells whether nothing is wrong with the clock but that nobody has shown it yet (AUD-11)."""
        self.metrics: Callable[[Mapping[str, bool]], Awaitable[bytes]] = _nothing_yet
        """Makes the metrics, of the checks' results among others."""

    async def ready(self) -> dict[str, bool]:
        """Ask every check; one that fails to answer has failed."""
        found = {"started": self.started}
        for name, check in self.checks.items():
            try:
                found[name] = await check()
            except Exception:  # noqa: BLE001 - whatever is wrong with it, it is not ready
                found[name] = False
        return found


def disk_check(folder: Path) -> Check:
    """Return a check that there is room on the disk of `folder`."""

    async def check() -> bool:
        return shutil.disk_usage(folder).free > LEAST_FREE

    return check


def admin_application(health: Health) -> web.Application:
    """Return the application of the admin listener."""

    async def livez(_request: web.Request) -> web.Response:
        return _answer({"alive": True}, good=True)

    async def startupz(_request: web.Request) -> web.Response:
        return _answer({"started": health.started}, good=health.started)

    async def readyz(_request: web.Request) -> web.Response:
        found = await health.ready()
        return _answer(found, good=all(found.values()))

    async def routez(_request: web.Request) -> web.Response:
        """For a balancer: only requests that reach a hub can show it that its clock is right (AUD-11)."""
        found = await health.ready()
        if "clock" in found:
            found["clock"] |= health.unsure()
        return _answer(found, good=all(found.values()))

    async def metrics(_request: web.Request) -> web.Response:
        found = await health.metrics(await health.ready())
        return web.Response(body=found, headers={"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"})

    app = web.Application()
    app.router.add_get("/livez", livez)
    app.router.add_get("/startupz", startupz)
    app.router.add_get("/readyz", readyz)
    app.router.add_get("/routez", routez)
    app.router.add_get("/metrics", metrics)
    return app


def _answer(body: dict[str, bool], *, good: bool) -> web.Response:
    return web.Response(
        status=200 if good else 503,
        body=render({**body}),
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
