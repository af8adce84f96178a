# SPDX-License-Identifier: Apache-2.0
"""Asks for what is missing (SEQ-10).

A message that waits names the one before it. When nobody brings that one for a while, whoever sent both is asked for
it: it may have been opened by a machine that is lost, or been lost on its way without a word. So a line is walked
back, one message at a time, to where this machine knows it.
"""

from collections.abc import Sequence
from typing import Final

from connectors.logs import Log
from connectors.receipts import ask
from connectors.store import asked, outgoing
from connectors.store.asked import Missing
from connectors.store.engine import Store
from connectors.store.recipients import Plan
from connectors.timing import Chance, Clock, system_chance
from protocol.limits import DAY, MINUTE
from protocol.sections import Actor

PATIENCE: Final = 10 * MINUTE
"""How long a gap stands before anything is asked for: what is merely late comes by itself, in ms."""
LONGEST: Final = DAY
"""What lies between two times at most, in ms."""
MOST_TIMES: Final = 24
"""How often one message is asked for: over some two weeks; each time waits at the hub for its sender."""
_DOUBLINGS: Final = 12
_AT_ONCE: Final = 50


class Asking:
    """Looks for gaps that stand. `step` may be called at any time."""

    def __init__(
        self, store: Store, service: Actor, clock: Clock, log: Log, *, receipt_life: int, chance: Chance = system_chance
    ) -> None:
        """`service` signs what asks; `receipt_life` in ms."""
        self._store = store
        self._service = service
        self._clock = clock
        self._log = log
        self._receipt_life = receipt_life
        self._chance = chance

    async def step(self) -> int:
        """Ask for what is missing and due, and return how many messages that were."""
        now = self._clock()
        async with self._store.read() as tx:
            standing = await asked.missing(tx)
            if not _due(standing, now) and not (await asked.any_noted(tx) and not standing):
                return 0
        async with self._store.write() as tx:
            # The others in the next step: one long transaction would hold up all else here (SEQ-7).
            due = _due(await asked.missing(tx), now)[:_AT_ONCE]
            for one in due:
                question = ask(
                    one.message_id,
                    thread=one.thread,
                    sender=one.recipient,
                    actor=self._service,
                    now=now,
                    deadline=now + self._receipt_life,
                )
                await outgoing.add(tx, question, {one.sender: Plan()})
                await asked.note(tx, one, next_at=now + asking_pause(one.times, self._chance))
            await asked.forget_closed(tx)
        if due:
            self._log.event("message-asked-for", count=len(due))
        return len(due)

    async def next_due(self) -> int | None:
        """Return when there is something to ask for next, in ms UTC, or None."""
        async with self._store.read() as tx:
            times = [_at(one, self._clock()) for one in await asked.missing(tx) if one.times < MOST_TIMES]
        return min(times, default=None)


def asking_pause(times: int, chance: Chance = system_chance) -> int:
    """Return how many ms to wait before a message that was asked for `times` times before is asked for again."""
    longest = min(LONGEST, PATIENCE << min(times, _DOUBLINGS))
    return longest // 2 + int(chance() * (longest - longest // 2))


def _at(one: Missing, now: int) -> int:
    # What is missing before what was just brought is asked for at once: the gap has stood for long.
    at, longest = (one.since + PATIENCE, PATIENCE) if one.next_at is None else (one.next_at, LONGEST)
    # A clock that was ahead wrote down what is further away (CON-24).
    return now if at > now + longest else at


def _due(standing: Sequence[Missing], now: int) -> list[Missing]:
    return [one for one in standing if one.times < MOST_TIMES and _at(one, now) <= now]
