# SPDX-License-Identifier: Apache-2.0
"""What becomes of a message that takes a place which another has (SEQ-2): it is kept apart, and its sender is told.

A sender that was restored from a backup does not know what it said after that, and begins again with numbers that its
desks have. Told how far the line has come it gives its message another (SEQ-12). Whoever else hears this has sent two
messages under one number, or somebody has in its name.
"""

from connectors.cases.belonging import check_move
from connectors.cases.threads import Threads
from connectors.logs import Log
from connectors.receipts import CANNOT_OPEN, refuse, report
from connectors.store import attachments, forgotten, incoming, outgoing, quarantine
from connectors.store.engine import Transaction
from connectors.store.incoming import ReceivedMessage
from connectors.store.quarantine import Quarantined, SignedBy
from connectors.store.recipients import Plan
from connectors.store.sequences import Direction, Line
from connectors.timing import Clock
from protocol import ids
from protocol.errors import PolicyDenied, SequenceError
from protocol.ids import ThreadId
from protocol.sections import Actor
from protocol.sequence import Position


class PlaceTaken(SequenceError):
    """A message waits at the same place for the one before; which of the two belongs there is not known yet.

    Its sender is to seal it anew, as with what cannot be opened: by then it is known, more often than not.
    """


class Refusing:
    """Puts messages into quarantine for their place. Everything happens in the caller's transaction."""

    def __init__(self, service: Actor, threads: Threads, clock: Clock, log: Log, *, receipt_life: int) -> None:
        """`service` signs what is said; `receipt_life` in ms."""
        self._service = service
        self._threads = threads
        self._clock = clock
        self._log = log
        self._receipt_life = receipt_life

    async def expel(self, tx: Transaction, message: ReceivedMessage, taken: Position) -> None:
        """Refuse a held message that names another predecessor than the one that came; the line came to `taken`."""
        await self.refuse(tx, message, await incoming.remove(tx, message), taken)

    async def refuse(self, tx: Transaction, message: ReceivedMessage, raw: bytes, taken: Position) -> None:
        """Keep a message on a fork apart, and tell its sender that its line has come to `taken`."""
        now = self._clock()
        await attachments.drop(tx, message.message_id, message.sender_desk, message.recipient_desk)
        await self.put_aside(tx, message, raw)
        word = refuse(
            message.message_id,
            taken,
            thread=message.thread,
            sender=message.recipient_desk,
            actor=self._service,
            now=now,
            deadline=now + self._receipt_life,
        )
        await outgoing.add(tx, word, {message.sender_desk: Plan()})
        line = Line.of(Direction.IN, message.thread, message.sender_desk, message.recipient_desk, message.klass)
        await forgotten.note(tx, line, taken.seq - message.seq + 1, now)
        await self._threads.forgotten(tx, message.thread)

    async def denied(self, tx: Transaction, message: ReceivedMessage) -> bool:
        """Take out a held message that would move a thread and can not, and report it as not opened (LIF-6, CON-4).

        Returns whether it was one: when it came its thread may not have been there.
        """
        try:
            await check_move(tx, self._threads.mending, message)
        except PolicyDenied:
            pass
        else:
            return False
        raw, now = await incoming.remove(tx, message), self._clock()
        await attachments.drop(tx, message.message_id, message.sender_desk, message.recipient_desk)
        await self.put_aside(tx, message, raw, code=PolicyDenied.code)
        word = report(
            CANNOT_OPEN,
            digest=message.digest,
            message_id=None,
            thread=ThreadId(ids.new_id()),
            sender=message.recipient_desk,
            actor=self._service,
            now=now,
            deadline=now + self._receipt_life,
        )
        await outgoing.add(tx, word, {message.sender_desk: Plan()})
        return True

    async def put_aside(
        self, tx: Transaction, message: ReceivedMessage, raw: bytes, *, code: str = SequenceError.code
    ) -> None:
        """Put a verified message into quarantine: it is on a fork, not the one whose id it has, or what `code` says."""
        entry = Quarantined(
            item_index=message.leaf_index,
            received_at=self._clock(),
            code=code,
            sender=message.sender_desk,
            envelope_id=message.envelope_id,
            message_id=message.message_id,
            reported=False,
            signed_by=SignedBy.SENDER,
        )
        await quarantine.add(tx, entry, raw)
        self._log.event("item-quarantined", code=code)
