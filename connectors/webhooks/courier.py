# SPDX-License-Identifier: Apache-2.0
"""Tells each address of each event until it confirms, or until the schedule has ended (EVT-5).

What is to be told, and what came of it, stands in the store. A crash between an address's answer and the note of it
only repeats the event, under the same id (EVT-6).
"""

import asyncio
import ssl
from typing import Final

import aiohttp

from connectors.feed import cloud_event
from connectors.logs import Log
from connectors.store import webhooks
from connectors.store.engine import Store
from connectors.store.webhooks import Delivery
from connectors.timing import Clock
from connectors.webhooks.settings import WebhooksSection
from connectors.webhooks.signing import headers, read_secret
from protocol.address import AgencyAddress
from protocol.errors import ConfigurationError
from protocol.http.calling import new_session
from protocol.ids import Kind, text
from protocol.limits import HOUR, MINUTE, SECOND

PAUSES: Final = (
    5 * SECOND,
    5 * MINUTE,
    30 * MINUTE,
    2 * HOUR,
    5 * HOUR,
    10 * HOUR,
    14 * HOUR,
    20 * HOUR,
    24 * HOUR,
)
"""What lies between the ten tries: the schedule of Standard Webhooks, 75 h 35 min 5 s in all."""
AT_ONCE: Final = 100
"""New events noted for an address in one step."""
MOST: Final = 20
"""Events told to one address in one step, so that those that come meanwhile are told soon."""
SIDE_BY_SIDE: Final = 4
"""Calls to one address under way at the same time."""
GONE: Final = 410
CONTENT_TYPE: Final = "application/cloudevents+json"


class Courier:
    """Looks at what is to be told. `step` may be called at any time, by one task for each address."""

    def __init__(self, store: Store, agency: AgencyAddress, settings: WebhooksSection, clock: Clock, log: Log) -> None:
        """Read the secrets; `ConfigurationError` if there are addresses and no usable secret."""
        self._store = store
        self._agency = agency
        self._settings = settings
        self._clock = clock
        self._log = log
        self._secrets, self._tls = read_files(settings)

    @property
    def addresses(self) -> tuple[str, ...]:
        """Who is to be told of events."""
        return self._settings.urls

    async def step(self, only: str | None = None) -> int:
        """Tell every address, or `only` one, what is due, each once; return how many tries that were.

        Nobody waits for an address that does not answer but who is told by the same call.
        """
        now, urls = self._clock(), self._settings.urls
        asked = urls if only is None else (only,)
        async with self._store.read() as tx:
            if not await webhooks.pending(tx, urls, now, of=asked):
                return 0
        async with self._store.write() as tx:
            await webhooks.plan(tx, urls, now, AT_ONCE)
            found = {url: await webhooks.due(tx, url, now, MOST) for url in asked}
        if not any(found.values()):
            return 0
        async with new_session(tls=self._tls) as session, asyncio.TaskGroup() as tasks:
            for told in found.values():
                turn = asyncio.Semaphore(SIDE_BY_SIDE)
                for one in told:
                    tasks.create_task(self._tell(session, turn, one))
        return sum(map(len, found.values()))

    async def _tell(self, session: aiohttp.ClientSession, turn: asyncio.Semaphore, one: Delivery) -> None:
        async with turn:
            outcome = await self._post(session, one)
        now = self._clock()
        async with self._store.write() as tx:
            if outcome is None:
                await webhooks.confirmed(tx, one)
            elif outcome == f"http-{GONE}":
                if await webhooks.tried(tx, one, outcome, None):
                    await webhooks.disable(tx, one.url, now)
            else:
                await webhooks.tried(tx, one, outcome, now + PAUSES[one.tries] if one.tries < len(PAUSES) else None)
        if outcome is None:
            self._log.event("webhook-delivered")
        else:
            self._log.event("webhook-disabled" if outcome == f"http-{GONE}" else "webhook-failed", outcome=outcome)

    async def _post(self, session: aiohttp.ClientSession, one: Delivery) -> str | None:
        """Post an event; return None if the answer confirms it, or what came instead."""
        body = cloud_event(self._agency, one.told).model_dump_json().encode()
        webhook_id = text(Kind.EVENT, one.told.event_id)
        try:
            async with session.post(
                one.url,
                data=body,
                headers={
                    "Content-Type": CONTENT_TYPE,
                    **headers(self._secrets, webhook_id, self._clock(), body),
                },
                # Where an address sends us is not where we were told to go.
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=self._settings.timeout_s),
            ) as answer:
                return None if 200 <= answer.status < 300 else f"http-{answer.status}"
        except TimeoutError:
            return "timeout"
        except (aiohttp.ClientError, OSError):
            return "unreachable"


def read_files(settings: WebhooksSection) -> tuple[list[bytes], ssl.SSLContext | bool]:
    """Return the secrets that sign, the one in force first, and what is trusted; `ConfigurationError` if unusable."""
    files = (settings.secret_file, settings.old_secret_file) if settings.urls else ()
    return [read_secret(path) for path in files if path is not None], _trusted(settings)


def _trusted(settings: WebhooksSection) -> ssl.SSLContext | bool:
    if settings.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError):
        raise ConfigurationError("webhooks.ca_file cannot be read as PEM certificates. Check the path.") from None
