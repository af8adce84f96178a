# SPDX-License-Identifier: Apache-2.0
"""Hears whether messages were noted and answered in time, those that we sent and those that came (KIND-7).

Computed from the stored messages and the calendar of the agency that has to, alike on both sides, so that nothing is
sent for it. As with the moves of time, a stored row is only a reason to look, each message in a transaction of its own;
one that cannot be looked at holds up no other (CON-8).
"""

from collections.abc import Callable, Mapping
from typing import Final

from connectors.faults import DAMAGED, TRANSIENT, desk_of_row
from connectors.logs import Log
from connectors.store import awaited, conversations, events, incoming, outgoing, replaying
from connectors.store.awaited import Awaited, Clear
from connectors.store.engine import Store, Transaction
from connectors.timing import Clock
from protocol import ids
from protocol.address import AgencyAddress, agency_of
from protocol.clocks import Ack, Calendar
from protocol.content import Content
from protocol.errors import ThroughcareError
from protocol.http.messages import MessageOverdue
from protocol.ids import Kind, MessageId
from protocol.kinds.awaiting import ANSWERING, AWAITED, answer_in, times
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.limits import DAY, MINUTE

AT_ONCE: Final = 100
"""Messages looked at in one step, before the loop looks at other work."""
AGAIN: Final = 10 * MINUTE
"""After which one that could not be looked at is looked at again."""


class Hearing:
    """Looks at what is due. `step` may be called at any time."""

    def __init__(self, store: Store, calendar: Callable[[AgencyAddress], Calendar], clock: Clock, log: Log) -> None:
        """`calendar` gives an agency's working days; nothing happens before `step`."""
        self._store = store
        self._calendar = calendar
        self._clock = clock
        self._log = log

    async def step(self) -> int:
        """Look at what is due and return how many messages that were."""
        async with self._store.read() as tx:
            due = await awaited.due(tx, self._clock(), AT_ONCE)
        for ours, position in due:
            await self._try(ours=ours, position=position)
        return len(due)

    async def next_due(self) -> int | None:
        """Return when there is something to look at next, in ms UTC, or None."""
        async with self._store.read() as tx:
            return await awaited.next_at(tx)

    async def overdue(self, tx: Transaction, message_id: MessageId, position: int | None) -> list[MessageOverdue]:
        """Return what of a message is late now: of one of ours, or of the one that came and stands at `position`."""
        found = list[MessageOverdue]()
        for row in await awaited.under(tx, message_id, ours=position is None):
            if position in (None, row.position):
                unmet = await self._unmet(tx, row, await awaited.clear(tx, row))
                late = sorted((at, ack) for ack, at in unmet.items() if at < self._clock())
                found += [MessageOverdue(desk=desk_of_row(row.desk), ack=ack, since=at) for at, ack in late]
        return sorted(found, key=lambda one: (one.since, one.desk, one.ack))

    async def _try(self, *, ours: bool, position: int) -> None:
        try:
            await self._look(ours=ours, position=position)
        except TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 # whatever it is, the other messages are looked at
            code = error.code if isinstance(error, ThroughcareError) else type(error).__name__
            self._log.event("part-failed", part="clock", code=code)
            async with self._store.write() as tx:
                await awaited.postpone(tx, ours=ours, position=position, until=self._clock() + AGAIN)

    async def _look(self, *, ours: bool, position: int) -> None:
        async with self._store.write() as tx:
            rows = await awaited.of(tx, ours=ours, position=position)
            # Several desks that are late by now are told of as one: it is one message.
            if any([await self._weigh(tx, row) for row in rows]):
                await events.message_unanswered(tx, rows[0].thread, rows[0].message_id, self._clock())
                self._log.event("message-unanswered")

    async def _weigh(self, tx: Transaction, row: Awaited) -> bool:
        """Note how a message stands at one desk; tell whether something is late of which nobody was told."""
        now, clear = self._clock(), await awaited.clear(tx, row)
        unmet = await self._unmet(tx, row, clear)
        if clear is not None and clear.given_up:
            # Told already as lost (SEQ-11); a late receipt can still say that it came.
            await awaited.looked(tx, row, due_at=None, look_at=now + DAY, told_until=row.told_until)
            return False
        if not unmet:
            await awaited.remove(tx, row)
            return False
        # As with the threads' own clocks, the moment itself is still in time.
        passed = [at for at in unmet.values() if row.told_until < at < now]
        look_at = min((at + 1 for at in unmet.values() if at >= now), default=None)
        told_until = max(passed, default=row.told_until)
        await awaited.looked(tx, row, due_at=min(unmet.values()), look_at=look_at, told_until=told_until)
        return bool(passed)

    async def _unmet(self, tx: Transaction, row: Awaited, clear: Clear | None) -> Mapping[Ack, int]:
        """Return what is still waited for, each with its time; nothing of what was given up."""
        if clear is None or clear.given_up or clear.kind not in AWAITED:
            return {}
        payer = row.desk if row.ours else desk_of_row(row.desk)
        until = times(clear.kind, await _payload(tx, row, clear), clear.since, self._calendar(agency_of(payer)))
        met = await _met(tx, row, clear)
        return {ack: at for ack, at in until.items() if ack not in met}


async def _payload(tx: Transaction, row: Awaited, clear: Clear) -> Content | None:
    """Return what the message says, None where the disk has damaged it: it is late by its kind all the same."""
    try:
        found = await (outgoing.at if row.ours else incoming.at)(tx, row.position)
        return decode_payload(KINDS[clear.kind], found.payload)
    except DAMAGED:
        return None


async def _met(tx: Transaction, row: Awaited, clear: Clear) -> set[Ack]:
    """Return what was said to a message: by the desk that it went to, or by that of ours at which it came."""
    met, named = set[Ack](), ids.text(Kind.MESSAGE, row.message_id)
    for place in await conversations.of(tx, [row.thread], ANSWERING):
        if place.ours == row.ours:
            continue
        try:
            if place.ours:
                said, to = await replaying.ours(tx, place)
                # Another desk of ours may have noted it for itself: this one has not.
                counts = clear.sender in to and said.sender_desk == row.desk
                kind, payload = said.payload_type, said.payload
            else:
                heard = await replaying.theirs(tx, place)
                counts, kind, payload = heard.sender_desk == row.desk, heard.payload_type, heard.payload
            answer = answer_in(decode_payload(KINDS[kind], payload))
        except DAMAGED:
            continue
        if counts and answer is not None and answer[0] == named:
            # Whoever answers has taken it up.
            met |= {Ack.A2, answer[1]}
    return met
