# SPDX-License-Identifier: Apache-2.0
"""In what order a full run's tests run: first those that must be alone, then each worker's share of the long ones.

What is measured by the clock means something only while no other test wants a processor. So one worker begins with
the tests that are marked `alone`, while all others wait, at a lock on a file that they share.
"""

import fcntl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

POLL_S = 0.05


def is_alone(item: pytest.Item) -> bool:
    """Tell whether a test must have the machine to itself."""
    return item.get_closest_marker("alone") is not None


def dealt(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    """Return the order for `workers` that get equal parts of it: the short tests fill what time is left."""
    alone = [item for item in items if is_alone(item)]
    long = [item for item in items if item.get_closest_marker("full") and not is_alone(item)]
    short = [item for item in items if not item.get_closest_marker("full") and not is_alone(item)]
    share = -(-len(items) // workers)
    begin = 0
    found = list[pytest.Item]()
    for worker in range(workers):
        mine = [*([] if worker else alone), *long[worker::workers]]
        end = begin + max(0, share - len(mine))
        found += [*mine, *short[begin:end]]
        begin = end
    return [*found, *short[begin:]]


class Turns:
    """A plugin of each worker: deals the tests, and has each wait until it may run, which costs no processor time."""

    def __init__(self, folder: Path, workers: int) -> None:
        """`folder` is the same for all `workers` of a run, and new in each run."""
        self._workers = workers
        self._begun = folder / "turns-begun"
        # The kernel takes the lock from whoever is gone, so that nobody waits for a worker that was killed.
        self._lock = (folder / "turns-lock").open("ab")
        self._held = False
        self._some_alone = False

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Deal what was collected; every worker collects the same."""
        items[:] = dealt(items, self._workers)
        self._some_alone = any(is_alone(item) for item in items)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self, item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
        """Run a test when it is its turn; between two that must be alone no other gets one."""
        if is_alone(item):
            if not self._held:
                fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._begun.touch()
        elif self._some_alone:
            while not self._begun.exists():
                time.sleep(POLL_S)
            fcntl.flock(self._lock, fcntl.LOCK_SH)
        try:
            return (yield)
        finally:
            self._held = is_alone(item) and nextitem is not None and is_alone(nextitem)
            if not self._held:
                fcntl.flock(self._lock, fcntl.LOCK_UN)

    def pytest_sessionfinish(self) -> None:
        """Let the others go on, also where a run ends at its first failure."""
        self._lock.close()
