# SPDX-License-Identifier: Apache-2.0
"""Threads for whoever moves them: a row that the disk has damaged is made anew from what began the thread (CON-8).

What is sealed in it all stands in that message too, and the rest of the row in clear (LIF-4).
"""

from dataclasses import replace

from connectors.cases.sides import ROLES
from connectors.cases.terms import terms_of
from connectors.faults import DAMAGED, NO_DESK
from connectors.logs import Log
from connectors.store import moves, threads
from connectors.store.engine import Transaction
from connectors.store.threads import ThreadRow
from protocol.address import AgencyAddress, agency_of
from protocol.errors import KeystoreError
from protocol.ids import MessageId, ThreadId
from protocol.kinds.catalogue import decode_payload, kind_for


class Mending:
    """Finds threads in transactions that may write."""

    def __init__(self, agency: AgencyAddress, log: Log) -> None:
        """`agency` is our own."""
        self._agency = agency
        self._log = log

    async def find(self, tx: Transaction, thread: ThreadId) -> ThreadRow | None:
        """Return the thread, mended if need be, or None; `KeystoreError` if its beginning cannot be read either."""
        try:
            return await threads.find(tx, thread)
        except DAMAGED:
            return await self._mended(tx, thread)

    async def moved_by(self, tx: Transaction, message_id: MessageId) -> ThreadRow | None:
        """Return the thread that a message of ours moves, as `find` does, or None if it is no move."""
        thread = await moves.thread_moved_by(tx, message_id)
        return None if thread is None else await self.find(tx, thread)

    async def _mended(self, tx: Transaction, thread: ThreadId) -> ThreadRow:
        clear = await threads.clear(tx, thread)
        first = next((one for one in await moves.of(tx, thread) if one.message_id == clear.begun_by), None)
        kind = kind_for(clear.machine, first.event) if first and clear.machine in ROLES else None
        if first is None or kind is None or NO_DESK in (clear.own_desk, clear.peer_desk):
            raise KeystoreError("A stored thread cannot be read, nor what began it: the store is damaged.")
        ours = clear.side == ROLES[clear.machine].begins
        peer = agency_of(clear.peer_desk)
        subject, priority, answers = terms_of(decode_payload(kind, first.payload), peer if ours else self._agency)
        begins = self._agency if ours else peer
        row = replace(clear, subject=subject, priority=priority, begins=begins, answers=answers, damaged=False)
        await threads.put(tx, row)
        self._log.event("thread-mended")
        return row
