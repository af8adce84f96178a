# SPDX-License-Identifier: Apache-2.0
"""How much to ask for, or to send, at once over a way that may break in the middle (CON-15)."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from protocol.errors import HubUnreachable, UnexpectedAnswer

BROKEN: Final = (HubUnreachable, UnexpectedAnswer)
"""How a way that breaks shows itself: by silence, or by something in between that answers for the hub."""


class Portion:
    """A number that is halved whenever the way breaks, and doubled whenever all went through."""

    def __init__(self, most: int) -> None:
        """Begin with `most`, which it never exceeds; it never falls below one."""
        self._most = most
        self.size = most

    @contextmanager
    def tried(self) -> Iterator[None]:
        """Learn from what happens inside; what says that the way broke is raised on."""
        try:
            yield
        except BROKEN:
            self.size = max(1, self.size // 2)
            raise
        self.size = min(self._most, self.size * 2)
