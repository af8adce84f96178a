# SPDX-License-Identifier: Apache-2.0
"""What we owe desks on our lines to them: the messages that they ask for, and word of those that will not come.

A desk that lacks one of our messages holds all later ones of that thread back. So whatever it asks for is sealed anew
(SEQ-10), and what was given up is said, with its place, so that it can go on (SEQ-11). A move that the other side will
never have has no force here either: both tell one history.
"""

from contextlib import suppress
from typing import Final

from connectors.cases.threads import Threads
from connectors.faults import DAMAGED
from connectors.logs import Log
from connectors.predecessor import Predecessor
from connectors.receipts import GIVEN_UP as GIVEN_UP_WORD
from connectors.receipts import MISSING, give_up, read_given_up
from connectors.store import attempts, events, forgotten, outgoing, owed, recipients, sequences
from connectors.store.engine import Store, Transaction
from connectors.store.incoming import ReceivedMessage
from connectors.store.owed import GIVEN_UP, Sent
from connectors.store.pruning import EVIDENCE_KEPT
from connectors.store.recipients import Plan, RecipientState
from connectors.store.sequences import MAIN, Direction, Line
from connectors.timing import MOST_SEALS, Clock
from protocol.address import DeskAddress
from protocol.errors import PolicyDenied
from protocol.ids import MessageId, ThreadId
from protocol.sections import Actor
from protocol.sequence import Position

_AT_ONCE: Final = 50


class Owing:
    """Answers desks that lack messages of ours. `step` may be called at any time."""

    def __init__(
        self,
        store: Store,
        service: Actor,
        predecessor: Predecessor,
        threads: Threads,
        clock: Clock,
        log: Log,
        *,
        message_life: int,
    ) -> None:
        """`service` signs what is said; `message_life` is for how long it, and what is asked for, is sent, in ms."""
        self._store = store
        self._service = service
        self._predecessor = predecessor
        self._threads = threads
        self._clock = clock
        self._log = log
        self._message_life = message_life

    async def asked(self, tx: Transaction, by: ReceivedMessage, message_id: MessageId) -> None:
        """Seal a message anew for a desk that says, in the verified receipt `by`, that it lacks it (SEQ-10).

        Raises `PolicyDenied` unless that desk was sent it in that very thread, by the desk that it asks.
        """
        sent = await owed.sent(tx, message_id, by.sender_desk)
        if sent is None:
            await self._unknown(tx, by, message_id)
            return
        if (sent.thread, sent.sender) != (by.thread, by.recipient_desk):
            raise PolicyDenied("A message is asked for in another thread, or of another desk, than it is of.")
        self._log.event("receipt-received", code=MISSING)
        row = await recipients.find(tx, message_id, by.sender_desk)
        await owed.asked(tx, row, by.accepted_at)
        if row.state in GIVEN_UP:
            await self._say(tx, sent.message_id, sent.place, sent.thread, sent.sender, sent.desk)
            return
        known_there = row.opened_again_at if row.state is RecipientState.OPENED else row.accepted_at
        sealing = None if row.envelope_id is None else await attempts.by_id(tx, row.envelope_id)
        anew = sealing is not None and sealing.devices.get(by.sender_desk) != by.device_id
        if known_there is None or by.accepted_at <= known_there or (row.seals >= MOST_SEALS and not anew):
            # It is on its way to the hub, or has reached it after that was asked, or comes again and again.
            return
        if row.state is RecipientState.OPENED:
            # A machine that is lost opened it in time; whoever has its place must get it whenever that is.
            await outgoing.extend(tx, message_id, self._clock() + self._message_life)
        await owed.begin_again(tx, row, now=self._clock(), error=MISSING, new_device=anew)
        self._log.event("resealing", code=MISSING)

    async def _unknown(self, tx: Transaction, by: ReceivedMessage, message_id: MessageId) -> None:
        """Say that a message is not here any more, where that can be: a machine before this one may have sent it."""
        line = Line(Direction.OUT, by.thread, by.recipient_desk, by.sender_desk, MAIN)
        succeeds = await self._predecessor.behind(tx, line.sender) is not None
        never_lost = not succeeds and await sequences.position(tx, line) != Position()
        if never_lost or await owed.is_ours(tx, message_id):
            raise PolicyDenied("A message is asked for that its sender was not sent.")
        if succeeds:
            await forgotten.note(tx, line, 1, self._clock())
            await self._threads.forgotten(tx, line.thread)
        await self._say(tx, message_id, None, by.thread, by.recipient_desk, by.sender_desk)

    async def step(self) -> int:
        """Tell desks what was given up since, and return how many messages that were.

        A word that expired unheard is said once more: nothing else would ever tell the desk, or us that it has the
        message.
        """
        async with self._store.read() as tx:
            found = await owed.untold(tx, _AT_ONCE)
            unheard = await owed.unheard(tx, GIVEN_UP_WORD, _AT_ONCE)
        for word, desk in unheard:
            await self._say_again(word, desk)
        for one in found:
            try:
                await self._tell(one, forceless=True)
            except DAMAGED as error:
                # What cannot be read of the thread is shown as damaged; the desk is told all the same (CON-8).
                self._log.event("part-failed", part="gaps", code=error.code)
                await self._tell(one, forceless=False)
        return len(found) + len(unheard)

    async def _say_again(self, word: MessageId, desk: DeskAddress) -> None:
        async with self._store.write() as tx:
            await owed.told(tx, word, desk, self._clock())
            with suppress(*DAMAGED):
                said = read_given_up((await outgoing.load(tx, word)).payload)
                one = await owed.given_up(tx, said.message, desk, since=self._clock() - EVIDENCE_KEPT)
                if one is not None:
                    await self._say(tx, one.message_id, one.place, one.thread, one.sender, one.desk)

    async def _tell(self, one: Sent, *, forceless: bool) -> None:
        async with self._store.write() as tx:
            await self._say(tx, one.message_id, one.place, one.thread, one.sender, one.desk)
            await owed.told(tx, one.message_id, one.desk, self._clock())
            await events.message_lost(tx, one.thread, one.message_id, self._clock())
            if forceless:
                await self._threads.lost(tx, one.thread, None if one.opened else one.message_id, one.desk)

    async def _say(
        self,
        tx: Transaction,
        message_id: MessageId,
        place: Position | None,
        thread: ThreadId,
        sender: DeskAddress,
        desk: DeskAddress,
    ) -> None:
        now = self._clock()
        word = give_up(
            message_id,
            place,
            thread=thread,
            sender=sender,
            actor=self._service,
            now=now,
            deadline=now + self._message_life,
        )
        await outgoing.add(tx, word, {desk: Plan()})
        self._log.event("message-given-up")
