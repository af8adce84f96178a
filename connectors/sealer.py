# SPDX-License-Identifier: Apache-2.0
"""Turns stored messages into sealed envelopes, once for each attempt (CON-1, SEQ-4).

Recipients, devices and prekeys come from this connector's own replayed directory and from nowhere else
(DIR-12). The sealed bytes and the state of every desk are stored in one transaction before anything is sent.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from connectors.cases import consents
from connectors.cases.stopped import Withholding, withheld_for
from connectors.composition import Composer, Composition, compose
from connectors.directory_sync import DirectorySync
from connectors.faults import TRANSIENT
from connectors.logs import Log
from connectors.officers import Officers
from connectors.store import attachments, attempts, outgoing, progress, recipients
from connectors.store.attempts import Attempt, AttemptState
from connectors.store.engine import Store, Transaction
from connectors.store.outgoing import OutgoingMessage
from connectors.store.recipients import DAMAGED, RecipientRow, RecipientState
from connectors.store.sealings import Record
from connectors.timing import Chance, Clock, patience, system_chance
from keys.directory import DeskEntry
from keys.sealing import MessageDraft, PrekeyChoice, Recipient, choose_prekey, seal
from keys.signing import DeviceSigner
from protocol import ids
from protocol.address import DeskAddress, agency_of
from protocol.envelope import parse_envelope
from protocol.errors import (
    ClockSkewed,
    DirectoryError,
    EnvelopeError,
    InternalError,
    InvalidInput,
    NothingToSend,
    RecipientUnavailable,
    ThroughcareError,
)
from protocol.ids import EnvelopeId, KeyId, MessageId
from protocol.kinds.alerting import NEVER_HALF
from protocol.sections import Actor

BARE: Final = "without-attachments"
"""The mark of a sealing for which the attachments were not here any more."""
OLD_DIRECTORY: Final = "old-directory"
"""The mark of a sealing by a directory that was last confirmed over 24 hours ago (DIR-11)."""
_AT_ONCE: Final = 20
"""Messages sealed in one step, before the loop looks at other work."""


@dataclass(frozen=True, slots=True)
class _Target:
    """A desk that can be sealed for now."""

    row: RecipientRow
    desk: DeskEntry
    choice: PrekeyChoice


class Sealer:
    """Seals what is due. `step` may be called at any time; a refused directory makes it seal nothing."""

    def __init__(
        self,
        store: Store,
        directory: DirectorySync,
        device: DeviceSigner,
        officers: Officers,
        composers: Mapping[str, Composer],
        envelope_life: int,
        clock: Clock,
        log: Log,
        *,
        chance: Chance = system_chance,
    ) -> None:
        """`officers` says who acts; `composers` by payload type; `envelope_life` in ms."""
        self._store = store
        self._directory = directory
        self._device = device
        self._officers = officers
        self._composers = composers
        self._envelope_life = envelope_life
        self._clock = clock
        self._log = log
        self._chance = chance
        self._expired_up_to = 0

    async def step(self) -> int:
        """Seal what is due and return how many envelopes were made.

        Raises `DirectoryInconsistent`, `DirectoryStale` or `ClockSkewed` if nothing may be sealed now (DIR-10,
        DIR-11); what is queued stays queued.
        """
        await self._expire()
        async with self._store.read() as tx:
            due = await recipients.to_seal(tx, self._clock(), _AT_ONCE)
        if not due:
            return 0
        async with self._directory.settled():
            # Asked once: were the clock put ahead meanwhile, what is being sealed would fail for it, and for good.
            marks = (OLD_DIRECTORY,) if self._directory.check_sealing() else ()
            try:
                return await self._seal_messages(due, marks)
            except TRANSIENT:
                raise
            except Exception:  # noqa: BLE001 # one of them cannot be sealed: each for itself shows which (CON-8)
                return sum([await self._try_message(message_id, marks) for message_id in due])

    async def _expire(self) -> None:
        """Give up what nobody opened in time; what was looked at once is not looked through at every step again."""
        if not self._directory.clock_is_sound:
            return  # it is final, and this clock may be months ahead (CON-23)
        now = self._clock()
        since = self._expired_up_to if self._expired_up_to <= now else 0  # the clock was set back: look at all
        async with self._store.read() as tx:
            overdue = await progress.overdue(tx, now, since=since)
        if overdue:
            async with self._store.write() as tx:
                for message_id, desk in await progress.overdue(tx, now, since=since):
                    await recipients.expire(tx, message_id, [desk])
        self._expired_up_to = now

    async def _try_message(self, message_id: MessageId, marks: tuple[str, ...]) -> int:
        """Seal for one message; one that cannot be composed fails visibly, and holds up no other (CON-8)."""
        try:
            return await self._seal_messages([message_id], marks)
        except TRANSIENT:
            raise
        except Exception as error:  # noqa: BLE001 # whatever it is, the other messages must go out
            told = error if isinstance(error, ThroughcareError) else InternalError()
            self._log.event("part-failed", part="sealer", code=type(error).__name__)
            async with self._store.write() as tx:
                await recipients.fail_queued(tx, message_id, self._clock(), told.code)
            return 0

    async def _seal_messages(self, message_ids: Sequence[MessageId], marks: tuple[str, ...]) -> int:
        # One transaction from reading the state to storing the bytes: two processes never seal for one desk.
        async with self._store.write() as tx:
            made = [await self._seal_message(tx, message_id, marks) for message_id in message_ids]
        for count in filter(None, made):
            self._log.event("message-sealed", count=count)
        return sum(made)

    async def _seal_message(self, tx: Transaction, message_id: MessageId, marks: tuple[str, ...]) -> int:
        message, more = await _as_kept(tx, await outgoing.load(tx, message_id))
        now = self._clock()
        rows = [
            row
            for row in await recipients.of(tx, message_id)
            if row.state is RecipientState.QUEUED and row.next_try_at <= now
        ]
        if message.deadline <= now:
            # By a sound clock it were given up: it waits until the clock is known to be that.
            for row in rows:
                until = now + patience(now - message.created_at, self._chance)
                await recipients.wait(tx, message_id, row.desk, until=until, error=ClockSkewed.code)
            return 0
        targets = [target for row in rows if (target := await self._target(tx, message, row, now)) is not None]
        return sum([await self._seal_group(tx, message, group, marks + more, now) for group in _groups(targets)])

    async def _target(self, tx: Transaction, message: OutgoingMessage, row: RecipientRow, now: int) -> _Target | None:
        directory = self._directory.directory
        try:
            desk = directory.desk(row.desk, now)
            if desk is None:
                raise RecipientUnavailable
            self._officers.current(message.actor)
            return _Target(row, desk, choose_prekey(directory, row.desk, now))
        except DirectoryError as error:
            # Another agency must act first, or this one renew itself; it is shown and looked at again (CON-2, CON-12).
            until = now + patience(now - message.created_at, self._chance)
            await recipients.wait(tx, message.message_id, row.desk, until=until, error=error.code)
            self._directory.wanted.set()
            self._log.event("message-waiting", code=error.code)
            return None

    async def _seal_group(
        self, tx: Transaction, message: OutgoingMessage, group: Sequence[_Target], marks: tuple[str, ...], now: int
    ) -> int:
        composer = self._composers[message.payload_type]
        stopped = await withheld_for(tx, message) if message.source else None
        kept_back = stopped is not None
        if stopped is not None:
            composer = Withholding(composer, stopped)
        elif message.source and consents.resting_on_consent(message) and await consents.is_over(tx, message.message_id):
            composer, kept_back = consents.WithoutConsent(composer), True
        functions = {target.row.desk: target.desk.function for target in group}
        composition = compose(composer, message, functions)
        alert = message.payload_type in NEVER_HALF
        if message.source and not message.klass.bare and (alert or not kept_back):
            lacks = _is_halved if alert else _is_emptied
            empty = [target.row.desk for target in group if lacks(target.row, composition)]
            if empty:
                await recipients.fail(tx, message.message_id, empty, NothingToSend.code)
            group = [target for target in group if target.row.desk not in empty]
        if not group:
            return 0
        try:
            await self._seal(tx, message, group, composition, marks, now)
        except (EnvelopeError, DirectoryError, InvalidInput) as error:
            desks = [target.row.desk for target in group]
            await recipients.fail(tx, message.message_id, desks, error.code)
            self._log.event("envelope-refused", code=error.code)
            return 0
        return 1

    async def _seal(
        self,
        tx: Transaction,
        message: OutgoingMessage,
        group: Sequence[_Target],
        composition: Composition,
        marks: tuple[str, ...],
        now: int,
    ) -> None:
        envelope_id = EnvelopeId(ids.new_id())
        expires = min(now + self._envelope_life, message.deadline)
        directory = self._directory.directory
        actor = self._officers.current(message.actor)
        raw = seal(
            _draft(message, composition, actor, expires),
            [_recipient(target, composition) for target in group],
            self._device,
            (directory.size, directory.root),
            now=now,
            envelope_id=envelope_id,
        )
        devices: dict[DeskAddress, KeyId] = {target.row.desk: target.choice.device.key_id for target in group}
        parsed = parse_envelope(raw)
        named = any(row.blobs for row in parsed.rows)
        attempt = Attempt(
            envelope_id=envelope_id,
            message_id=message.message_id,
            digest=parsed.digest,
            expires=expires,
            state=AttemptState.UPLOADING if named else AttemptState.READY,
            tries=0,
            devices=devices,
            error=None,
        )
        plans = {
            target.row.desk: replace(composition.plans[target.row.desk], marks=_marks(target) + marks)
            for target in group
        }
        # Receipts and notices hold nothing that differs from one sealing to the next.
        records = {
            target.row.desk: Record(plans[target.row.desk], target.desk.function, actor, now)
            for target in group
            if not message.klass.bare
        }
        await attempts.add(tx, attempt, raw, now, records)
        for target in group:
            await recipients.sealed(tx, target.row, envelope_id, plans[target.row.desk])


def _marks(target: _Target) -> tuple[str, ...]:
    return ("old-prekey",) if target.choice.marked else ()


def _is_emptied(row: RecipientRow, composition: Composition) -> bool:
    """Tell whether nothing may go any more to a desk that was to get sections: bare it would say something else.

    A copy that may see none of them was never to get any, and is told the move all the same (HAN-5).
    """
    promised = bool(row.plan.going) or DAMAGED in row.plan.marks
    return promised and not composition.plans[row.desk].going


def _is_halved(row: RecipientRow, composition: Composition) -> bool:
    """Tell whether something may not go any more of what a desk was to get (KIND-8)."""
    return _is_emptied(row, composition) or not set(row.plan.going) <= set(composition.plans[row.desk].going)


async def _as_kept(tx: Transaction, message: OutgoingMessage) -> tuple[OutgoingMessage, tuple[str, ...]]:
    """Return a message as it can be sealed now, and how that is marked.

    Attachments are deleted here once all desks have opened the message; one that lost it gets the rest (SEQ-10).
    """
    named = [entry.blob_id for _, entry in message.attachments]
    if not named or await attachments.kept(tx, named):
        return message, ()
    return replace(message, attachments=()), (BARE,)


def _groups(targets: Iterable[_Target]) -> list[list[_Target]]:
    """Put desks into envelopes: what begins a thread shares one, but never two desks of one device (ENV-2).

    A desk that is sealed for anew, or was told something before, gets an envelope of its own, so that what it still
    lacks is nobody else's trouble: an envelope waits until all its desks have what was said before (SEQ-8).
    """
    groups: list[list[_Target]] = []
    for target in targets:
        fitting = (
            group
            for group in groups
            if _is_first(target.row)
            and _is_first(group[0].row)
            and all(other.choice.device.key_id != target.choice.device.key_id for other in group)
        )
        group = next(fitting, None)
        if group is None:
            groups.append([target])
        else:
            group.append(target)
    return groups


def _is_first(row: RecipientRow) -> bool:
    return (row.seals, row.seq) == (0, 1)


def _draft(message: OutgoingMessage, composition: Composition, actor: Actor, expires: int) -> MessageDraft:
    return MessageDraft(
        sender_desk=message.sender_desk,
        agency=agency_of(message.sender_desk),
        klass=message.klass,
        message_id=message.message_id,
        thread=message.thread,
        after=message.after,
        expires=expires,
        payload_type=message.payload_type,
        payload_version=message.payload_version,
        payload=message.payload,
        label=message.label,
        sections=composition.sections,
        actor=actor,
        participants=message.participants,
    )


def _recipient(target: _Target, composition: Composition) -> Recipient:
    return Recipient(
        desk=target.row.desk,
        device_id=target.choice.device.key_id,
        prekey_epoch=target.choice.prekey.epoch,
        prekey_public=target.choice.prekey.public,
        sections=composition.numbers[target.row.desk],
        seq=target.row.seq,
        previous=target.row.previous,
        due=None,
        answers=None,
    )
