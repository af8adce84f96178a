# SPDX-License-Identifier: Apache-2.0
"""Load: so many messages in flight, one after the other, or at even intervals; and what came of it.

The clock runs from the first send until the recipient has the last message. CPU is the server's own, until it has
also worked off the acknowledgements.
"""

import asyncio
import gc
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.bench.links import Link
from tests.bench.machine import cpu_seconds
from tests.bench.rounds import percentile

IN_FLIGHT = 32
PATIENCE_S = 60.0
SETTLE_S = 0.15


@dataclass(frozen=True, slots=True)
class Run:
    """One run: how many messages were delivered in how many seconds, at what CPU, and how late each was."""

    delivered: int
    seconds: float
    cpu: float
    latencies: Sequence[float] = field(repr=False)

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.delivered / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Server CPU for a message, in ms."""
        return self.cpu / self.delivered * 1_000

    def at(self, share: float) -> float:
        """Return the latency in ms that `share` of the messages keep."""
        return percentile(self.latencies, share) * 1_000


class Loader:
    """Puts load on one server through a link, and knows from the last run how much to make ready for the next."""

    def __init__(self, link: Link, pid: int) -> None:
        self.link = link
        self._pid = pid
        self._expected = 400.0

    async def for_seconds(self, seconds: float, in_flight: int = IN_FLIGHT) -> Run:
        """Keep `in_flight` messages in flight for `seconds`."""
        ready = self.link.prepare(max(in_flight, int(self._expected * seconds * 1.6)))
        return await self._closed(ready, in_flight, seconds)

    async def one_by_one(self, messages: int) -> Run:
        """Send `messages`, each once the one before is durable."""
        return await self._closed(self.link.prepare(messages), 1, PATIENCE_S)

    async def _closed(self, ready: Sequence[Any], in_flight: int, seconds: float) -> Run:
        sent: list[tuple[float, Any]] = []
        left = iter(ready)

        async def line(stop: float) -> None:
            for prepared in left:
                begin = time.perf_counter()
                if begin >= stop:
                    return
                sent.append((begin, await self.link.send(prepared)))

        def work() -> list[asyncio.Task[None]]:
            stop = time.perf_counter() + seconds
            return [asyncio.create_task(line(stop)) for _ in range(max(1, in_flight // self.link.lot))]

        run = await self._measured(work, sent)
        self._expected = run.rate
        return run

    async def at_rate(self, rate: float, seconds: float) -> Run:
        """Send `rate` messages a second at even intervals, whatever has become of those before."""
        ready = self.link.prepare(max(2, int(rate * seconds)))
        sent: list[tuple[float, Any]] = []

        async def one(at: float, prepared: Any) -> None:
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            # Lateness of this client counts against the server too: what is due is due.
            sent.append((at, await self.link.send(prepared)))

        def work() -> list[asyncio.Task[None]]:
            begin = time.perf_counter() + 0.02
            return [asyncio.create_task(one(begin + place / rate, item)) for place, item in enumerate(ready)]

        return await self._measured(work, sent)

    async def _measured(self, work: Any, sent: list[tuple[float, Any]]) -> Run:
        link = self.link
        link.reset()
        with _no_collection():
            before, begin = cpu_seconds(self._pid), time.perf_counter()
            await asyncio.gather(*work())
            begun = {number: at for at, answer in sent for number in link.numbers(answer)}
            async with asyncio.timeout(PATIENCE_S):
                while not begun.keys() <= link.times.keys():
                    link.check()
                    await asyncio.sleep(0.002)
            await asyncio.sleep(SETTLE_S)
            cpu = cpu_seconds(self._pid) - before
        latencies = [link.times[number] - at for number, at in begun.items()]
        return Run(len(begun), max(link.times[number] for number in begun) - begin, cpu, latencies)


@contextmanager
def _no_collection() -> Iterator[None]:
    """Keep this process's garbage collector from stopping the load."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
