# SPDX-License-Identifier: Apache-2.0
"""A short visit to a hub without a device: by a newcomer, who has none yet, or by an authority."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from connectors.hub_client import HubClient
from connectors.way_out import WayOut

DIRECT: Final = WayOut()


@asynccontextmanager
async def visiting(url: str, way_out: WayOut = DIRECT) -> AsyncIterator[HubClient]:
    """Yield a client of the hub at `url` (no path), for the operations that need no device.

    Where `way_out` names no proxy, the one of the environment is taken (HTTPS_PROXY).
    """
    async with way_out.session(use_environment=True, url=url) as session:
        yield HubClient(session, url, now_ms)


def now_ms() -> int:
    """Return the time now, ms UTC."""
    return time.time_ns() // 1_000_000
