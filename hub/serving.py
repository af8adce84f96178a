# SPDX-License-Identifier: Apache-2.0
"""One hub process from its start to its end: keys, listeners, and the order in which they open and close."""

import asyncio
import ssl
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

from hub.app import Hub, system_clock
from hub.config import HubSettings
from hub.logs import Event, Log, where
from hub.service.signingkeys import open_keys, write_public
from hub.web.admin import Health, admin_application
from hub.web.tls import tls_context
from protocol.clockwatch import Clock, machine_time
from protocol.disk import is_short
from protocol.http.running import Runner, cannot_listen, listen
from protocol.http.skipping import SkippingClock
from protocol.http.supervised import NOBODY, Supervisor

if sys.platform != "win32":
    import uvloop

LISTENER_STOP_S = 1.0
"""Seconds that requests in work have to be answered when the hub stops."""
_PUBLIC = "hub.host", "hub.port"
_ADMIN = "hub.admin_host", "hub.admin_port"
"""What sets where each listener is."""


def new_event_loop() -> asyncio.AbstractEventLoop:
    """Return the event loop that a hub's process serves on: uvloop, or asyncio's own on Windows (docs/adr/0017)."""
    if sys.platform != "win32":
        return uvloop.new_event_loop()
    else:  # noqa: RET505 - so that the types are checked for either system
        return asyncio.new_event_loop()


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the hub is reached: by connectors, and by its operator."""

    public: str
    admin: str


async def run(
    settings: HubSettings,
    *,
    log: Log,
    ready: Callable[[Urls], None],
    stop: asyncio.Event,
    clock: Clock = system_clock,
    reach: Callable[[str], None] = lambda step: None,
    supervisor: Supervisor = NOBODY,
) -> None:
    """Serve until `stop` is set or the disk fails; then end within five seconds, losing nothing that was answered.

    `ready` is told the URLs once everything answers; `supervisor` too, and then that the hub lives. Raises what
    `Hub.open` raises, ConfigurationError where it cannot listen, and StoreFailed when the writer had to stop.
    """
    asyncio.get_running_loop().set_exception_handler(partial(_tell, log))
    elapsed: Clock = machine_time
    if settings.hub.clock_file is not None:
        # Both, or the hub would find that its clock cannot be right (AUD-7).
        clock = SkippingClock(settings.hub.clock_file, clock)
        elapsed = SkippingClock(settings.hub.clock_file, elapsed)
    section = settings.hub
    keys = open_keys(settings)
    health = Health()
    log.info(Event.STARTING)
    async with AsyncExitStack() as stack:
        admin = Runner(admin_application(health), clock=clock, shutdown_s=LISTENER_STOP_S)
        admin_port = await _listen(stack, admin, (section.admin_host, section.admin_port), _ADMIN)
        hub = await Hub.open(settings, keys, log=log, clock=clock, elapsed=elapsed, reach=reach)
        stack.push_async_callback(hub.close)
        tls = tls_context(settings)
        runner = Runner(
            hub.public(),
            clock=clock,
            shutdown_s=LISTENER_STOP_S,
            observe=hub.watch.observe,
            # A proxy opens all of them, and bounds its own callers.
            per_address=None if settings.hub.behind_proxy else settings.limits.connections_per_address,
        )
        port = await _listen(stack, runner, (section.host, section.port), _PUBLIC, tls)
        # The last to be pushed is the first to be called: who waits is let go before the listeners close.
        stack.callback(hub.release)
        url = settings.hub.public_url or f"{'https' if tls else 'http'}://localhost:{port}"
        write_public(settings, keys, url)
        hub.watch.answer(health)
        health.started = True
        log.info(Event.READY)
        ready(Urls(url, f"http://localhost:{admin_port}"))
        supervisor.ready(f"Serves {url}")
        telling = asyncio.create_task(supervisor.keep_told(hub.writes))
        try:
            await hub.until(stop)
        finally:
            telling.cancel()
            supervisor.stopping()
        log.info(Event.STOPPING)
    log.info(Event.STOPPED)


async def _listen(
    stack: AsyncExitStack,
    runner: Runner,
    where: tuple[str, int],
    keys: tuple[str, str],
    tls: ssl.SSLContext | None = None,
) -> int:
    stack.push_async_callback(runner.cleanup)
    try:
        return await listen(runner, *where, tls)
    except OSError as error:
        raise cannot_listen(error, *keys) from None


def _tell(log: Log, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Log what went wrong outside of any request, such as a connection that cannot be taken for want of descriptors.

    The event loop would write a traceback, which may hold input. asyncio's tells here of a connection that it cannot
    take, uvloop's does not (`hub.jobs.housekeeping`).
    """
    error = context.get("exception")
    short = isinstance(error, MemoryError) or (isinstance(error, OSError) and is_short(error))
    if short:
        log.warning(Event.RESOURCES_SHORT)
    else:
        log.error(Event.UNFORESEEN, where=where(error) if error else None)
