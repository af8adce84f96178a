# SPDX-License-Identifier: Apache-2.0
"""A restart storm: a hub is stopped and killed again and again while requests come at a fixed rate."""

import asyncio
import random
import statistics
import time
from dataclasses import dataclass

from tests.faults.hubs import Site
from tests.faults.load import Load

GRACE_S = 5.0
"""Seconds in which a hub that is asked to stop has answered what it took and is gone."""


@dataclass
class Storm:
    """What a storm was like: seconds that each stop took, and a sentence for people."""

    stops: list[float]
    told: str


async def storm(one: Site, restarts: int, seconds: float, rate: float, chance: random.Random) -> Storm:
    """Restart the hub `restarts` times spread over `seconds`, in turn by SIGTERM and SIGKILL."""
    (hub,) = one.hubs
    stops = list[float]()
    async with Load(one, rate=rate, chance=chance) as load:
        await load.until_more(5)
        begin = time.monotonic()
        for number in range(restarts):
            await asyncio.sleep(begin + (number + chance.random()) * seconds / restarts - time.monotonic())
            if number % 2:
                await one.kill(hub)
            else:
                stops.append(await one.stop(hub))
            await one.restart(hub)
            await load.until_more(1)
        await asyncio.sleep(begin + seconds - time.monotonic())
        took, begun = time.monotonic() - begin, load.begun
        await load.until_more(5)
    median, worst = statistics.median(one.restarts), max(one.restarts)
    return Storm(
        stops,
        f"{restarts} restarts in {took:.0f} s under {begun / took:.0f} requests/s: {load.answered} answered, "
        f"{len(one.history.sent)} entries, 0 lost, 0 twice; stops took {max(stops):.2f} s at most, starts "
        f"{median:.2f} s (median; worst {worst:.2f} s)",
    )
