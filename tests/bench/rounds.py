# SPDX-License-Identifier: Apache-2.0
"""Rounds: all candidates one after the other, again and again, and ratios taken within a round.

Machines are noisy: the disk's sync moves tenfold between minutes and CPU time by a quarter. Two numbers of one
round have seen about the same machine, so only their ratio is believed, and of all rounds the median.
"""

import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


async def interleave(rounds: int, candidates: Mapping[str, Callable[[], Awaitable[T]]]) -> dict[str, list[T]]:
    """Run every candidate once a round, in turning order, and return what each gave, by round."""
    found: dict[str, list[T]] = {name: [] for name in candidates}
    for number in range(rounds):
        # Who goes first changes, so that no candidate always follows the same one.
        for name in list(candidates) if number % 2 == 0 else reversed(list(candidates)):
            found[name].append(await candidates[name]())
    return found


def median_ratio(above: Sequence[float], below: Sequence[float]) -> float:
    """Return the median of the ratios of the rounds."""
    return statistics.median(one / other for one, other in zip(above, below, strict=True))


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of all values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass(frozen=True, slots=True)
class Extent:
    """How long a bench takes: rounds, and how much work is in each."""

    rounds: int = 5
    seconds: float = 2.0
    """Of load in one round of one candidate."""
    cpu_seconds: float = 0.15
    """Of work in one round of one candidate that runs alone."""
    warm_seconds: float = 0.3
    some: int = 25
    many: int = 100
    """Recipients of one envelope."""
    latencies: int = 300
    written: int = 2_000
    """Messages in one round of the writer; a tenth of it with a commit for each."""
    stored: int = 100_000
    few: int = 1_000
    sockets: int = 1_000
    catch_up: int = 2_000
    leaves: int = 1_000_000
    attachment_mib: int = 64
    delivered_mib: int = 10
    peer_seconds: float = 3.0


TINY = Extent(
    rounds=1,
    seconds=0.1,
    cpu_seconds=0.002,
    warm_seconds=0.05,
    some=2,
    many=3,
    latencies=10,
    written=30,
    stored=300,
    few=30,
    sockets=20,
    catch_up=5,
    leaves=1_000,
    attachment_mib=3,
    delivered_mib=1,
    peer_seconds=0.1,
)
"""Enough to see that everything runs; no number of it means anything."""


def cpu_per_call(work: Callable[[], object], seconds: float) -> float:
    """Return the CPU seconds of one call, over as many calls as fill about `seconds`."""
    begin = time.process_time()
    work()
    calls = max(1, int(seconds / max(time.process_time() - begin, 1e-6)))
    begin = time.process_time()
    for _ in range(calls):
        work()
    return (time.process_time() - begin) / calls
