# SPDX-License-Identifier: Apache-2.0
"""One seed from its first to its last moment: weeks of work and faults, then peace, then judgement."""

import asyncio
from collections import Counter
from dataclasses import dataclass

from protocol.limits import DAY, HOUR, SECOND
from tests.simulation.faults import Faults
from tests.simulation.oracle import Broken, Oracle, all_settled, unsettled
from tests.simulation.people import People
from tests.simulation.virtualtime import VirtualLoop, run
from tests.simulation.world import Founding, World, scratch, seeded

ROUNDS = 7
LONG = 8
QUIET = 3
"""How often in a row nobody has anything to send: what is said may be answered."""
PATIENCE_S = 250 * DAY / SECOND


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a seed went."""

    seed: int
    error: BaseException | None
    history: str
    counts: Counter[str]
    """How often each fault happened."""
    opened: int
    failed: int
    caught: int
    """Items made up by the hub that are in quarantine."""
    forks: int
    """Messages that a restored agency gave another number, for others have what its lost machine had said."""


async def _live(world: World, people: People) -> None:
    chance = world.chance
    for _ in range(ROUNDS):
        await world.hub.suffer()
        for agency in world.agencies:
            await agency.suffer()
        for _ in range(chance.choice([0, 1, 1])):
            people.wish()
        working = asyncio.create_task(people.work())
        await asyncio.sleep(chance.uniform(1, 4))
        await asyncio.wait([working], timeout=120)
        working.cancel()
        await _look(world)
        for agency in world.agencies:
            if chance.random() < 0.4:
                agency.back_up()
        await asyncio.sleep(chance.uniform(0.2, 1))
        world.loop.jump(_gap(world))


def _gap(world: World) -> float:
    kind, chance = world.chance.random(), world.chance
    if kind < 0.3:
        return chance.uniform(60, HOUR / SECOND)
    if kind < 0.6:
        return chance.uniform(HOUR / SECOND, DAY / SECOND)
    return chance.uniform(1, 6) * DAY / SECOND


async def _look(world: World) -> None:
    await world.hub.look()
    for agency in world.agencies:
        await agency.look()


async def _settle(world: World, people: People) -> None:
    world.history.note("world", "is at peace from here on")
    world.faults.active = False
    await world.hub.recover()
    for agency in world.agencies:
        await agency.recover()
        # What a hub lied of its places counts for the link on which it did (HTTP-7).
        world.network.hang_up(agency.name)
    await _come_to_rest(world, people)
    # What is said in a thread after a machine was lost must arrive too, whatever that machine had said there.
    if await people.speak_once_more():
        await _come_to_rest(world, people)


async def _come_to_rest(world: World, people: People) -> None:
    begin, turn, quiet = world.loop.time(), 0, 0
    while True:
        # After a while longer than any pause after a failure: a directory that a jump has made old is fetched first.
        await asyncio.sleep(4 if turn < LONG else 70)
        await _look(world)
        quiet = quiet + 1 if await all_settled(world, people) else 0
        if quiet == QUIET:
            return
        if quiet:
            continue
        if world.loop.time() - begin > PATIENCE_S:
            raise Broken(f"never settled: {', '.join(await unsettled(world, people))}")
        turn += 1
        world.loop.jump((HOUR if turn <= 3 else DAY if turn <= 5 else 6 * DAY) / SECOND)


def tell(seed: int, founding: Founding) -> Outcome:
    """Run one seed and say how it went; never raises what went wrong in it."""
    faults = Faults(seed)
    opened = failed = caught = forks = 0
    told = list[str]()

    async def main(loop: VirtualLoop) -> None:
        nonlocal opened, failed, caught, forks, told
        with scratch() as folder:
            world = World(loop, seed, folder, founding, faults)
            told = world.history.lines
            people = People(world)
            await world.start()
            await _live(world, people)
            await _settle(world, people)
            oracle = Oracle(world, people)
            await oracle.agencies()
            await world.stop()
            await oracle.hub()
            opened, failed, caught, forks = oracle.opened, oracle.failed, oracle.caught, oracle.forks

    error: BaseException | None = None
    with seeded(str(seed)):
        try:
            run(main, hold=lambda: faults.seconds(0.01, 3) if faults.happens("store-slow") else 0.0)
        except Exception as found:  # noqa: BLE001 - whatever it is, it is what this seed has found
            error = found
    return Outcome(seed, error, "\n".join(told), faults.counts, opened, failed, caught, forks)
