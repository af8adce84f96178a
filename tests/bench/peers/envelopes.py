# SPDX-License-Identifier: Apache-2.0
"""Target 3, and age beside it: sealing and opening here and in the libraries of others."""

import statistics
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

from tests.bench.machine import Process
from tests.bench.peers import environments
from tests.bench.peers.environments import Environment, NotInstalled
from tests.bench.rounds import Extent, interleave, median_ratio
from tests.bench.sealing import Agencies, timed
from tests.bench.stock import BODY
from tests.bench.targets import TARGETS, Figure, Result

RECIPIENTS = 25
LARGE = 999_000
"""Bytes of the largest section that fits, padded, into an envelope of 1 MiB with 25 recipients."""
MANY = 100


async def _worker(stack: AsyncExitStack, environment: Environment, folder: Path) -> Process:
    programs = await environments.install(environment)
    command: list[str | Path] = [programs / "python", "-m", "tests.bench.peers.crypto_worker", environment.name]
    return await stack.enter_async_context(Process(environment.name, command, folder))


def _asked(worker: Process, work: str, size: int, recipients: int, seconds: float) -> Callable[[], Awaitable[float]]:
    async def measure() -> float:
        answer = await worker.ask(work=work, size=size, recipients=recipients, seconds=seconds)
        return float(answer["cpu"])

    return measure


async def against_libraries(folder: Path, extent: Extent, *, peers: bool) -> Result:
    """Target 3."""
    result = Result(TARGETS[3])
    if not peers:
        result.skipped["÷ joserfc"] = "needs --peers"
        return result
    agencies = Agencies(RECIPIENTS)
    seal = agencies.sealing(RECIPIENTS, bytes(LARGE))
    opening = agencies.opening(RECIPIENTS, bytes(LARGE))

    def both() -> None:
        seal()
        opening()

    candidates = {"ours": timed(both, extent.cpu_seconds * 2)}
    async with AsyncExitStack() as stack:
        for environment in (environments.JOSERFC, environments.AGE):
            try:
                worker = await _worker(stack, environment, folder)
            except NotInstalled as reason:
                result.skipped[f"÷ {environment.name}"] = f"not installed: {reason}"
                continue
            seconds = extent.cpu_seconds * 2
            candidates[environment.name] = _asked(worker, "both", LARGE, RECIPIENTS, seconds)
            if environment is environments.AGE:
                candidates["age, one of 1"] = _asked(worker, "open", BODY, 1, extent.cpu_seconds)
                candidates["age, one of 100"] = _asked(worker, "open", BODY, MANY, extent.cpu_seconds)
        found = await interleave(extent.rounds, candidates)
    if "joserfc" in found:
        result.values["÷ joserfc"] = median_ratio(found["ours"], found["joserfc"])
    if "age" in found:
        result.figures.append(
            Figure("÷ age, which signs nothing and is not post-quantum", median_ratio(found["ours"], found["age"]))
        )
        opened = median_ratio(found["age, one of 100"], found["age, one of 1"])
        result.figures.append(Figure("age, opening the last of 100 ÷ one of 1", opened))
    for name in ("ours", "joserfc", "age"):
        if name in found:
            result.figures.append(Figure(name, statistics.median(found[name]) * 1e3, "ms CPU, seal + open"))
    return result
