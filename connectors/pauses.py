# SPDX-License-Identifier: Apache-2.0
"""Lets nothing wait for longer than a pause can last, whatever this machine's clock once was (CON-24).

A clock that was a year ahead for an hour has left times of a next try behind it that lie a year ahead. No message, no
attachment and no event may wait for them.
"""

from connectors.cases.clockwork import TrustedClock
from connectors.logs import Log
from connectors.store import pauses
from connectors.store.engine import Store
from connectors.timing import Clock


class Pauses:
    """Looks for what waits too long. `step` may be called at any time."""

    def __init__(self, store: Store, trusted: TrustedClock, clock: Clock, log: Log) -> None:
        """Take the parts; nothing happens before `step`."""
        self._store = store
        self._trusted = trusted
        self._clock = clock
        self._log = log

    async def step(self) -> int:
        """Make due what waits for longer than any pause can last; return how much that was.

        That needs no clock that is right: by one that is behind it is tried too early, which costs a try. What was
        told before its time needs one, since what was told in time must not be told again (CON-23).
        """
        now, sound = self._clock(), self._trusted.clock_is_sound
        async with self._store.read() as tx:
            if not (await pauses.any_too_far(tx, now) or (sound and await pauses.any_told_too_early(tx, now))):
                return 0
        async with self._store.write() as tx:
            found = await pauses.pull_back(tx, now)
            if sound:
                found += await pauses.look_again(tx, now)
        if found:
            self._log.event("pauses-cut", count=found)
        return found
