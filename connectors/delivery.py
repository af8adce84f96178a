# SPDX-License-Identifier: Apache-2.0
"""What a verified message does: its place in the thread, its effect, and the receipt that answers it.

Everything here happens inside the transaction that also writes the replay cache and the mailbox's cursor, so
that a crash leaves either all of it or nothing (CON-3).
"""

from dataclasses import replace
from typing import Final

from connectors.cases.belonging import check_move
from connectors.cases.threads import Threads
from connectors.logs import Log
from connectors.owing import Owing
from connectors.receipts import (
    FORK,
    GIVEN_UP,
    MISSING,
    OPENED,
    GivenUp,
    read_forked,
    read_given_up,
    read_report,
    read_wanted,
    report,
)
from connectors.refusing import PlaceTaken, Refusing
from connectors.renumbering import Renumbering
from connectors.resealing import Resealing
from connectors.sameness import check_same, is_numbered_anew
from connectors.store import asked, attachments, awaited, events, incoming, lost, moves, outgoing, resealed, sequences
from connectors.store.engine import Transaction
from connectors.store.incoming import IncomingState, ReceivedMessage, ReceivedSection
from connectors.store.lost import Place
from connectors.store.recipients import Plan
from connectors.store.sequences import MAIN, Direction, Line
from connectors.timing import Clock
from keys.opening import VerifiedMessage
from protocol.errors import (
    CannotOpen,
    KeystoreError,
    MalformedEnvelope,
    PlacesDiffer,
    SequenceError,
    TooManyHeld,
)
from protocol.ids import MessageId
from protocol.kinds.alerting import alert_in
from protocol.rows import Box, EnvelopeClass
from protocol.sections import Actor
from protocol.sequence import Placement, Position, place

MOST_HELD: Final = 1_000
MOST_HELD_BYTES: Final = 64 << 20
"""SEQ-9: what one agency may have waiting here for earlier messages, whatever threads and desks it is spread over."""


class Delivery:
    """Gives each message its one effect (ENV-19)."""

    def __init__(
        self,
        service: Actor,
        resealing: Resealing,
        owing: Owing,
        renumbering: Renumbering,
        threads: Threads,
        clock: Clock,
        log: Log,
        *,
        receipt_life: int,
    ) -> None:
        """`service` signs receipts; `receipt_life` in ms."""
        self._service = service
        self._threads = threads
        self._resealing = resealing
        self._owing = owing
        self._renumbering = renumbering
        self._refusing = Refusing(service, threads, clock, log, receipt_life=receipt_life)
        self._clock = clock
        self._log = log
        self._receipt_life = receipt_life
        self.released: dict[Line, None] = {}
        """Lines whose gap has closed and which `release` is to be called for, in that order.

        They stand in the store too; one that was noted and never stored does no harm.
        """

    async def deliver(self, tx: Transaction, message: VerifiedMessage, raw: bytes, marks: tuple[str, ...]) -> None:
        """Take in a message that passed every check; a known message_id is answered again and does nothing else.

        A message that waits for a gap is answered when it is released: A1 says that it had its effect (CON-4). One
        whose attachments are still to be fetched is answered when they are here (ATT-7).
        One on a fork is put aside here, and its sender told (SEQ-2, SEQ-12).
        Raises `SequenceError` for a known message_id that waits and carries something else (SEQ-5), `PlaceTaken` for a
        place at which another waits, `TooManyHeld` if it would have to wait and too much does (SEQ-9),
        `CannotOpen` if what is stored under it is damaged, and what `Resealing.report` raises.
        """
        received = _received(message, marks, self._clock())
        try:
            known = await incoming.known(tx, message.message_id, message.sender_desk, message.recipient_desk)
        except (KeystoreError, MalformedEnvelope):
            # What came first cannot be read any more, so nobody can say whether this is the same (SEQ-5).
            raise CannotOpen from None
        if known is not None and is_numbered_anew(known, received):
            # It never had its effect, and waits no more where it waited (SEQ-12).
            await incoming.remove(tx, known)
            await attachments.drop(tx, known.message_id, known.sender_desk, known.recipient_desk)
            known = None
        if known is None:
            complete = not any(section.attachments for section in message.sections.values())
            await attachments.expect(tx, message, received.received_at)
            try:
                effective = await self._take_in(tx, received, raw)
            except PlaceTaken:
                raise
            except SequenceError:
                await self._refusing.refuse(tx, received, raw, await sequences.position(tx, _line(received)))
                return
        else:
            try:
                check_same(known, received)
            except SequenceError:
                if known.state is not IncomingState.DELIVERED or known.thread != received.thread or known.klass.bare:
                    raise
                await self._made_again(tx, known, received, raw)
                return
            complete = await attachments.expect_again(tx, message, received.received_at)
            await resealed.keep(tx, known, received, raw)
            effective = known.state is IncomingState.DELIVERED
        if effective and complete and not message.klass.bare:
            # Also for a message sealed anew: that it was says that our first receipt did not arrive.
            await self._answer(tx, received, first=received if known is None else known)

    async def _take_in(self, tx: Transaction, message: ReceivedMessage, raw: bytes) -> bool:
        """Store a new message and return whether it has its effect."""
        if message.klass.bare:
            # Receipts and notices never wait for a gap (SEQ-3).
            if message.klass is EnvelopeClass.RECEIPT and not await self._receipt(tx, message):
                await self._refusing.put_aside(tx, message, raw, code=PlacesDiffer.code)
            await incoming.add(tx, message, raw)
            return True
        await check_move(tx, self._threads.mending, message)
        line = _line(message)
        position = await sequences.position(tx, line)
        if message.seq <= position.seq and await self._came_late(tx, line, message):
            await incoming.add(tx, message, raw)
            await self._effect(tx, message, late=True)
            await self._threads.found(tx, message.thread)
            return True
        match place(position, _box(message)):
            case Placement.DELIVER:
                waiting = await incoming.waiting(tx, line, message.seq)
                if message.seq in waiting:
                    # Its gap has closed, and its turn is still to come (SEQ-7).
                    await self._displace(tx, line, position, message, waiting[message.seq])
                await incoming.add(tx, message, raw)
                await self._effect(tx, message)
                await sequences.advance(tx, line, Position(message.seq, message.message_id))
                given_up = await lost.ahead(tx, line, position.seq)
                if given_up is not None and given_up.seq == message.seq:
                    # What was said to be lost has come.
                    await lost.remove(tx, line, message.seq)
                if message.seq + 1 in waiting or given_up is not None:
                    self.released[line] = None
                return True
            case Placement.HOLD:
                await self._hold(tx, line, message, raw)
                return False
            case Placement.FORK:
                raise SequenceError

    async def _hold(self, tx: Transaction, line: Line, message: ReceivedMessage, raw: bytes) -> None:
        """Store a message that has to wait for an earlier one (SEQ-1)."""
        if message.seq in await incoming.waiting(tx, line, message.seq):
            raise PlaceTaken
        messages, size = await incoming.held_of(tx, message.agency)
        if messages >= MOST_HELD or size + len(raw) > MOST_HELD_BYTES:
            raise TooManyHeld
        await incoming.add(tx, replace(message, state=IncomingState.HELD), raw)
        if _is_alert(message):
            # An emergency reaches people at once; its place, and its effect, wait all the same (KIND-6).
            await events.message_received(tx, message.thread, message.message_id, self._clock(), alert=True)
            await _await(tx, message)
        self._log.event("message-held")

    async def _receipt(self, tx: Transaction, message: ReceivedMessage) -> bool:
        """Take a receipt; False if the hub has said other things to its sender than to us (CON-20)."""
        if message.payload_type == MISSING:
            await self._owing.asked(tx, message, read_wanted(message.payload))
        elif message.payload_type == GIVEN_UP:
            await self._given_up(tx, message, read_given_up(message.payload))
        elif message.payload_type == FORK:
            await self._renumbering.refused(tx, message, read_forked(message.payload))
        else:
            return await self._resealing.report(tx, message, read_report(message.payload))
        return True

    async def _given_up(self, tx: Transaction, by: ReceivedMessage, said: GivenUp) -> None:
        """Note that a message of the desk that says so, to the desk that it tells, will not come (SEQ-11)."""
        line = Line(Direction.IN, by.thread, by.sender_desk, by.recipient_desk, MAIN)
        known = await incoming.known(tx, said.message, by.sender_desk, by.recipient_desk)
        if known is not None:
            if known.thread == by.thread and known.state is IncomingState.DELIVERED and not known.klass.bare:
                # It came, and our receipt did not; its effect stands, also where attachments never came (ATT-7).
                complete = await attachments.complete(tx, known.message_id, known.sender_desk, known.recipient_desk)
                await self._answer(tx, known, first=known, incomplete=not complete)
            return
        position = await sequences.position(tx, line)
        if said.seq is not None:
            gone = Place(said.seq, said.message, said.previous, alone=True, passed=False)
        else:
            follower = await asked.follower(tx, line, said.message)
            if follower is None:
                return
            gone = Place(follower - 1, said.message, None, alone=False, passed=False)
        if gone.seq > position.seq and gone.seq not in await incoming.waiting(tx, line, gone.seq):
            if await lost.waiting_of(tx, by.agency) >= MOST_HELD:
                raise TooManyHeld
            await lost.add(tx, line, gone, self._clock())
            self._log.event("receipt-received", code=GIVEN_UP)
            self.released[line] = None

    async def _made_again(self, tx: Transaction, first: ReceivedMessage, again: ReceivedMessage, raw: bytes) -> None:
        """Put aside what came under the id of a message that had its effect, and answer that one anew (SEQ-5).

        Its sender may not know the first: a machine that was lost made it, and the next one made it once more (CLK-4).
        Whatever number it gave to it then has nothing else at its place, so the line goes on over that (SEQ-12).
        """
        await self._refusing.put_aside(tx, again, raw)
        line = _line(first)
        position = await sequences.position(tx, line)
        if again.seq > position.seq and again.seq not in await incoming.waiting(tx, line, again.seq):
            if await lost.waiting_of(tx, again.agency) >= MOST_HELD:
                raise TooManyHeld
            passing = Place(again.seq, again.message_id, again.previous, alone=False, passed=False)
            await lost.add(tx, line, passing, self._clock())
            self.released[line] = None
        await self._answer_whole(tx, first)

    async def _came_late(self, tx: Transaction, line: Line, message: ReceivedMessage) -> bool:
        """Tell whether a message's place was passed because it was said to be lost; it has its effect now (SEQ-11)."""
        gone = await lost.at(tx, line, message.seq)
        if gone is None or gone.message_id != message.message_id:
            return False
        if gone.alone and gone.previous != message.previous:
            raise SequenceError
        await lost.remove(tx, line, message.seq)
        return True

    async def _pass(self, tx: Transaction, line: Line, position: Position) -> Position | None:
        """Let `line` go on over the next place if its message will not come; returns how far, None if it cannot."""
        gone = await lost.ahead(tx, line, position.seq)
        if gone is None or (gone.alone and gone.seq != position.seq + 1):
            return None
        if gone.alone and gone.previous != position.last:
            # Its sender names another message before it than came: what it says of the place cannot be.
            await lost.remove(tx, line, gone.seq)
            return None
        if not gone.alone and await incoming.holds_before(tx, line, gone.seq):
            return None
        now = self._clock()
        await lost.passed(tx, line, gone.seq, now)
        if not await lost.came(tx, line, gone.message_id):
            await events.message_lost(tx, line.thread, gone.message_id, now)
            await self._threads.lost(tx, line.thread)
            self._log.event("message-lost")
        return Position(gone.seq, gone.message_id)

    async def release(self, tx: Transaction, line: Line, most: int) -> bool:
        """Let at most `most` messages have their effect whose gap on `line` has closed; tell whether more may wait.

        `line` advances with them, so that the next call, perhaps after a restart, goes on behind the last (SEQ-7).
        """
        begun = position = await sequences.position(tx, line)
        while position.seq < begun.seq + most:
            waiting = await incoming.held(tx, line, position.seq + 1)
            if waiting is None:
                passed = await self._pass(tx, line, position)
                if passed is None:
                    break
                position = passed
                continue
            if place(position, _box(waiting)) is not Placement.DELIVER:
                await self._refusing.expel(tx, waiting, position)
                break
            if await self._refusing.denied(tx, waiting):
                break
            await incoming.release(tx, waiting)
            # It may have been said to be lost before it came; what says so would hide the next gap of this line.
            await lost.remove(tx, line, waiting.seq)
            # Told when it came and had to wait, unless a version did not do that before an update.
            await self._effect(tx, waiting, told=await events.told_alert(tx, waiting.message_id))
            await self._answer_whole(tx, waiting)
            position = Position(waiting.seq, waiting.message_id)
        if position != begun:
            await sequences.advance(tx, line, position)
        return position.seq >= begun.seq + most

    async def _displace(
        self, tx: Transaction, line: Line, position: Position, message: ReceivedMessage, previous: MessageId | None
    ) -> None:
        """Expel what waits where `message` belongs, behind `previous`, if that is on a fork; else raise (SEQ-2)."""
        if place(position, Box(message.seq, previous, b"")) is Placement.DELIVER:
            raise PlaceTaken
        held = await incoming.held(tx, line, message.seq)
        if held is not None:
            await self._refusing.expel(tx, held, Position(message.seq, message.message_id))

    async def _effect(
        self, tx: Transaction, message: ReceivedMessage, *, late: bool = False, told: bool = False
    ) -> None:
        """Let a message have its effect; that it is an alert was `told` before if it had to wait.

        Of one that did not wait nothing was told, whoever else has sent an alert under its id (CON-9).
        """
        alert = _is_alert(message) and not told
        await events.message_received(tx, message.thread, message.message_id, self._clock(), alert=alert)
        await self._threads.received(tx, message, late=late)
        await _await(tx, message)
        await awaited.answered(tx, message.thread, message.payload_type, message.payload)
        self._log.event("message-received")

    async def _answer_whole(self, tx: Transaction, message: ReceivedMessage) -> None:
        """Answer a message that has its effect, if all its attachments are here; else it is when they are (ATT-7)."""
        if await attachments.complete(tx, message.message_id, message.sender_desk, message.recipient_desk):
            await self._answer(tx, message, first=message)

    async def _answer(
        self, tx: Transaction, message: ReceivedMessage, *, first: ReceivedMessage, incomplete: bool = False
    ) -> None:
        """Answer with A1 for `message`, which was taken in as `first`: the same, or an earlier sealing of it."""
        now = self._clock()
        answer = report(
            OPENED,
            digest=message.digest,
            message_id=message.message_id,
            thread=message.thread,
            sender=message.recipient_desk,
            actor=self._service,
            now=now,
            deadline=now + self._receipt_life,
            first=first,
            late=await moves.came_late(tx, message.thread, message.message_id),
            incomplete=incomplete,
        )
        await outgoing.add(tx, answer, {message.sender_desk: Plan()})
        await self._threads.answered(tx, answer, message.message_id)


async def _await(tx: Transaction, message: ReceivedMessage) -> None:
    """See to it that somebody hears if nobody takes a message up in time (KIND-7)."""
    await awaited.came(tx, message.message_id, message.payload_type, message.sender_desk, message.recipient_desk)


def _is_alert(message: ReceivedMessage) -> bool:
    return alert_in(message.payload_type, message.payload) is not None


def _line(message: ReceivedMessage) -> Line:
    return Line.of(Direction.IN, message.thread, message.sender_desk, message.recipient_desk, message.klass)


def _box(message: ReceivedMessage) -> Box:
    return Box(message.seq, message.previous, b"")


def _received(message: VerifiedMessage, marks: tuple[str, ...], now: int) -> ReceivedMessage:
    return ReceivedMessage(
        message_id=message.message_id,
        thread=message.thread,
        klass=message.klass,
        payload_type=message.payload_type,
        payload_version=message.payload_version,
        sender_desk=message.sender_desk,
        recipient_desk=message.recipient_desk,
        agency=message.sender_agency,
        device_id=message.device_id,
        actor=message.actor,
        envelope_id=message.envelope_id,
        digest=message.digest,
        seq=message.box.seq,
        previous=None if message.box.previous is None else MessageId(message.box.previous),
        state=IncomingState.DELIVERED,
        label=message.label,
        leaf_index=message.leaf_index,
        accepted_at=message.accepted_at,
        received_at=now,
        marks=marks,
        payload=message.payload,
        sections=tuple(
            ReceivedSection(number, section.category, section.purpose, section.label, section.body)
            for number, section in sorted(message.sections.items())
        ),
        after=message.after,
    )
