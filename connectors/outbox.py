# SPDX-License-Identifier: Apache-2.0
"""Sends sealed envelopes: the same bytes, until a receipt comes or a permanent error says otherwise (CON-1, CON-2).

Only a receipt that verifies counts, for this very envelope and from the pinned hub. Transient refusals are
tried again with growing, jittered pauses; a refusal because the directory moved on makes the message be sealed
anew; everything else is permanent and shown at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from connectors.cases.threads import Threads
from connectors.directory_sync import DirectorySync
from connectors.faults import DAMAGED
from connectors.hub_client import Outcome, Submitter
from connectors.logs import Log
from connectors.portion import BROKEN, Portion
from connectors.store import attempts, recipients, untried
from connectors.store.attempts import AttemptState, ReadyEnvelope
from connectors.store.engine import Store, Transaction
from connectors.store.recipients import RecipientRow, RecipientState
from connectors.timing import LONGEST_PAUSE, Chance, Clock, pause, refused_pause, system_chance
from keys.verifying import verify_receipt
from protocol.errors import (
    AttachmentMissing,
    DirectoryError,
    DirectorySplit,
    EnvelopeError,
    EnvelopeIdReused,
    Expired,
    KeystoreError,
    RecipientUnavailable,
    Revoked,
    SenderMismatch,
    ThroughcareError,
    TooManyRequests,
    UnexpectedAnswer,
    UntrustedKey,
)
from protocol.frames import MAX_BATCH_BODY
from protocol.ids import EnvelopeId
from protocol.limits import MAX_BATCH, SECOND
from protocol.receipts import ReceiptBody, ReceiptKind

_SEAL_ANEW: Final = (EnvelopeIdReused, Expired, RecipientUnavailable, Revoked, UntrustedKey)
"""Refusals that a fresh look at the directory and a fresh sealing may mend (SEQ-4)."""
_BATCH_BYTES: Final = MAX_BATCH_BODY - 64 * 1024


@dataclass(frozen=True, slots=True)
class PinnedLog:
    """The hub's audit log as enrolment pinned it: whose receipts count (AUD-6)."""

    origin: str
    key: bytes


@dataclass(frozen=True, slots=True)
class _Accepted:
    """An envelope that the hub has, by a receipt that was verified."""

    envelope_id: EnvelopeId
    receipt: bytes
    body: ReceiptBody


class Outbox:
    """Sends what the sealer made. `step` may be called at any time."""

    def __init__(
        self,
        store: Store,
        audit: PinnedLog,
        directory: DirectorySync,
        threads: Threads,
        clock: Clock,
        log: Log,
        *,
        chance: Chance = system_chance,
    ) -> None:
        """`audit` is the pinned log whose receipts are believed; `threads` is told where the hub put what it took."""
        self._directory = directory
        self._threads = threads
        self._store = store
        self._audit = audit
        self._clock = clock
        self._log = log
        self._chance = chance
        self._quiet_until = 0
        self._portion = Portion(MAX_BATCH)

    async def step(self, link: Submitter) -> int:
        """Send what is due in one batch and return how many envelopes were answered.

        Raises `HubUnreachable` and the like if the batch itself failed: nothing has changed then, and the very
        same bytes go out again (CON-1), fewer at once; one that was alone comes after the others (CON-15).
        """
        await self._drop_lapsed()
        if self._is_quiet():
            return 0
        async with self._store.read() as tx:
            found = await attempts.ready(tx, self._clock(), limit=self._portion.size, most_bytes=_BATCH_BYTES)
        ready = [envelope for envelope in found if envelope.raw]
        for envelope in found:
            if not envelope.raw:
                await self.replace_damaged(envelope.envelope_id)
        if not ready:
            return 0
        try:
            with self._portion.tried():
                if not (ready := await self._begin(link, ready)):
                    return 0
                outcomes = await link.submit([envelope.raw for envelope in ready])
        except BROKEN:
            if len(ready) == 1:
                async with self._store.write() as tx:
                    await attempts.broke(tx, ready[0].envelope_id, self._clock())
            raise
        answers = [self._judge(envelope, outcome) for envelope, outcome in zip(ready, outcomes, strict=True)]
        for envelope, answer in zip(ready, answers, strict=True):
            if isinstance(answer, ThroughcareError):
                await self._refused(envelope, answer)
        await self._accepted([one for one in answers if isinstance(one, _Accepted)])
        return len(ready)

    async def _begin(self, link: Submitter, ready: list[ReadyEnvelope]) -> list[ReadyEnvelope]:
        """Return what of `ready` may be sent, after noting for good which of it was here only until now (CON-22).

        No try begins before the hub has answered: while it is away what waits can still be called back.
        """
        first = [envelope.envelope_id for envelope in ready if envelope.here_only]
        if not first:
            return ready
        await link.reach()
        async with self._store.write() as tx:
            begun = await untried.begin(tx, first)
        return [envelope for envelope in ready if not envelope.here_only or envelope.envelope_id in begun]

    async def replace_damaged(self, envelope_id: EnvelopeId) -> None:
        """Give up a sealing whose stored bytes the disk has damaged: its message is sealed anew (CON-8)."""
        async with self._store.write() as tx:
            await self._seal_anew(tx, envelope_id, AttemptState.LAPSED, KeystoreError.code, self._clock(), hold=False)
        self._log.event("part-failed", part="outbox", code=KeystoreError.code)

    async def next_due(self) -> int | None:
        """Return when there is something to seal or to send next, in ms UTC, or None if there is nothing."""
        async with self._store.read() as tx:
            sealing, sending = await recipients.next_sealing_at(tx), await attempts.next_sending_at(tx)
        if sending is not None and self._is_quiet():
            sending = max(sending, self._quiet_until)
        return min((at for at in (sealing, sending) if at is not None), default=None)

    async def _drop_lapsed(self) -> None:
        """Give up sealings that expired while the hub was out of reach, and have their desks sealed for anew."""
        if not self._directory.clock_is_sound:
            return  # a sealing is spent by it, and a message has few (CON-23, SEQ-6)
        now = self._clock()
        async with self._store.read() as tx:
            if not await attempts.lapsed(tx, now):
                return
        async with self._store.write() as tx:
            for envelope_id in await attempts.lapsed(tx, now):
                await self._seal_anew(tx, envelope_id, AttemptState.LAPSED, Expired.code, now, hold=False)

    def _judge(self, envelope: ReadyEnvelope, outcome: Outcome) -> _Accepted | ThroughcareError:
        if not isinstance(outcome, bytes):
            return outcome
        try:
            return _Accepted(envelope.envelope_id, outcome, self._check_receipt(envelope, outcome))
        except (EnvelopeError, DirectoryError):
            # Whatever the hub did with the envelope, it has given no evidence of it; unless it was restored, and its
            # directory says more of that than is known here.
            self._directory.wanted.set()
            return UnexpectedAnswer()

    async def _refused(self, envelope: ReadyEnvelope, refusal: ThroughcareError) -> None:
        now = self._clock()
        if isinstance(refusal, TooManyRequests):
            self._slow_down(refusal)
            return
        async with self._store.write() as tx:
            if isinstance(refusal, _SEAL_ANEW):
                # The hub knows a newer directory: with this one a fresh sealing would be refused again.
                self._directory.wanted.set()
                await self._seal_anew(tx, envelope.envelope_id, AttemptState.LAPSED, refusal.code, now, hold=True)
            elif refusal.retryable or isinstance(refusal, UnexpectedAnswer):
                wait = max(pause(envelope.tries, self._chance), (refusal.retry_after or 0) * SECOND)
                await attempts.postpone(
                    tx, envelope.envelope_id, tries=envelope.tries + 1, until=now + wait, error=refusal.code
                )
            elif isinstance(refusal, AttachmentMissing):
                # The hub has dropped what was uploaded, by age or by being restored: the same bytes go there again.
                until = now + pause(envelope.tries, self._chance)
                await attempts.postpone(
                    tx, envelope.envelope_id, tries=envelope.tries + 1, until=until, error=refusal.code
                )
                await attempts.upload_again(tx, envelope.envelope_id)
            else:
                await self._give_up(tx, envelope.envelope_id, refusal)
        self._log.event("envelope-refused", code=refusal.code)

    def _is_quiet(self) -> bool:
        """Tell whether the hub's wish still counts; not if a clock that was ahead wrote it down (CON-24)."""
        return 0 < self._quiet_until - self._clock() <= 2 * LONGEST_PAUSE

    def _slow_down(self, refusal: TooManyRequests) -> None:
        """Send nothing for as long as the hub asks; what waits stays as it is and goes out then (HTTP-14)."""
        now, wait = self._clock(), (refusal.retry_after or 1) * SECOND
        until = now + wait + int(self._chance() * wait)
        if self._is_quiet():
            self._quiet_until = max(self._quiet_until, until)
            return
        # Once for the whole batch.
        self._log.event("envelope-refused", code=refusal.code)
        self._quiet_until = until

    def _check_receipt(self, envelope: ReadyEnvelope, raw: bytes) -> ReceiptBody:
        """Return what the receipt says if it is the pinned hub's, of this envelope, accepted (AUD-6)."""
        body = verify_receipt(raw, self._audit.origin, self._audit.key, self._directory.directory.audit_starts)
        detail = body.detail
        if (body.kind, detail.envelope_id, detail.digest) != (
            ReceiptKind.ACCEPTED,
            envelope.envelope_id,
            envelope.digest,
        ):
            raise SenderMismatch("The receipt is of another envelope.")
        return body

    async def _accepted(self, answers: Sequence[_Accepted]) -> None:
        """Store what the hub accepted, all of it at once.

        What is stored of one thread may be damaged: its message is accepted all the same, and only that thread does not
        learn where it stands. Else the same bytes would go out again and again, in the way of others (CON-8).
        """
        if not answers:
            return
        try:
            await self._store_accepted(answers, told=True)
        except DAMAGED:
            for one in answers:
                try:
                    await self._store_accepted([one], told=True)
                except DAMAGED as error:
                    self._log.event("part-failed", part="outbox", code=error.code)
                    await self._store_accepted([one], told=False)

    async def _store_accepted(self, answers: Sequence[_Accepted], *, told: bool) -> None:
        async with self._store.write() as tx:
            for one in answers:
                message_id = await attempts.accept(tx, one.envelope_id, one.receipt)
                if self._directory.contradicts(one.body):
                    # It was accepted; that the hub shows others another directory is another matter (DIR-18).
                    await self._directory.keep_receipt(tx, one.receipt)
                    self._log.event("directory-inconsistent", code=DirectorySplit.code)
                await recipients.accepted(tx, one.envelope_id, one.body.leaf.at)
                if told and message_id is not None:
                    await self._threads.accepted(tx, message_id, one.envelope_id, one.body.place, one.body.leaf.at)
        for _ in answers:
            self._log.event("envelope-accepted")

    async def give_up(self, envelope_id: EnvelopeId, refusal: ThroughcareError) -> None:
        """End a sealing for a permanent reason, which is shown (CON-2)."""
        async with self._store.write() as tx:
            await self._give_up(tx, envelope_id, refusal)

    async def _give_up(self, tx: Transaction, envelope_id: EnvelopeId, refusal: ThroughcareError) -> None:
        rows = await _waiting_on(tx, envelope_id)
        await attempts.close(tx, envelope_id, AttemptState.REFUSED, refusal.code)
        for row in rows:
            await recipients.fail(tx, row.message_id, [row.desk], refusal.code)

    async def _seal_anew(
        self, tx: Transaction, envelope_id: EnvelopeId, state: AttemptState, code: str, now: int, *, hold: bool
    ) -> None:
        """Close an attempt and queue its desks; `hold` them until the directory moves or a growing pause is over."""
        rows = await _waiting_on(tx, envelope_id)
        await attempts.close(tx, envelope_id, state, code)
        for row in rows:
            until = now + refused_pause(row.seals, self._chance) if hold else now
            await recipients.requeue(tx, row, now=until, error=code)


async def _waiting_on(tx: Transaction, envelope_id: EnvelopeId) -> list[RecipientRow]:
    """Return the desks whose newest sealing is `envelope_id`, still on its way to the hub."""
    attempt = await attempts.by_id(tx, envelope_id)
    if attempt is None:
        return []
    rows = await recipients.of(tx, attempt.message_id)
    return [row for row in rows if row.envelope_id == envelope_id and row.state is RecipientState.SEALED]
