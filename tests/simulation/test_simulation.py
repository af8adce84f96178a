# SPDX-License-Identifier: Apache-2.0
"""One seeded simulation of everything: a real hub, three real connectors, weeks of work, and every fault by name.

Clock, network, disks and randomness are simulated and follow from one seed; hub and connectors are the real ones, in
one process and one event loop, over the bytes of real HTTP and websockets, on real SQLite files (see docs/testing.md
and the modules beside this one). When a seed fails, its number and its history are printed:

    ./run test tests/simulation --seed 17          tells that seed alone
    .venv/bin/python -m tests.simulation 17 --history   the same, with its whole history
"""

import gc
import itertools
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from connectors.store import driver
from tests.hub.process import ROOT, environment
from tests.simulation.faults import POINTS, Faults
from tests.simulation.story import Outcome, tell
from tests.simulation.virtualtime import Disturbed, VirtualLoop, run
from tests.simulation.world import Founding, found, scratch

EVERY_DAY = 15
"""A quick seed with fourteen kinds of faults: of the network, the machines and the people, and a hub that lies."""
CHUNK = 100
SEEDS = 1_000
FIRST = 1_000
"""The seeds of the full suite begin here, so that they are others than those of every day."""


@pytest.fixture(scope="module")
def founding() -> Iterator[Founding]:
    with scratch() as folder:
        yield found(folder)


@pytest.fixture(autouse=True)
def _nothing_left_of_others() -> None:
    """End what other tests left: an open database of aiosqlite, once collected, speaks to the loop from its thread."""
    gc.collect()


def check(outcome: Outcome) -> None:
    """Fail with all that is needed to find out why."""
    if outcome.error is not None:
        pytest.fail(
            f"seed {outcome.seed}: {type(outcome.error).__name__}: {outcome.error}\n"
            f"again: ./run test tests/simulation --seed {outcome.seed}\n\n{outcome.history}"
        )


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "seed" in metafunc.fixturenames:
        asked = metafunc.config.getoption("seed")
        metafunc.parametrize("seed", [EVERY_DAY if asked is None else asked])


def test_promises_1_3_4_6_9_10_hold_whatever_fails_in_a_seed(founding: Founding, seed: int) -> None:
    check(tell(seed, founding))


def test_a_machine_that_loses_its_power_while_it_opens_its_database_is_not_to_be_blamed(tmp_path: Path) -> None:
    """A warning of what was not closed would fail this test, or any other that runs when it is collected."""

    async def main(_: VirtualLoop) -> None:
        _left = await driver.connect(tmp_path / "store.db")

    run(main)
    gc.collect()


def test_a_thread_beside_the_loop_is_noticed() -> None:
    async def main(loop: VirtualLoop) -> None:
        thread = threading.Thread(target=loop.call_soon_threadsafe, args=(str,))
        thread.start()
        thread.join()

    with pytest.raises(Disturbed):
        run(main)


@pytest.mark.full
def test_a_seed_tells_the_same_story_twice(founding: Founding) -> None:
    first, second = tell(1, founding), tell(1, founding)
    check(first)
    assert first.history.splitlines() == second.history.splitlines()


@pytest.mark.full
def test_a_seed_tells_the_same_story_in_whatever_order_sets_are_walked() -> None:
    command = [sys.executable, "-m", "tests.simulation", "--history", "1", "1296"]
    stories = []
    for order in ("1", "2"):
        ordered = environment() | {"PYTHONHASHSEED": order}
        told = subprocess.run(command, check=True, cwd=ROOT, env=ordered, stdout=subprocess.PIPE)
        # The last word on a seed gives the seconds that it took.
        stories.append([line for line in told.stdout.decode().splitlines() if not line.startswith("seed ")])
    assert stories[0] == stories[1]


@pytest.mark.full
@pytest.mark.parametrize("begin", range(FIRST, FIRST + SEEDS, CHUNK))
def test_promises_1_3_4_6_9_10_hold_in_a_thousand_seeds_and_every_fault_happens(founding: Founding, begin: int) -> None:
    counts, opened = Counter[str](), 0
    for seed in range(begin, begin + CHUNK):
        outcome = tell(seed, founding)
        check(outcome)
        counts += outcome.counts
        opened += outcome.opened
    assert not [name for name in POINTS if not counts[name]], "a fault that never happens tests nothing"
    assert opened


@pytest.mark.full
def test_what_the_hub_makes_up_ends_in_quarantine(founding: Founding) -> None:
    """That nobody believes it every seed is asked; that some of it was refused, and not only lost, is seen here."""
    forging = (seed for seed in itertools.count(FIRST) if Faults(seed).on >= {"lie-damaged", "lie-spliced"})
    for seed in itertools.islice(forging, CHUNK):
        outcome = tell(seed, founding)
        check(outcome)
        if outcome.caught:
            return
    pytest.fail("no hub has made anything up that an agency refused")
