# SPDX-License-Identifier: Apache-2.0
"""A desk or an officer that is not known yet may have come just now: a second look finds out (CON-18)."""

import contextlib
from collections.abc import Collection

from connectors.directory_sync import DirectorySync
from connectors.officers import Officers
from connectors.timing import Clock
from protocol.address import DeskAddress
from protocol.errors import OurError, PeerError
from protocol.ids import OfficerId


class Newcomers:
    """Looks at the hub's directory again where this connector's lacks somebody who is asked for."""

    def __init__(self, directory: DirectorySync, officers: Officers, clock: Clock) -> None:
        """`officers` says who acts by `directory`."""
        self._directory = directory
        self._officers = officers
        self._clock = clock

    async def learn_of(self, desks: Collection[DeskAddress], *officers: OfficerId | None) -> None:
        """Look once more if a desk or an officer is not known; never inside a transaction, since it may wait."""
        known = {one.actor.officer for one in self._officers.acting()} >= set(officers) - {None}
        now = self._clock()
        if known and all(self._directory.directory.desk(desk, now) is not None for desk in desks):
            return
        with contextlib.suppress(OurError, PeerError):
            # Without an answer they stay unknown, and the caller is told so.
            await self._directory.sync()
