# SPDX-License-Identifier: Apache-2.0
"""Targets 5, 8, 11 and 12 (and with peers 6 and 7): whole servers under the same load, round by round."""

import statistics
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.bench.hubserver import HubFolder, floor_process, serving
from tests.bench.links import FloorPost, FloorSocket, HubBatch, HubLink, HubPost, HubSocket, Link
from tests.bench.load import Loader, Run
from tests.bench.machine import ROOT, Process
from tests.bench.peers.systems import NATS, ROOM, TO_DEVICE, Peers
from tests.bench.rounds import Extent, interleave, median_ratio
from tests.bench.stock import ONLINE, Stock
from tests.bench.targets import TARGETS, Figure, Result
from tests.bench.unchecked import READING, SIGNATURES

_NO_PEERS = "needs --peers"
UNCHECKED = "tests.bench.unchecked"
AS_IT_IS = "as it is"
_WAYS: tuple[type[Link], ...] = (FloorPost, FloorSocket, HubSocket, HubBatch, HubPost)


class Systems:
    """A hub and a floor that run side by side; only one of them has anything to do at a time."""

    def __init__(self, folder: HubFolder, hub: Process, floor: Process, warm_seconds: float) -> None:
        self._warm_seconds = warm_seconds
        self.stock = Stock(folder.programme)
        self._programme = folder.programme
        self._hub = hub
        self._floor = floor

    @asynccontextmanager
    async def loader(self, kind: type[Link]) -> AsyncIterator[Loader]:
        """Connect a link of `kind`, warmed up, for as long as the block runs."""
        if issubclass(kind, HubLink):
            recipient = self._programme.members[ONLINE].device
            link: Link = kind(self._hub.said["url"], self.stock, self._programme.domain, recipient)
            server = self._hub
        else:
            assert issubclass(kind, FloorPost)
            link, server = kind(self._floor.said["url"], self.stock.size), self._floor
        async with link:
            loader = Loader(link, server.pid)
            await loader.for_seconds(self._warm_seconds)
            yield loader

    def candidate(self, kind: type[Link], measure: Callable[[Loader], Awaitable[Run]]) -> Callable[[], Awaitable[Run]]:
        """Return a candidate for `interleave` that connects anew each time: one recipient is online at a time."""

        async def run() -> Run:
            async with self.loader(kind) as loader:
                return await measure(loader)

        return run


@asynccontextmanager
async def systems(folder: Path, extent: Extent, root: Path = ROOT, *program: str) -> AsyncIterator[Systems]:
    """Start a hub of the clone at `root`, by another `program` if one is named, and a floor."""
    hub_folder = HubFolder(folder / "hub")
    async with serving(hub_folder, root, *program) as hub, floor_process(folder / "floor") as floor:
        yield Systems(hub_folder, hub, floor, extent.warm_seconds)


def full_load(extent: Extent) -> Callable[[Loader], Awaitable[Run]]:
    """Return what measures a system that has as much to do as it can."""
    return lambda loader: loader.for_seconds(extent.seconds)


async def against_clone(folder: Path, extent: Extent, other: Path) -> list[Figure]:
    """Return what the hub of this clone costs against that of the clone at `other`, in turns."""
    async with systems(folder / "here", extent) as here, systems(folder / "there", extent, other) as there:
        ways: tuple[type[Link], ...] = (HubSocket, HubBatch)
        candidates = {f"here, {kind.name}": here.candidate(kind, full_load(extent)) for kind in ways}
        candidates |= {f"there, {kind.name}": there.candidate(kind, full_load(extent)) for kind in ways}
        floor = {FloorPost.name: here.candidate(FloorPost, full_load(extent))}
        runs = await interleave(extent.rounds, {**candidates, **floor})
    figures = []
    for kind in ways:
        new, old = runs[f"here, {kind.name}"], runs[f"there, {kind.name}"]
        figures += [
            Figure(f"{kind.name}: server CPU, here ÷ there", median_ratio(cpus(new), cpus(old))),
            Figure(f"{kind.name}: messages/s, here ÷ there", median_ratio(rates(new), rates(old))),
            Figure(f"{kind.name}: server CPU, there ÷ floor", median_ratio(cpus(old), cpus(runs[FloorPost.name]))),
            Figure(f"{kind.name}: server CPU, here ÷ floor", median_ratio(cpus(new), cpus(runs[FloorPost.name]))),
        ]
    return figures


async def bounds(folder: Path, extent: Extent) -> list[Figure]:
    """Return what the hub would carry against the floor if what it does for safety cost nothing, in turns."""
    ways: tuple[type[Link], ...] = (HubSocket, HubBatch)
    programs: dict[str, tuple[str, ...]] = {
        AS_IT_IS: (),
        "no signature checked or made": (UNCHECKED, SIGNATURES),
        "nor anything read, hashed or checked": (UNCHECKED, READING),
    }
    async with AsyncExitStack() as stack:
        found = {
            name: await stack.enter_async_context(systems(folder / str(number), extent, ROOT, *program))
            for number, (name, program) in enumerate(programs.items())
        }
        candidates = {
            f"{kind.name}, {name}": one.candidate(kind, full_load(extent))
            for name, one in found.items()
            for kind in ways
        }
        candidates[FloorPost.name] = found[AS_IT_IS].candidate(FloorPost, full_load(extent))
        runs = await interleave(extent.rounds, candidates)
    floor = runs.pop(FloorPost.name)
    return [
        figure
        for name, some in runs.items()
        for figure in (
            Figure(f"{name}: messages/s ÷ floor", median_ratio(rates(some), rates(floor))),
            Figure(f"{name}: server CPU ÷ floor", median_ratio(cpus(some), cpus(floor))),
        )
    ]


async def throughput(found: Systems, folder: Path, extent: Extent, peers: Peers | None) -> Sequence[Result]:
    """Targets 5 and 8, and 6 and 7 where `peers` are there, whose files go into `folder`."""
    candidates = {kind.name: found.candidate(kind, full_load(extent)) for kind in _WAYS}
    if peers is not None:
        candidates |= await peers.candidates(folder, found.stock.size, extent.peer_seconds)
    runs = await interleave(extent.rounds, candidates)
    skipped = dict.fromkeys((TO_DEVICE, ROOM, NATS), _NO_PEERS) if peers is None else peers.skipped
    return [_against_floor(runs), _against_synapse(runs, skipped), _against_nats(runs, skipped), _cpu(runs, skipped)]


def rates(runs: Sequence[Run]) -> list[float]:
    """Return the rates of runs."""
    return [run.rate for run in runs]


def cpus(runs: Sequence[Run]) -> list[float]:
    """Return the CPU per message of runs."""
    return [run.cpu_ms for run in runs]


def _rate(runs: Mapping[str, Sequence[Run]], name: str) -> Figure:
    return Figure(name, statistics.median(rates(runs[name])), "messages/s")


def _against_floor(runs: Mapping[str, Sequence[Run]]) -> Result:
    floor = rates(runs[FloorPost.name])
    result = Result(TARGETS[5])
    result.values["websocket"] = median_ratio(rates(runs[HubSocket.name]), floor)
    result.values["batches of 16"] = median_ratio(rates(runs[HubBatch.name]), floor)
    result.figures = [_rate(runs, kind.name) for kind in _WAYS]
    single = median_ratio(rates(runs[HubPost.name]), floor)
    strict = median_ratio(rates(runs[HubSocket.name]), rates(runs[FloorSocket.name]))
    result.figures += [
        Figure("single signed requests ÷ floor", single),
        Figure("websocket ÷ floor over its own websocket", strict),
    ]
    return result


def _against_synapse(runs: Mapping[str, Sequence[Run]], skipped: Mapping[str, str]) -> Result:
    result = Result(TARGETS[6])
    for name, part in ((TO_DEVICE, "÷ to-device"), (ROOM, "÷ room")):
        if name in runs:
            result.values[part] = median_ratio(rates(runs[HubSocket.name]), rates(runs[name]))
            result.figures.append(_rate(runs, name))
            result.figures.append(Figure(f"{name}, p99", statistics.median(run.at(0.99) for run in runs[name]), "ms"))
        else:
            result.skipped[part] = skipped[name]
    return result


def _against_nats(runs: Mapping[str, Sequence[Run]], skipped: Mapping[str, str]) -> Result:
    result = Result(TARGETS[7])
    if NATS in runs:
        result.values["÷ NATS"] = median_ratio(rates(runs[HubSocket.name]), rates(runs[NATS]))
        result.figures.append(_rate(runs, NATS))
        result.figures.append(Figure("NATS CPU", statistics.median(cpus(runs[NATS])), "ms/message"))
        floor = median_ratio(rates(runs[FloorPost.name]), rates(runs[NATS]))
        result.figures.append(Figure("floor ÷ NATS", floor))
    else:
        result.skipped["÷ NATS"] = skipped[NATS]
    return result


def _cpu(runs: Mapping[str, Sequence[Run]], skipped: Mapping[str, str]) -> Result:
    hub, result = cpus(runs[HubSocket.name]), Result(TARGETS[8])
    result.values["÷ floor"] = median_ratio(hub, cpus(runs[FloorPost.name]))
    if TO_DEVICE in runs:
        result.values["÷ Synapse to-device"] = median_ratio(hub, cpus(runs[TO_DEVICE]))
    else:
        result.skipped["÷ Synapse to-device"] = skipped[TO_DEVICE]
    shown = [kind.name for kind in _WAYS]
    shown += [name for name in (TO_DEVICE, ROOM) if name in runs]
    result.figures = [Figure(name, statistics.median(cpus(runs[name])), "ms CPU/message") for name in shown]
    return result


async def one_in_flight(found: Systems, extent: Extent) -> Result:
    """Target 11."""

    def measure(loader: Loader) -> Awaitable[Run]:
        return loader.one_by_one(extent.latencies)

    kinds: tuple[type[Link], ...] = (FloorPost, HubSocket)
    runs = await interleave(extent.rounds, {kind.name: found.candidate(kind, measure) for kind in kinds})
    result = Result(TARGETS[11])
    for name, share in (("p50", 0.5), ("p99", 0.99)):
        hub, floor = ([run.at(share) for run in runs[kind.name]] for kind in (HubSocket, FloorPost))
        result.values[name] = median_ratio(hub, floor)
        result.figures += [
            Figure(f"floor, {name}", statistics.median(floor), "ms"),
            Figure(f"hub, {name}", statistics.median(hub), "ms"),
        ]
    return result


async def at_half_load(found: Systems, extent: Extent) -> Result:
    """Target 12."""
    spreads, rounds = list[float](), list[Run]()
    for _ in range(extent.rounds):
        async with found.loader(HubSocket) as loader:
            full = await loader.for_seconds(extent.seconds / 2)
            rounds.append(await loader.at_rate(full.rate / 2, extent.seconds))
            spreads.append(rounds[-1].at(0.99) / rounds[-1].at(0.5))
    return Result(
        TARGETS[12],
        {"p99 ÷ p50": statistics.median(spreads)},
        [
            Figure("p50", statistics.median(run.at(0.5) for run in rounds), "ms"),
            Figure("p99", statistics.median(run.at(0.99) for run in rounds), "ms"),
            Figure("load", statistics.median(rates(rounds)), "messages/s"),
        ],
    )
