# SPDX-License-Identifier: Apache-2.0
"""Makes the moves of time: escalations, expiry, lapses; each once, however long the connector was off (CLK-4).

A timer's row is only a reason to look. What is due is computed from the thread's history in the same transaction that
makes the move, under an id that is always the same, so neither a crash nor a second process makes it twice.
"""

from typing import Any, Final

from connectors.cases.moving import Moving, Step
from connectors.cases.threads import Threads, history_of
from connectors.logs import Log
from connectors.store import moves, threads
from connectors.store.engine import Store
from connectors.timing import Clock
from protocol.errors import IllegalTransition
from protocol.ids import ThreadId
from protocol.lifecycle import handover
from protocol.lifecycle.timers import Timer

AT_ONCE: Final = 100
"""Threads looked at in one step, before the loop looks at other work."""


class Clockwork:
    """Looks at what is due. `step` may be called at any time."""

    def __init__(self, store: Store, threads_: Threads, moving: Moving, clock: Clock, log: Log) -> None:
        """Take the parts; nothing happens before `step`."""
        self._store = store
        self._threads = threads_
        self._moving = moving
        self._clock = clock
        self._log = log

    async def step(self) -> int:
        """Make what is due and return how many moves that were."""
        async with self._store.read() as tx:
            due = await moves.due(tx, self._clock(), AT_ONCE)
        return sum([await self._make(thread) for thread in due])

    async def next_due(self) -> int | None:
        """Return when there is something to look at next, in ms UTC, or None."""
        async with self._store.read() as tx:
            return await moves.next_timer_at(tx)

    async def _make(self, thread: ThreadId) -> int:
        made = 0
        async with self._store.write() as tx:
            row = await threads.load(tx, thread)
            stored = await moves.of(tx, thread)
            history = history_of(row, stored)
            for timer in self._threads.timers(row, history, stored):
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
    if timer.level is not None and timer.ack is not None:
        fields = {"level": timer.level, "ack": timer.ack, "was_due_at": timer.at}
    if timer.event == handover.Event.TAKE_EFFECT:
        fields = {"effective_at": timer.at}
    return Step(event=timer.event, fields=fields, message_id=timer.move_id)
