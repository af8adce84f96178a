# SPDX-License-Identifier: Apache-2.0
"""What waits for the writer: how much of it there may be, and what of it makes the next group.

While a group is being committed the next one gathers by itself. A burst that begins while nothing is committed would
begin with a group of one: its first message, and all the others behind it. So what comes with each turn of the event
loop is waited for, as long as a few turns bring some; a lone change waits for no timer. What nobody waits for, the
deletion of what was acknowledged, goes with the next group, or alone after a moment.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

from hub.service.transaction import Change
from protocol.errors import ThroughcareError, Unavailable

T = TypeVar("T")

GROUP_CHANGES = 256
GROUP_BYTES = 1 << 20
QUIET_TURNS = 4
"""Turns of the event loop that bring nothing, after which a group is complete: from a socket to here it takes some."""
GATHER_S = 0.01
"""Seconds after which a group is complete whatever still comes."""

RETRY_WITHIN_S = 3
"""Seconds over which those who found the queue full are asked to come back."""

Item = tuple[Change[Any], "asyncio.Future[Any]"]


@dataclass(frozen=True, slots=True)
class Queue:
    """How much may wait: changes and bytes."""

    changes: int
    bytes: int


class Backlog:
    """The changes that wait for the writer, each with the future of its answer."""

    def __init__(self, limit: Queue) -> None:
        self.limit = limit
        self._items: deque[Item] = deque()
        self._bytes = 0
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._items)

    def add(self, change: Change[T]) -> "asyncio.Future[T]":
        """Queue `change` and return the future of its answer; raises Unavailable when too much waits."""
        if len(self._items) >= self.limit.changes or self._bytes + change.weight > self.limit.bytes:
            self._due.set()
            busy = Unavailable("The hub is busy. Try again after the time in Retry-After.")
            # Not all at the same time again.
            busy.retry_after = 1 + secrets.randbelow(RETRY_WITHIN_S)
            raise busy
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._items.append((change, future))
        self._bytes += change.weight
        if not change.patience_s or len(self._items) >= min(GROUP_CHANGES, self.limit.changes // 2):
            self._due.set()
        elif self._timer is None:
            self._timer = loop.call_later(change.patience_s, self._due.set)
        return future

    async def wait(self) -> None:
        """Wait until there is a change that waits for no other one, or `wake` is called."""
        await self._due.wait()

    def wake(self) -> None:
        """Let whoever is in `wait` go on."""
        self._due.set()

    def rest(self) -> None:
        """Have `wait` wait for the next change."""
        self._due.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    async def gather(self) -> None:
        """Wait until a group is complete: it is full, or a few turns of the event loop have brought nothing."""
        loop = asyncio.get_running_loop()
        until, seen, quiet = loop.time() + GATHER_S, len(self._items), 0
        while quiet < QUIET_TURNS and seen < GROUP_CHANGES and self._bytes < GROUP_BYTES and loop.time() < until:
            await asyncio.sleep(0)
            quiet = quiet + 1 if len(self._items) == seen else 0
            seen = len(self._items)

    def take(self) -> tuple[list[Item], int]:
        """Take the next group off, oldest first, and return it with about how many bytes it writes."""
        group: list[Item] = []
        size = 0
        while self._items and len(group) < GROUP_CHANGES:
            weight = self._items[0][0].weight
            if group and size + weight > GROUP_BYTES:
                break
            size += weight
            group.append(self._items.popleft())
        self._bytes -= size
        if not self._items:
            self.rest()
        return group, size

    def refuse(self, error: type[ThroughcareError]) -> int:
        """Answer all that waits with an `error`, and return how much it was."""
        count = len(self._items)
        refuse_all(self._items, error)
        self._items.clear()
        self._bytes = 0
        self.rest()
        return count


def refuse_all(group: Iterable[Item], error: type[ThroughcareError]) -> None:
    """Answer every change of `group` that has no answer yet with an `error`."""
    for _, future in group:
        if not future.done():
            future.set_exception(error())
