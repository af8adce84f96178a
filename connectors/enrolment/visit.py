# SPDX-License-Identifier: Apache-2.0
"""A short visit to a hub without a device: by a newcomer, who has none yet, or by an authority."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from connectors.hub_client import HubClient
from protocol.http.calling import new_session


@asynccontextmanager
async def visiting(url: str) -> AsyncIterator[HubClient]:
    """Yield a client of the hub at `url` (no path), for the operations that need no device."""
    async with new_session(use_proxy_settings=True) as session:
        yield HubClient(session, url, now_ms)


def now_ms() -> int:
    """Return the time now, ms UTC."""
    return time.time_ns() // 1_000_000
