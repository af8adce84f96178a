# SPDX-License-Identifier: Apache-2.0
"""Targets 9 and 14: the hub's writer in this process, with and without groups, with and without the audit log.

Syncs are counted where they are asked for: each `fdatasync` and `fsync` of the guard, one for each commit (SQLite
in WAL mode with synchronous=FULL syncs its log once), and for each checkpoint three (log, database file, and the head
of the log that begins anew after it). `strace` counts the same.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from hub.app import Hub
from hub.service import backlog, submission
from hub.service.accepting import AcceptEnvelope
from hub.service.transaction import Finish, Transaction
from hub.store.envelopes import Entry
from tests.bench.hubserver import HubFolder, exchanged
from tests.bench.rounds import Extent, interleave, median_ratio
from tests.bench.stock import SENDER, Stock
from tests.bench.targets import TARGETS, Figure, Result

IN_FLIGHT = 64
_CHECKPOINT_SYNCS = 3


@dataclass(frozen=True, slots=True)
class Written:
    """So many messages written in so many seconds, at what CPU and how many syncs."""

    messages: int
    seconds: float
    cpu: float
    syncs: int

    @property
    def rate(self) -> float:
        """Messages a second."""
        return self.messages / self.seconds


class Syncs:
    """Counts what a hub in this process asks of the disk."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._others = 0
        self._before = 0

    @property
    def count(self) -> int:
        """Syncs since the `with` began."""
        return self._others + self._hub.writer.counters.groups - self._before

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count while the block runs."""
        checkpoint = self._hub.store.checkpoint
        self._others, self._before = 0, self._hub.writer.counters.groups

        def counting(sync: Callable[[int], None]) -> Callable[[int], None]:
            def call(file: int) -> None:
                self._others += 1
                sync(file)

            return call

        async def counted_checkpoint() -> None:
            self._others += _CHECKPOINT_SYNCS
            await checkpoint()

        with (
            exchanged(os, "fdatasync", counting(os.fdatasync)),
            exchanged(os, "fsync", counting(os.fsync)),
            exchanged(self._hub.store, "checkpoint", counted_checkpoint),
        ):
            yield


class Unaudited(AcceptEnvelope):
    """Stores the same rows and nothing of the audit log: no leaf, detail, tree state, guard line or receipt."""

    indexes = count(1 << 40)

    def apply(self, transaction: Transaction) -> Finish[bytes]:
        """Store the envelope under a number of its own."""
        self._store(transaction, Entry(next(self.indexes), b"", b"", b""))
        return lambda: b""


class Unsigned(AcceptEnvelope):
    """Accepts with its leaf, and signs no receipt."""

    def apply(self, transaction: Transaction) -> Finish[bytes]:
        """Accept, and answer with nothing."""
        super().apply(transaction)
        return lambda: b""


class WriterBench:
    """A hub in this process whose writer and submissions are called directly."""

    def __init__(self, folder: Path) -> None:
        self._folder = HubFolder(folder)
        self._stock = Stock(self._folder.programme)
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> "WriterBench":
        self.hub = await self._stack.enter_async_context(self._folder.opened())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def write(self, messages: int) -> Written:
        """Write envelopes that are checked already, `IN_FLIGHT` at a time."""
        size, until = self.hub.directory.directory.size, self._stock.original.common.expires
        receipts = self.hub.submissions._parts.receipts
        changes = [
            AcceptEnvelope(self._stock.stored(), directory_size=size, valid_until=until, receipts=receipts)
            for _ in range(messages)
        ]
        return await self._measured(changes, self.hub.writer.write)

    async def submit(self, messages: int) -> Written:
        """Submit envelopes as their bytes, `IN_FLIGHT` at a time."""
        device = self._folder.programme.members[SENDER].device_id
        return await self._measured(
            self._stock.copies(messages), lambda data: self.hub.submissions.submit(device, data)
        )

    async def _measured(self, items: Sequence[Any], work: Callable[[Any], Awaitable[bytes]]) -> Written:
        left = iter(items)

        async def line() -> None:
            for item in left:
                await work(item)

        syncs = Syncs(self.hub)
        with syncs.counted():
            cpu, begin = time.process_time(), time.perf_counter()
            await asyncio.gather(*(line() for _ in range(IN_FLIGHT)))
            seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
        return Written(len(items), seconds, cpu, syncs.count)


async def groups_against_single_commits(folder: Path, extent: Extent) -> Result:
    """Target 9."""
    async with WriterBench(folder / "groups") as bench:
        await bench.write(IN_FLIGHT)

        async def grouped() -> Written:
            return await bench.write(extent.written)

        async def single() -> Written:
            with exchanged(backlog, "GROUP_CHANGES", 1):
                return await bench.write(max(IN_FLIGHT // 2, extent.written // 10))

        found = await interleave(extent.rounds, {"grouped": grouped, "single": single})
    groups, singles = found["grouped"], found["single"]
    return Result(
        TARGETS[9],
        {
            "messages/s": median_ratio([one.rate for one in groups], [one.rate for one in singles]),
            "syncs per message": sum(one.syncs for one in groups) / sum(one.messages for one in groups),
        },
        [
            Figure("grouped", max(one.rate for one in groups), "messages/s, best"),
            Figure("single", max(one.rate for one in singles), "messages/s, best"),
            Figure("syncs per message, single", singles[0].syncs / singles[0].messages),
            Figure(
                "CPU, single ÷ grouped",
                median_ratio([one.cpu / one.messages for one in singles], [one.cpu / one.messages for one in groups]),
            ),
        ],
    )


async def audit_against_none(folder: Path, extent: Extent) -> Result:
    """Target 14."""
    async with WriterBench(folder / "audit") as bench:
        await bench.submit(IN_FLIGHT)

        def accepting(change: type[AcceptEnvelope]) -> Callable[[], Awaitable[Written]]:
            async def measure() -> Written:
                with exchanged(submission, "AcceptEnvelope", change):
                    return await bench.submit(extent.written)

            return measure

        candidates = {"with": AcceptEnvelope, "unsigned": Unsigned, "without": Unaudited}
        found = await interleave(extent.rounds, {name: accepting(kind) for name, kind in candidates.items()})
    cpu = {name: [one.cpu for one in runs] for name, runs in found.items()}
    per_message = min(cpu["with"]) / extent.written * 1e6
    return Result(
        TARGETS[14],
        {"÷ without": median_ratio(cpu["with"], cpu["without"])},
        [
            Figure("without the receipt's signature", median_ratio(cpu["unsigned"], cpu["without"])),
            Figure("accepting", per_message, "µs CPU, best"),
        ],
    )
