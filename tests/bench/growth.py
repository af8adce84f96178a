# SPDX-License-Identifier: Apache-2.0
"""Targets 10, 13 and 15: what a full store costs, how much memory a hub takes, and how fast a mailbox drains."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import cbor2

from hub.service.mailbox import MAX_WATCHERS
from keys.signing import DeviceSigner
from protocol.frames import Acknowledge, encode_frame
from tests.bench.hubserver import HubFolder, serving
from tests.bench.links import HubSocket, connect
from tests.bench.load import PATIENCE_S, Loader, Run
from tests.bench.machine import Process, resident_mib
from tests.bench.rounds import Extent, interleave, median_ratio
from tests.bench.stock import OFFLINE, ONLINE, Stock
from tests.bench.targets import TARGETS, Figure, Result

AT_ONCE = 50
"""Websockets opened at the same time; a hub lets only so many strangers stand at its door."""
LONG = 1_000_000


@dataclass(frozen=True, slots=True)
class FullHub:
    """A running hub in whose store many messages wait."""

    folder: HubFolder
    process: Process
    stored: int
    start_s: float
    """Seconds from the start of the process until it serves."""

    async def run(self, seconds: float) -> Run:
        """Put the usual load on it, for a recipient who is online."""
        programme, url = self.folder.programme, self.process.said["url"]
        # The smallest message there is, as those that wait: the store is to be full of rows, not of bytes.
        link = HubSocket(url, Stock(programme, body=0), programme.domain, programme.members[ONLINE].device)
        async with link:
            loader = Loader(link, self.process.pid)
            await loader.for_seconds(seconds / 4)
            return await loader.for_seconds(seconds)


async def filled(stack: AsyncExitStack, folder: Path, stored: int) -> FullHub:
    """Fill a new hub and start it."""
    hub = HubFolder(folder)
    await hub.fill(Stock(hub.programme, to=OFFLINE, body=0), stored)
    begin = time.perf_counter()
    process = await stack.enter_async_context(hub.process())
    return FullHub(hub, process, stored, time.perf_counter() - begin)


async def full_stores(folder: Path, extent: Extent, *, long: bool) -> Sequence[Result]:
    """Targets 10, 13 and 15; `long` measures with a million instead of a hundred thousand."""
    stored, name = (LONG, "10^6 stored") if long else (extent.stored, "10^5 stored")
    async with AsyncExitStack() as stack:
        begin = time.perf_counter()
        many = await filled(stack, folder / "many", stored)
        filling = time.perf_counter() - begin
        few = await filled(stack, folder / "few", extent.few)
        start = resident_mib(few.process.pid)

        def measure(hub: FullHub) -> Callable[[], Awaitable[Run]]:
            return lambda: hub.run(extent.seconds)

        runs = await interleave(extent.rounds, {"many": measure(many), "few": measure(few)})
        growth = Result(
            TARGETS[10],
            {name: median_ratio([run.cpu_ms for run in runs["many"]], [run.cpu_ms for run in runs["few"]])},
            [
                Figure("CPU with few stored", statistics.median(run.cpu_ms for run in runs["few"]), "ms/message"),
                Figure("CPU with many stored", statistics.median(run.cpu_ms for run in runs["many"]), "ms/message"),
                Figure("filling", stored / filling, "messages/s"),
                Figure("start with few stored", few.start_s, "s"),
                Figure("start with many stored", many.start_s, "s"),
            ],
        )
        memory = Result(TARGETS[13], {"start": start, name: resident_mib(many.process.pid)})
        memory.figures.append(Figure("with few stored", resident_mib(few.process.pid), "MiB"))
        drain = await _drain(many, extent)
    await _sockets(memory, folder, extent)
    for result in (growth, memory):
        missing = "10^5 stored" if long else "10^6 stored"
        result.skipped[missing] = "without --long" if long else "needs --long"
    return [growth, memory, drain]


async def _drain(hub: FullHub, extent: Extent) -> Result:
    """Target 15: rounds of online load, each followed by a part of the drain."""
    online, drained = list[float](), list[float]()
    mailbox = Mailbox(hub, hub.folder.programme.members[OFFLINE].device)
    before = resident_mib(hub.process.pid)
    for number in range(1, extent.rounds + 1):
        online.append((await hub.run(extent.seconds)).rate)
        drained.append(await mailbox.take_until(hub.stored * number // extent.rounds))
    return Result(
        TARGETS[15],
        {"drain": median_ratio(drained, online)},
        [
            Figure("drain", statistics.median(drained), "messages/s"),
            Figure("online", statistics.median(online), "messages/s"),
            Figure("memory while draining, above before", mailbox.peak_mib - before, "MiB"),
        ],
    )


class Mailbox:
    """A recipient who comes back to a full mailbox and takes it part by part."""

    def __init__(self, hub: FullHub, device: DeviceSigner) -> None:
        self._hub = hub
        self._device = device
        self._seen: set[int] = set()
        self.peak_mib = 0.0

    async def take_until(self, total: int) -> float:
        """Connect, receive and acknowledge until `total` messages were had in all; return messages/s."""
        process, domain = self._hub.process, self._hub.folder.programme.domain
        already = len(self._seen)
        async with aiohttp.ClientSession() as session, asyncio.timeout(PATIENCE_S + total / 200):
            begin = time.perf_counter()
            socket = await connect(session, process.said["url"], domain, self._device)
            while len(self._seen) < total:
                items = cbor2.loads(await socket.receive_bytes())[1]
                await socket.send_bytes(encode_frame(Acknowledge(items[-1][0])))
                self._seen.update(item[0] for item in items)
                self.peak_mib = max(self.peak_mib, resident_mib(process.pid))
            return (len(self._seen) - already) / (time.perf_counter() - begin)


async def _sockets(memory: Result, folder: Path, extent: Extent) -> None:
    """Target 13: memory for many websockets that do nothing."""
    agencies = -(-extent.sockets // MAX_WATCHERS)
    hub = HubFolder(folder / "sockets", agencies=agencies)
    devices = [member.device for name, member in hub.programme.members.items() if name.startswith("agency-")]
    wanted = [device for device in devices for _ in range(MAX_WATCHERS)][: extent.sockets]
    async with serving(hub) as process, aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        url, domain = process.said["url"], hub.programme.domain
        # The first few bring what every later one shares.
        sockets = [await connect(session, url, domain, device) for device in devices[:1]]
        before = resident_mib(process.pid)
        for start in range(0, len(wanted) - 1, AT_ONCE):
            some = wanted[1:][start : start + AT_ONCE]
            sockets += await asyncio.gather(*(connect(session, url, domain, device) for device in some))
        memory.values["1,000 idle websockets"] = resident_mib(process.pid) - before
        memory.figures.append(Figure("websockets opened", len(sockets)))
        memory.figures.append(Figure("before them", before, "MiB"))
        await asyncio.gather(*(socket.close() for socket in sockets))
