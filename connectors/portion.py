# SPDX-License-Identifier: Apache-2.0
"""How much to ask for, or to send, at once over a way that may break in the middle (CON-15)."""

from collections.abc import Iterator
from contextlib import contextmanager

from protocol.errors import HubUnreachable


class Portion:
    """A number that is halved whenever the way breaks, and doubled whenever all went through."""

    def __init__(self, most: int) -> None:
        """Begin with `most`, which it never exceeds; it never falls below one."""
        self._most = most
        self.size = most

    @contextmanager
    def tried(self) -> Iterator[None]:
        """Learn from what happens inside: `HubUnreachable` is the way that broke, and is raised on."""
        try:
            yield
        except HubUnreachable:
            self.size = max(1, self.size // 2)
            raise
        self.size = min(self._most, self.size * 2)
