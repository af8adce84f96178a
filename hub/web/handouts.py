# SPDX-License-Identifier: Apache-2.0
"""Large answers to strangers, who may come from any number of addresses: how much of them is held in all (HTTP-21).

Nobody is refused the directory for it, since connectors ask for it as strangers too: while many take little of what
they are sent, pages are smaller, down to what counts as a small answer.
"""

import asyncio
from collections.abc import Callable
from functools import partial

AT_ONCE = 64 << 20
"""Bytes of large answers that are held for all strangers, until they are taken."""
PARTS = 16
"""Parts of what is left of that, of which a page has one."""
LEAST_PAGE = 32 << 10
"""Bytes of statements that every page may have; in JSON that is no large answer yet."""
READERS = 2
"""Pages that are read for strangers at the same time."""


class Handouts:
    """What is held for strangers."""

    def __init__(self) -> None:
        self._held = 0
        self.turn = asyncio.Semaphore(READERS)
        """What surrounds the reading of a page, until its answer is counted."""

    def page(self, most: int) -> int:
        """Return how many bytes a page may have now, at most `most`."""
        return min(most, max(LEAST_PAGE, (AT_ONCE - self._held) // PARTS))

    def hold(self, size: int) -> Callable[[], None]:
        """Count an answer of `size` bytes until what is returned is called."""
        self._held += size
        return partial(self._give, size)

    def _give(self, size: int) -> None:
        self._held -= size
