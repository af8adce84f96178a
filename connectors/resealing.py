# SPDX-License-Identifier: Apache-2.0
"""When a message of ours is sealed anew, under the same message_id and place in its thread (SEQ-4).

Four things cause it here: the hub says that an envelope expired uncollected (HTTP-11), or says nothing of its end
(CON-13); the recipient's device was replaced (DIR-7); the recipient says that it cannot open (CON-4). Each is
believed only as far as it can be: a notice must be the pinned hub's and of an envelope of ours, a report must come
from a desk and device that the very sealing was made for. That a desk asks for a message is the fifth (`owing`).
"""

from typing import Final

from connectors.cases.threads import Threads
from connectors.directory_sync import DirectorySync
from connectors.logs import Log
from connectors.lost_receipts import LOST, seal_lost_anew
from connectors.outbox import PinnedLog
from connectors.predecessor import Predecessor
from connectors.receipts import CANNOT_OPEN, OPENED, Report
from connectors.store import attempts, forgotten, outgoing, owed, recipients, sealings, underway
from connectors.store.attempts import Attempt, AttemptState
from connectors.store.engine import Store, Transaction
from connectors.store.incoming import ReceivedMessage
from connectors.store.recipients import RecipientRow, RecipientState
from connectors.store.sequences import MAIN, Direction, Line
from connectors.timing import Clock
from keys.verifying import verify_receipt
from protocol.address import DeskAddress
from protocol.errors import CannotOpen, KeystoreError, MalformedEnvelope, NotFound, PolicyDenied
from protocol.ids import KeyId, MessageId
from protocol.limits import DAY
from protocol.receipts import ReceiptKind, parse_receipt

SILENCE: Final = DAY
"""CON-13: after an envelope's end, by which its fate is known from whoever is honest."""
_UNANSWERED: Final = (AttemptState.READY, AttemptState.UPLOADING)
_ON_ITS_WAY = (RecipientState.SEALED, RecipientState.ACCEPTED)


class Resealing:
    """Judges what others say about our messages and puts desks back into the queue."""

    def __init__(
        self,
        store: Store,
        directory: DirectorySync,
        audit: PinnedLog,
        predecessor: Predecessor,
        threads: Threads,
        clock: Clock,
        log: Log,
    ) -> None:
        """`audit` is the pinned log whose notices are believed; `threads` is told what was opened."""
        self._store = store
        self._threads = threads
        self._directory = directory
        self._audit = audit
        self._predecessor = predecessor
        self._clock = clock
        self._log = log

    async def notice(self, tx: Transaction, raw: bytes) -> int:
        """Take a notice from the hub and return the place of the leaf that it names.

        Raises an `EnvelopeError` if it is not the pinned hub's, not of kind expired, or of no envelope of ours.
        """
        starts = self._directory.directory.audit_starts
        body = verify_receipt(raw, self._audit.origin, self._audit.key, starts)
        if body.kind is not ReceiptKind.EXPIRED:
            raise MalformedEnvelope("A notice tells of an expired envelope.")
        attempt = await attempts.by_id(tx, body.detail.envelope_id)
        if attempt is None or attempt.digest != body.detail.digest:
            raise PolicyDenied("The notice is of an envelope that this connector did not send.")
        if body.leaf.at < attempt.expires:
            # Signed all the same: the quarantine keeps it as evidence against the hub.
            raise PolicyDenied("The notice says that an envelope expired before its time.")
        await attempts.close(tx, attempt.envelope_id, AttemptState.EXPIRED, "expired")
        message = await outgoing.load(tx, attempt.message_id)
        for row in await recipients.of(tx, attempt.message_id):
            if row.envelope_id != attempt.envelope_id or row.state not in _ON_ITS_WAY:
                continue
            if message.deadline <= self._clock() and self._directory.clock_is_sound:
                await recipients.expire(tx, row.message_id, [row.desk])
            else:
                await recipients.requeue(tx, row, now=self._clock(), error="expired")
                self._log.event("resealing", code="expired")
        return body.place

    async def report(self, tx: Transaction, message: ReceivedMessage, said: Report) -> bool:
        """Take a verified receipt, which `message` carries and which says `said` (CON-4).

        False if it names another place in the log for a message of ours than the hub's receipt (CON-20).
        Raises `PolicyDenied` for a receipt about what that desk was not sent: receipts count only for one's own
        messages.
        """
        desk = message.sender_desk
        if message.payload_type == OPENED:
            if said.message is None:
                raise MalformedEnvelope("Who opened a message can say which.")
            if await self._is_forgotten(tx, said.message, message):
                return True
            row = await self._opened_row(tx, said, said.message, message)
            at = message.accepted_at
            if not said.incomplete:
                await recipients.opened(tx, row.message_id, desk, at)
            named = {"digest": said.envelope_digest, "first": said.first_digest}
            await sealings.opened(tx, row.message_id, desk, at=at, **named)
            agreed = await self._note_opened(tx, row, said, message)
            if (sent := await owed.sent(tx, row.message_id, desk)) is not None:
                await self._threads.found(tx, sent.thread)
            self._log.event("receipt-received", code=OPENED)
            return agreed
        attempt = await attempts.by_digest(tx, said.envelope_digest)
        row = await self._reported_row(tx, attempt, said, desk, message.device_id)
        self._log.event("receipt-received", code=CANNOT_OPEN)
        superseded = attempt is None or row.envelope_id != attempt.envelope_id
        if superseded or row.state not in _ON_ITS_WAY:
            # It was opened, or sealed anew, since: the report is late and changes nothing.
            return True
        await recipients.requeue(tx, row, now=self._clock(), error=CannotOpen.code, complained=True)
        self._log.event("resealing", code=CannotOpen.code)
        return True

    async def _note_opened(self, tx: Transaction, row: RecipientRow, said: Report, by: ReceivedMessage) -> bool:
        """Tell the thread where in the hub's order the sealing stands by which a message was taken in (LIF-4).

        The hub's own receipt says it best. Where its answer was lost the word of the desk that has the sealing counts.
        Returns False where both are known and differ, of a log that was never set back.
        """
        taken = await attempts.by_digest(tx, said.first_digest)
        receipt = None
        # It may name none of ours, or one that is forgotten.
        if taken is not None and taken.message_id == row.message_id and by.sender_desk in taken.devices:
            receipt = await attempts.receipt(tx, taken.envelope_id)
        sealing, settled = None, True
        if receipt is not None:
            # It was verified before it was stored, and the generation that it is of may have ended since.
            body = parse_receipt(receipt).body
            sealing = body.place, body.leaf.at
        elif said.place is not None and said.place[0] < by.leaf_index and said.place[1] <= by.accepted_at:
            sealing = said.place
            # Where the answer may still come it has the last word.
            settled = taken is None or taken.state not in _UNANSWERED
        seq = None if said.late else row.seq
        await self._threads.opened(tx, row.message_id, by.sender_desk, sealing, by, seq=seq, settled=settled)
        # A hub that was restored gives what it had lost another place, and whoever had it keeps the first.
        set_back = len(self._directory.directory.audit_starts) > 1
        return set_back or receipt is None or said.place is None or said.place == sealing

    async def _reported_row(
        self, tx: Transaction, attempt: Attempt | None, said: Report, desk: DeskAddress, device: KeyId
    ) -> RecipientRow:
        if attempt is None or attempt.devices.get(desk) != device:
            raise PolicyDenied("The receipt is of an envelope that its sender was not sent.")
        if said.message not in (attempt.message_id, None):
            raise PolicyDenied("The receipt names another message than the envelope that it is of.")
        return await self._sent_row(tx, attempt.message_id, desk)

    async def _is_forgotten(self, tx: Transaction, message_id: MessageId, by: ReceivedMessage) -> bool:
        """Note that a desk opened what the machine before this one said and this one does not know (SEQ-12)."""
        if await self._predecessor.behind(tx, by.recipient_desk) is None or await owed.is_ours(tx, message_id):
            return False
        line = Line(Direction.OUT, by.thread, by.recipient_desk, by.sender_desk, MAIN)
        await forgotten.note(tx, line, 1, self._clock())
        await self._threads.forgotten(tx, by.thread)
        self._log.event("receipt-received", code=OPENED)
        return True

    async def _opened_row(
        self, tx: Transaction, said: Report, message_id: MessageId, by: ReceivedMessage
    ) -> RecipientRow:
        """Return what A1 is of: said by the device that was sent it, or by the one that serves the desk since.

        What a machine before this one sealed after its backup is not known here, and may have been opened all the same.
        """
        desk, device = by.sender_desk, by.device_id
        attempt = await attempts.by_digest(tx, said.envelope_digest)
        if attempt is None and await self._predecessor.behind(tx, by.recipient_desk) is not None:
            return await self._sent_row(tx, message_id, desk)
        serving = self._directory.directory.desk(desk, self._clock())
        serves = serving is not None and serving.device is not None and serving.device.key_id == device
        if attempt is not None and serves:
            device = attempt.devices.get(desk, device)
        return await self._reported_row(tx, attempt, said, desk, device)

    async def _sent_row(self, tx: Transaction, message_id: MessageId, desk: DeskAddress) -> RecipientRow:
        try:
            return await recipients.find(tx, message_id, desk)
        except NotFound:
            raise PolicyDenied("The receipt is of a message that its sender was not sent.") from None

    async def follow_directory(self) -> int:
        """Queue anew what was sealed for a device that no longer serves its desk; return how many desks.

        What waited for another agency to publish a device or a prekey is looked at again as well.
        """
        now = self._clock()
        moved = 0
        async with self._store.write() as tx:
            if lost := await seal_lost_anew(tx, self._directory.directory.audit_starts, now):
                self._log.event("resealing", code=LOST, count=lost)
            await recipients.wake(tx, now)
            for message_id, address in await underway.astray(tx):
                row = await recipients.find(tx, message_id, address)
                await recipients.requeue(tx, row, now=now, error=KeystoreError.code)
            states = tuple(str(state) for state in _ON_ITS_WAY)
            for message_id, address, device in await underway.waiting_devices(tx, states):
                desk = self._directory.directory.desk(address, now)
                if desk is None or desk.device is None or desk.device.key_id == device:
                    continue
                row = await recipients.find(tx, message_id, address)
                await self._let_go(tx, row)
                await recipients.requeue(tx, row, now=now, error="device-replaced")
                moved += 1
            for message_id, address, device in await underway.given_up_devices(tx, now):
                desk = self._directory.directory.desk(address, now)
                if desk is None or desk.device is None or desk.device.key_id == device:
                    continue
                # What the old device could never open the new one may, and its place waits for it (SEQ-11).
                row = await recipients.find(tx, message_id, address)
                await owed.begin_again(tx, row, now=now, error="device-replaced", new_device=True)
                moved += 1
        if moved:
            self._log.event("resealing", code="device-replaced", count=moved)
        return moved

    async def follow_silence(self, drained_at: int | None) -> int:
        """Queue anew what the hub accepted and of whose end it never told, and return how many desks (CON-13).

        `drained_at` is when the mailbox was last found empty, in ms UTC: a day after its end there is a receipt of
        the desk in it or a notice of the hub, or the hub has dropped the envelope and said nothing.
        """
        if drained_at is None or not self._directory.clock_is_sound:
            return 0
        now = self._clock()
        async with self._store.read() as tx:
            if not await underway.silent(tx, drained_at - SILENCE):
                return 0
        async with self._store.write() as tx:
            found = await underway.silent(tx, drained_at - SILENCE)
            for message_id, desk in found:
                await recipients.requeue(tx, await recipients.find(tx, message_id, desk), now=now, error="no-notice")
        if found:
            self._log.event("resealing", code="no-notice", count=len(found))
        return len(found)

    async def _let_go(self, tx: Transaction, row: RecipientRow) -> None:
        """Stop sending an envelope that the hub would refuse whole, and queue its other desks too."""
        if row.state is not RecipientState.SEALED or row.envelope_id is None:
            return
        await attempts.close(tx, row.envelope_id, AttemptState.LAPSED, "device-replaced")
        for other in await recipients.of(tx, row.message_id):
            if other.envelope_id == row.envelope_id and other.state is RecipientState.SEALED:
                await recipients.requeue(tx, other, now=self._clock(), error="device-replaced")
