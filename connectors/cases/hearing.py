# SPDX-License-Identifier: Apache-2.0
"""Hears whether messages were noted and answered in time, those that we sent and those that came (KIND-7).

Computed from the stored messages and the calendar of the agency that has to, alike on both sides, so that nothing is
sent for it. As with the moves of time, a stored row is only a reason to look, each message in a transaction of its own;
one that cannot be looked at holds up no other (CON-8).
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from typing import Final

from connectors.cases.answering import Answer, answers_in
from connectors.cases.due import ANSWER, NOTE, Due
from connectors.faults import DAMAGED, TRANSIENT, desk_of_row
from connectors.logs import Log
from connectors.store import awaited, events, replaying
from connectors.store.awaited import Awaited, Clear
from connectors.store.engine import Store, Transaction
from connectors.store.replaying import Stored
from connectors.timing import Clock
from protocol import ids
from protocol.address import AgencyAddress, DeskAddress, agency_of
from protocol.clocks import Ack, Calendar
from protocol.content import Content
from protocol.errors import ThroughcareError
from protocol.http.messages import MessageOverdue
from protocol.ids import Kind, MessageId, ThreadId
from protocol.kinds.awaiting import AWAITED, named, times
from protocol.kinds.catalogue import KINDS, decode_payload
from protocol.limits import DAY, MINUTE

AT_ONCE: Final = 100
"""Messages looked at in one step, before the loop looks at other work."""
AGAIN: Final = 10 * MINUTE
"""After which one that could not be looked at is looked at again."""


@dataclass(frozen=True, slots=True)
class _Unmet:
    """What is still waited for of a message at one desk: by whom, until when (ms UTC), which day its sender named."""

    by: AgencyAddress
    until: Mapping[Ack, int]
    day: date | None = None


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
        rows = [
            one
            for one in await awaited.under(tx, message_id, ours=position is None)
            if position in (None, one.position)
        ]
        given = await _given(tx, rows)
        for row, clear, payload in await _known(tx, rows):
            unmet = self._unmet(row, clear, payload, given)
            late = sorted((at, ack) for ack, at in unmet.until.items() if at < self._clock())
            found += [MessageOverdue(desk=desk_of_row(row.desk), ack=ack, since=at) for at, ack in late]
        return sorted(found, key=lambda one: (one.since, one.desk, one.ack))

    async def waits(self, tx: Transaction, threads: Collection[ThreadId]) -> list[tuple[ThreadId, Due]]:
        """Return what is still to be noted and answered in some threads, each message once for each agency.

        It is what `overdue` says is late, and by which a case is listed as due, whether its time has passed or not.
        What nobody waits for any more, or never did, as of a message from before an update, is in none (KIND-7).
        """
        given = dict[str, list[Answer]]()
        for answer in await answers_in(tx, threads):
            given.setdefault(answer.named, []).append(answer)
        found = dict[tuple[bool, MessageId, DeskAddress, AgencyAddress, Ack], tuple[ThreadId, Due]]()
        for row, clear, payload in await _known(tx, await awaited.in_threads(tx, threads)):
            if clear is None:
                continue
            unmet = self._unmet(row, clear, payload, given.get(ids.text(Kind.MESSAGE, row.message_id), ()))
            for ack, at in unmet.until.items():
                key = (row.ours, row.message_id, clear.sender, unmet.by, ack)
                found.setdefault(key, (row.thread, _due(unmet, ack, at)))
        return list(found.values())

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
            given = await _given(tx, rows)
            if any([await self._weigh(tx, *one, given) for one in await _known(tx, rows)]):
                await events.message_unanswered(tx, rows[0].thread, rows[0].message_id, self._clock())
                self._log.event("message-unanswered")

    async def _weigh(
        self,
        tx: Transaction,
        row: Awaited,
        clear: Clear | None,
        payload: Content | None,
        given: Collection[Answer],
    ) -> bool:
        """Note how a message stands at one desk; tell whether something is late of which nobody was told."""
        now = self._clock()
        unmet = self._unmet(row, clear, payload, given).until
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

    def _unmet(self, row: Awaited, clear: Clear | None, payload: Content | None, given: Iterable[Answer]) -> _Unmet:
        """Return what is still waited for, `given` these answers; nothing of what was given up."""
        by = agency_of(desk_of_row(row.desk))
        if clear is None or clear.given_up or clear.kind not in AWAITED:
            return _Unmet(by, {})
        met = {ack for one in given if one.is_to(row, clear.sender) for ack in (Ack.A2, one.ack)}
        until = times(clear.kind, payload, clear.since, self._calendar(by))
        day = named(payload)
        return _Unmet(
            by, {ack: at for ack, at in until.items() if ack not in met}, day if isinstance(day, date) else None
        )


async def _given(tx: Transaction, rows: Collection[Awaited]) -> list[Answer]:
    """Return the answers among which those to a message are, which stands in one thread for however many desks."""
    return await answers_in(tx, {row.thread for row in rows}) if rows else []


async def _known(tx: Transaction, rows: Sequence[Awaited]) -> list[tuple[Awaited, Clear | None, Content | None]]:
    """Return with each what stands in clear of its message, and what that says, by few statements for all.

    What it says is None where the disk has damaged it: it is late by its kind all the same.
    """
    known = await awaited.clear(tx, rows)
    places = {
        Stored(row.ours, row.position): clear.kind
        for row, clear in known
        if clear is not None and clear.kind in AWAITED and not clear.given_up
    }
    said = dict[Stored, Content]()
    async for one in replaying.each(tx, list(places)):
        with suppress(*DAMAGED):
            said[one.place] = decode_payload(KINDS[places[one.place]], one.message.payload)
    return [(row, clear, said.get(Stored(row.ours, row.position))) for row, clear in known]


def _due(unmet: _Unmet, ack: Ack, at: int) -> Due:
    what = NOTE if ack is Ack.A2 else ANSWER
    return Due(what, unmet.by, at=at) if unmet.day is None or ack is Ack.A2 else Due(what, unmet.by, on=unmet.day)
