# SPDX-License-Identifier: Apache-2.0
"""Clients that know one address, send without a pause or at a rate, and send again what was not answered."""

import asyncio
import random
import time
from collections import Counter
from types import TracebackType
from typing import Self

import aiohttp

from protocol.errors import HubUnreachable, Unavailable
from tests.faults.hubs import Site
from tests.hub.process import now
from tests.hub.running import DeviceClient
from tests.programme import Sealed

AGAIN_S = 0.03
"""Seconds before the second try, and twice as many before each further one; connectors are more patient."""
LONGEST_S = 0.5
GIVEN_UP_S = 300.0
MOST_IN_FLIGHT = 400


class Load:
    """The load on a site while the `async with` block runs; at its end everything sent is delivered."""

    def __init__(self, site: Site, *, lines: int = 4, rate: float = 0.0, chance: random.Random | None = None) -> None:
        """With `rate`, so many requests a second are begun whatever becomes of them; half of them are repetitions."""
        self.answered = 0
        self.refused: Counter[str] = Counter()
        self.begun = 0
        self._site = site
        self._lines = lines
        self._rate = rate
        self._chance = chance or random.Random(1)
        self._kept: list[Sealed] = []
        self._ending = False
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._ending = True
        if error is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        else:
            await self._task

    async def until_more(self, count: int) -> None:
        """Wait until `count` more requests have a receipt; raises what stopped the clients, if anything did."""
        assert self._task is not None
        wanted, end = self.answered + count, time.monotonic() + GIVEN_UP_S
        while self.answered < wanted:
            if self._task.done():
                await self._task
                raise AssertionError("the clients have stopped")
            assert time.monotonic() < end, f"nobody is served any more: {dict(self.refused)}"
            await asyncio.sleep(0.005)

    async def _run(self) -> None:
        prison = self._site.programme.members["gora-prison"]
        # With a connection of its own for each request, all hubs get their share of them.
        connections = aiohttp.TCPConnector(force_close=len(self._site.hubs) > 1)
        async with aiohttp.ClientSession(connector=connections) as session, asyncio.TaskGroup() as tasks:
            client = DeviceClient(session, self._site.url, prison.device, now)
            if self._rate:
                await self._begin_at_rate(client, tasks)
            else:
                for _ in range(self._lines):
                    tasks.create_task(self._line(client))

    async def _line(self, client: DeviceClient) -> None:
        while not self._ending:
            await self._deliver(client, self._next())

    async def _begin_at_rate(self, client: DeviceClient, tasks: asyncio.TaskGroup) -> None:
        begin, flying = time.monotonic(), set[asyncio.Task[None]]()
        while not self._ending:
            await asyncio.sleep(begin + self.begun / self._rate - time.monotonic())
            self.begun += 1
            if len(flying) >= MOST_IN_FLIGHT:
                self.refused["not begun"] += 1
                continue
            again = self._kept and self._chance.random() < 0.5
            sealed = self._chance.choice(self._kept) if again else self._next()
            task = tasks.create_task(self._deliver(client, sealed))
            flying.add(task)
            task.add_done_callback(flying.discard)

    def _next(self) -> Sealed:
        programme = self._site.programme
        sealed = programme.sender("gora-prison").seal(programme.members["reka-probation"].desk)
        if self._rate:
            self._kept.append(sealed)
        return sealed

    async def _deliver(self, client: DeviceClient, sealed: Sealed) -> None:
        history, end = self._site.history, time.monotonic() + GIVEN_UP_S
        history.send(sealed.envelope_id, sealed.data)
        pause = AGAIN_S
        while True:
            try:
                receipt = await client.submit(sealed.data)
            except (HubUnreachable, Unavailable) as error:
                if isinstance(error, Unavailable) and error.retry_after is None:
                    raise
                self.refused[error.code] += 1
                assert time.monotonic() < end, f"the hubs did not come back: {dict(self.refused)}"
                await asyncio.sleep(pause * self._chance.uniform(0.5, 1))
                pause = min(2 * pause, LONGEST_S)
            else:
                history.acknowledge(sealed.envelope_id, receipt)
                self.answered += 1
                return
