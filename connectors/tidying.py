# SPDX-License-Identifier: Apache-2.0
"""What a connector forgets as time goes by; nothing for its age by a clock not known to be right (CON-23)."""

from collections.abc import Awaitable, Callable

from connectors.dropfolder.folder import DropFolder
from connectors.logs import Log
from connectors.parts import Parts
from connectors.store import drafts, pruning, requests, tokens
from connectors.timing import Clock


class Tidying:
    """Forgets what nobody needs any more, in steps of which none holds up another."""

    def __init__(self, parts: Parts, drop: DropFolder | None, clock: Clock, log: Log) -> None:
        """`clock` gives ms UTC; without `drop` there is no folder that tells of events."""
        self._parts = parts
        self._drop = drop
        self._clock = clock
        self._log = log

    def steps(self) -> tuple[tuple[str, Callable[[], Awaitable[None]]], ...]:
        """Return each step with the part that it is logged as when it fails."""
        return ("drop", self._forget_gone), ("pruning", self._prune), ("attachments", self._sweep)

    async def _forget_gone(self) -> None:
        if self._drop is not None and self._parts.directory.clock_is_sound:
            await self._drop.forget_gone()

    async def _prune(self) -> None:
        now = self._clock()
        async with self._parts.store.write() as tx:
            if self._parts.directory.clock_is_sound:
                await requests.forget_old(tx, now)
                await tokens.forget_old(tx, now)
                await drafts.forget_old(tx, now)
                await pruning.forget_attempts(tx, now)
                await pruning.forget_replays(tx, now)
                await pruning.forget_resealed(tx, now)
                given = None if self._drop is None else await self._drop.given(tx)
                await pruning.forget_events(tx, now, given=given)
            dropped = await pruning.bound_quarantine(tx)
        if dropped:
            self._log.event("quarantine-full", count=dropped)

    async def _sweep(self) -> None:
        if self._parts.directory.clock_is_sound:
            await self._parts.attachments.sweep()
