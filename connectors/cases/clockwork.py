# SPDX-License-Identifier: Apache-2.0
"""Makes the moves of time: escalations, expiry, lapses; each once, however long the connector was off (CLK-4).

A timer's row is only a reason to look. What is due is computed from the thread's history in the same transaction that
makes the move, under an id that is always the same, so neither a crash nor a second process makes it twice. A thread
that cannot be moved, because the disk has damaged it or nothing can be composed there, stops no other (CON-8).

A move cannot be taken back. So none is made before the clock is known to be right and the mail that came meanwhile is
read: it may hold the answer. What is late is shown here all the same (LIF-7), which a later look undoes.
"""

from typing import Any, Final, Protocol

from connectors.cases.moving import Moving, Step
from connectors.cases.threads import Threads, history_of
from connectors.faults import TRANSIENT
from connectors.logs import Log
from connectors.store import moves, threads
from connectors.store.engine import Store
from connectors.timing import Clock
from protocol.errors import IllegalTransition, InternalError, NotFound, ThroughcareError
from protocol.ids import ThreadId
from protocol.lifecycle.timers import Timer
from protocol.limits import MINUTE

AT_ONCE: Final = 100
"""Threads looked at in one step, before the loop looks at other work."""
AGAIN: Final = 10 * MINUTE
"""After which a thread that could not be moved is looked at again; meanwhile the others are."""


class TrustedClock(Protocol):
    """What knows whether the clock of this machine is right; one that never met the hub may know neither."""

    @property
    def clock_is_sound(self) -> bool:
        """Whether it is known to be right (CON-23)."""

    @property
    def clock_is_wrong(self) -> bool:
        """Whether it is known to be wrong."""


class Clockwork:
    """Looks at what is due. `step` may be called at any time."""

    def __init__(
        self, store: Store, threads_: Threads, moving: Moving, trusted: TrustedClock, clock: Clock, log: Log
    ) -> None:
        """Take the parts; nothing happens before `step`."""
        self._store = store
        self._threads = threads_
        self._moving = moving
        self._trusted = trusted
        self._shown_at: int | None = None
        self._shown = set[ThreadId]()
        self._clock = clock
        self._log = log

    async def step(self, *, mail_read: bool = True) -> int:
        """Make what is due and return how many moves that were; none before the mailbox was read empty (CON-23)."""
        if not (mail_read and self._trusted.clock_is_sound):
            if not self._trusted.clock_is_wrong:
                await self._show()
            return 0
        self._shown_at = None
        for thread in tuple(self._shown):
            # It may have been another clock: what stands there now follows from this one.
            await self._alert(thread)
            self._shown.discard(thread)
        async with self._store.read() as tx:
            due = await moves.due(tx, self._clock(), AT_ONCE)
        return sum([await self._try(thread) for thread in due])

    async def next_due(self) -> int | None:
        """Return when there is something to look at next, in ms UTC, or None."""
        async with self._store.read() as tx:
            return await moves.next_timer_at(tx)

    async def _show(self) -> None:
        """Show here what is late, every ten minutes as long as nothing may be made."""
        now = self._clock()
        if self._shown_at is not None and abs(now - self._shown_at) < AGAIN:
            return
        self._shown_at = now
        async with self._store.read() as tx:
            late = await moves.due(tx, now)
        for thread in late:
            self._shown.add(thread)
            await self._alert(thread)

    async def _try(self, thread: ThreadId) -> int:
        try:
            return await self._make(thread)
        except TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 # whatever it is, the other threads' clocks go on
            told = error if isinstance(error, ThroughcareError) else InternalError()
            self._log.event("part-failed", part="clock", code=type(error).__name__)
            await self._alert(thread)
            until = self._clock() + AGAIN
            if self._trusted.clock_is_sound:  # else it might wait for a year that is not this one (CON-24)
                async with self._store.write() as tx:
                    await moves.postpone(tx, thread, until=until, error=told.code)
            return 0

    async def _alert(self, thread: ThreadId) -> None:
        """Show here what is late, whether or not the other side can be told of it (LIF-7)."""
        try:
            async with self._store.write() as tx:
                await self._threads.refold(tx, await threads.load(tx, thread))
        except TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 # as above
            self._log.event("part-failed", part="clock", code=type(error).__name__)

    async def _make(self, thread: ThreadId) -> int:
        made = 0
        async with self._store.write() as tx:
            row = await self._threads.mending.find(tx, thread)
            if row is None:
                raise NotFound
            stored = await moves.of(tx, thread)
            history = history_of(row, stored)
            for timer in await self._threads.waiting.timers(tx, row, history, stored):
                if timer.at > self._clock():
                    break
                try:
                    await self._moving.within(tx, thread, _step(timer), by_time=True)
                except IllegalTransition:
                    # What was made before it in this very step has moved the thread on.
                    break
                made += 1
            # Also where nothing was due after all: the row that said so must not be looked at for ever.
            await self._threads.refold(tx, await threads.load(tx, thread))
        if made:
            self._log.event("timer-fired", count=made)
        return made


def _step(timer: Timer) -> Step:
    fields: dict[str, Any] = {}
    if timer.level is not None:
        late = {"ack": timer.ack} if timer.awaited is None else {"awaited": timer.awaited}
        fields = {"level": timer.level, "was_due_at": timer.at, **late}
    if timer.effective_at is not None:
        fields = {"effective_at": timer.effective_at}
    return Step(event=timer.event, fields=fields, message_id=timer.move_id)
