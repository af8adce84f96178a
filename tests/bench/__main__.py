# SPDX-License-Identifier: Apache-2.0
"""`./run bench`: measures every target, tells them as a table or as JSON, and ends with 1 if a gated one is not kept.

Servers run as processes of their own, load comes from this one. Everything lives in a temporary folder and on the
loopback interface.
"""

import argparse
import asyncio
import os
import platform
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from tests.bench.attachments import attachments
from tests.bench.delivery import Systems, against_clone, at_half_load, bounds, one_in_flight, systems, throughput
from tests.bench.further import Promise, catch_up, wire_sizes
from tests.bench.growth import full_stores
from tests.bench.machine import MIB
from tests.bench.parts import parts
from tests.bench.peers.envelopes import against_libraries
from tests.bench.peers.systems import Peers
from tests.bench.proofs import batched_acceptance, log_checks
from tests.bench.record import record, record_beside
from tests.bench.report import Report, note
from tests.bench.rounds import TINY, Extent
from tests.bench.sealing import bytes_over_plaintext, open_many_against_one, seal_against_primitives
from tests.bench.targets import TARGETS, Figure, Result
from tests.bench.writing import audit_against_none, groups_against_single_commits

USAGE_ERROR = 2
TERMINATED = 128 + signal.SIGTERM
LEAST_ROUNDS = 5
FURTHER = 0
"""The number by which `--only` names the figures beside the targets."""
_FREE_MIB = {False: 6_000, True: 40_000}
_THROUGHPUT, _GROWTH = {5, 6, 7, 8}, {10, 13, 15}


def arguments(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="./run bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="one line of JSON for each target, and nothing else")
    parser.add_argument("--long", action="store_true", help="grow to 10^6 stored messages instead of 10^5")
    parser.add_argument("--peers", action="store_true", help="install and measure Synapse, NATS, joserfc and age too")
    parser.add_argument(
        "--only",
        metavar="N,…",
        default=",".join(map(str, (*TARGETS, FURTHER))),
        help="measure these targets only; 0 are the figures beside the targets",
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds of each measurement (default 5)")
    parser.add_argument(
        "--quick", action="store_true", help="see in seconds that everything runs; no number means anything"
    )
    parser.add_argument(
        "--folder", type=Path, help="where to put the databases (default: the system's temporary folder)"
    )
    parser.add_argument("--parts", action="store_true", help="tell where the microseconds go, and nothing else")
    parser.add_argument(
        "--bounds", action="store_true", help="tell what the hub would carry if its checks were free, and nothing else"
    )
    parser.add_argument("--record", metavar="FILE", type=Path, help="note what was measured in a file of JSON")
    parser.add_argument(
        "--against", metavar="CLONE", type=Path, help="compare this hub with that of another clone, and nothing else"
    )
    found = parser.parse_args(words)
    try:
        found.only = {int(word) for word in found.only.split(",")}
    except ValueError:
        parser.error("--only takes numbers of targets, as in --only 1,2,4")
    if unknown := found.only - {*TARGETS, FURTHER}:
        parser.error(f"there is no target {min(unknown)}")
    if found.rounds < 1:
        parser.error("--rounds takes a number from 1")
    return found


class Bench:
    """Runs what is asked for, target by target; what several targets need is started once."""

    def __init__(self, folder: Path, extent: Extent, asked: argparse.Namespace, stack: AsyncExitStack) -> None:
        self._folder = folder
        self._extent = extent
        self._asked = asked
        self._stack = stack
        self._systems: Systems | None = None

    async def results(self) -> AsyncIterator[Result]:
        """Yield each target's result once it is known."""
        folder, extent = self._folder, self._extent
        alone = {
            1: lambda: seal_against_primitives(extent),
            2: lambda: open_many_against_one(extent),
            3: lambda: against_libraries(folder, extent, peers=self._asked.peers),
            4: lambda: bytes_over_plaintext(extent),
            9: lambda: groups_against_single_commits(folder, extent),
            11: lambda: self._delivered(one_in_flight),
            12: lambda: self._delivered(at_half_load),
            14: lambda: audit_against_none(folder, extent),
        }
        held: dict[int, Result] = {}
        for number in sorted(self._asked.only - {FURTHER}):
            note(f"measuring target {number} …")
            if number in alone:
                held[number] = await alone[number]()
            elif number in _THROUGHPUT - held.keys():
                held |= {result.target.number: result for result in await self._throughput()}
            elif number in _GROWTH - held.keys():
                grown = await full_stores(folder, extent, long=self._asked.long)
                held |= {result.target.number: result for result in grown}
            yield held[number]

    async def further(self) -> AsyncIterator[list[Promise]]:
        """Yield the figures beside the targets, as they become known."""
        note("measuring logs, attachments and a connector …")
        folder, extent = self._folder, self._extent
        yield await wire_sizes(folder)
        yield await asyncio.to_thread(log_checks, extent)
        yield await batched_acceptance(folder, extent)
        yield await attachments(folder, extent)
        yield await catch_up(folder, extent)

    async def _running(self) -> Systems:
        if self._systems is None:
            self._systems = await self._stack.enter_async_context(systems(self._folder, self._extent))
        return self._systems

    async def _delivered(self, measuring: Callable[[Systems, Extent], Awaitable[Result]]) -> Result:
        return await measuring(await self._running(), self._extent)

    async def _throughput(self) -> Sequence[Result]:
        async with AsyncExitStack() as stack:
            peers = await stack.enter_async_context(Peers()) if self._asked.peers else None
            return await throughput(await self._running(), self._folder, self._extent, peers)


async def measure(asked: argparse.Namespace, folder: Path, report: Report) -> int:
    """Measure, report, and return the exit code."""
    extent = TINY if asked.quick else replace(Extent(), rounds=asked.rounds)
    begin, results = time.monotonic(), list[Result]()

    def note_down() -> None:
        """Record at once, so that a run that is broken off leaves what it has measured."""
        if asked.record is not None:
            record(asked.record, report.lines, _conditions(asked, extent))

    report.begin(_conditions(asked, extent))
    if (beside := _beside(asked, folder, extent)) is not None:
        name, measuring = beside
        figures = await measuring()
        report.beside(figures)
        if asked.record is not None:
            record_beside(asked.record, name, figures)
        return 0
    async with AsyncExitStack() as stack:
        bench = Bench(folder, extent, asked, stack)
        async for result in bench.results():
            results.append(result)
            report.result(result)
            note_down()
        if FURTHER in asked.only:
            async for promises in bench.further():
                report.further(promises)
                note_down()
    report.end(results, time.monotonic() - begin)
    # What only shows that it runs promises nothing.
    return int(not asked.quick and any(result.breaks_gate for result in results))


def _beside(
    asked: argparse.Namespace, folder: Path, extent: Extent
) -> tuple[str, Callable[[], Awaitable[list[Figure]]]] | None:
    """Return what is asked for instead of the targets, by the name under which it is recorded."""
    if asked.parts:
        return "parts", lambda: parts(folder, extent)
    if asked.bounds:
        return "bounds", lambda: bounds(folder, extent)
    if asked.against is not None:
        return "against", lambda: against_clone(folder, extent, asked.against.resolve())
    return None


async def until_told(work: Coroutine[None, None, int]) -> int:
    """Return what `work` returns; SIGTERM ends it, and with it the servers that it started."""
    task = asyncio.ensure_future(work)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        return await task
    except asyncio.CancelledError:
        return TERMINATED


def _conditions(asked: argparse.Namespace, extent: Extent) -> list[str]:
    rounds = f"{extent.rounds} rounds" if extent.rounds > 1 else "1 round"
    few = "" if extent.rounds >= LEAST_ROUNDS else " (fewer than the 5 that count)"
    told = [f"{os.cpu_count()} processors ({platform.machine()}); {rounds}{few}, medians of the ratios within a round"]
    if asked.quick:
        told.append("QUICK: this shows that everything runs; no number means anything.")
    return told


def main(words: Sequence[str]) -> int:
    """Run the bench."""
    asked = arguments(words)
    if not sys.platform.startswith("linux"):
        sys.stderr.write("The bench reads CPU time and memory of processes as Linux tells them; it needs Linux.\n")
        return USAGE_ERROR
    report = Report(sys.stdout, as_json=asked.json, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ)
    with tempfile.TemporaryDirectory(
        prefix="throughcare-bench-", dir=asked.folder, ignore_cleanup_errors=True
    ) as scratch:
        folder = Path(scratch)
        free = os.statvfs(folder).f_bavail * os.statvfs(folder).f_frsize // MIB
        if asked.only & _GROWTH and not asked.quick and free < _FREE_MIB[asked.long]:
            note(
                f"{free} MiB are free in {folder.parent}, {_FREE_MIB[asked.long]} are needed; name another --folder.\n"
            )
            return USAGE_ERROR
        return asyncio.run(until_told(measure(asked, folder, report)))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
