# SPDX-License-Identifier: Apache-2.0
"""Gives messages of ours other numbers where a desk has theirs for messages that this machine does not know (SEQ-12).

Whoever is restored from a backup, or enrolled anew, begins again with numbers that the lost machine has used. The desk
refuses such a message and says how far the line has come there. What was composed since then goes on behind that. Such
a desk is believed for nothing else: numbers only go up, what it has opened keeps its own, as does what stands in the
backup, and a machine that alone has numbered a line takes this for the lie that it is.
"""

from typing import Final

from connectors.cases.threads import Threads
from connectors.logs import Log
from connectors.predecessor import Predecessor
from connectors.receipts import FORK, Forked
from connectors.store import attempts, forgotten, numbered, owed, recipients, sequences
from connectors.store.attempts import AttemptState
from connectors.store.engine import Transaction
from connectors.store.incoming import ReceivedMessage
from connectors.store.numbered import Numbered
from connectors.store.recipients import RecipientState
from connectors.store.sequences import MAIN, Direction, Line
from connectors.timing import Clock
from protocol.address import DeskAddress
from protocol.errors import PolicyDenied, SequenceError
from protocol.ids import MessageId
from protocol.sequence import Position

MOST_AHEAD: Final = 10_000
"""How much further than ours a desk may say that a line has come: numbers must not run out."""


class Renumbering:
    """Judges what desks say about places of our messages."""

    def __init__(self, predecessor: Predecessor, threads: Threads, clock: Clock, log: Log) -> None:
        """`threads` is told where messages are not known here any more."""
        self._predecessor = predecessor
        self._threads = threads
        self._clock = clock
        self._log = log

    async def refused(self, tx: Transaction, by: ReceivedMessage, said: Forked) -> None:
        """Go on behind what a desk has, which says so in the verified receipt `by`.

        Raises `PolicyDenied` if no machine before this one can have used the number, and for a message that the desk
        was not sent in that thread by the desk of ours that it tells.
        """
        since = await self._predecessor.behind(tx, by.recipient_desk)
        if since is None:
            raise PolicyDenied("A desk has another message at a place of a line that this machine alone has numbered.")
        sent = await owed.sent(tx, said.message, by.sender_desk)
        if sent is None and not await owed.is_ours(tx, said.message):
            # The machine before this one sent it, and it came too late for its place.
            self._log.event("receipt-received", code=FORK)
            return
        if sent is None or (sent.thread, sent.sender) != (by.thread, by.recipient_desk):
            raise PolicyDenied("A message is refused in another thread, or to another desk, than it is of.")
        line = Line(Direction.OUT, by.thread, by.recipient_desk, by.sender_desk, MAIN)
        ours = await numbered.since(tx, line, since)
        named = next((one for one in ours if one.message_id == said.message), None)
        if named is None:
            raise PolicyDenied("A message of the backup is refused for its place; it had it before the restore.")
        if said.taken.seq - named.seq > MOST_AHEAD:
            raise PolicyDenied("A desk says that a line has come further than it can have.")
        self._log.event("receipt-received", code=FORK)
        if named.opened or not _is_on_fork(named, said.taken):
            # It was opened, or has another number since: the receipt is late.
            return
        await self._go_on(tx, line, ours, named, said.taken)

    async def _go_on(self, tx: Transaction, line: Line, ours: list[Numbered], named: Numbered, taken: Position) -> None:
        """Give `named`, and what else cannot have been taken in or follows, the numbers behind `taken`."""
        # What the desk took in last may be one of these: then it has all that stands before it too.
        whole = taken.seq if any((one.seq, one.message_id) == (taken.seq, taken.last) for one in ours) else 0
        first = min(one.seq for one in ours if one == named or (not one.opened and whole < one.seq <= taken.seq))
        moved = [one for one in ours if not one.opened and one.seq >= first]
        stays = [Position(one.seq, one.message_id) for one in ours if one not in moved]
        last = max([taken, *stays], key=lambda position: position.seq)
        for one in moved:
            place = Position(last.seq + 1, last.last)
            await numbered.give(tx, line, one.message_id, place)
            await self._seal_anew(tx, one.message_id, line.recipient)
            last = Position(place.seq, one.message_id)
        await sequences.advance(tx, line, last)
        await forgotten.note(tx, line, taken.seq - first + 1, self._clock())
        await self._threads.forgotten(tx, line.thread)
        self._log.event("resealing", code=FORK, count=len(moved))

    async def _seal_anew(self, tx: Transaction, message_id: MessageId, desk: DeskAddress) -> None:
        row = await recipients.find(tx, message_id, desk)
        if row.state is RecipientState.SEALED and row.envelope_id is not None:
            # It is not sent any more, to nobody whom it is for.
            await attempts.close(tx, row.envelope_id, AttemptState.LAPSED, SequenceError.code)
            together = [one for one in await recipients.of(tx, message_id) if one.envelope_id == row.envelope_id]
        else:
            together = [row]
        for one in together:
            if one.state in (RecipientState.SEALED, RecipientState.ACCEPTED):
                await recipients.requeue(tx, one, now=self._clock(), error=SequenceError.code)


def _is_on_fork(message: Numbered, taken: Position) -> bool:
    if message.seq > taken.seq:
        return message.seq == taken.seq + 1 and message.previous != taken.last
    return message.message_id != taken.last
