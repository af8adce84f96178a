# SPDX-License-Identifier: Apache-2.0
"""Takes what the hub delivers: each item has its whole effect in one transaction, or none (CON-3, ENV-19).

The hub is not believed. What it repeats, swaps, cuts, splices or withholds is noticed by the receipt, the replay
cache, the signatures or the sequence; the item goes into quarantine with its reason, the sender is told where it
is known, and the mailbox goes on (HTTP-10).
"""

import sqlite3
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from connectors.admission import Admission
from connectors.cases.threads import Threads
from connectors.delivery import Delivery
from connectors.directory_sync import DirectorySync
from connectors.logs import Log
from connectors.outbox import PinnedLog
from connectors.owing import Owing
from connectors.receipts import CANNOT_OPEN, report
from connectors.refusing import PlaceTaken
from connectors.renumbering import Renumbering
from connectors.resealing import Resealing
from connectors.signed_by import signed_by
from connectors.store import incoming, lost, mailboxes, outgoing, quarantine
from connectors.store.engine import Store, Transaction
from connectors.store.quarantine import Quarantined
from connectors.store.recipients import Plan
from connectors.store.sequences import Line
from connectors.timing import Clock
from keys.directory import Directory
from keys.opening import Peeked, VerifiedMessage, open_slice, peek
from keys.verifying import verify_receipt
from keys.xwing import XWingSecret
from protocol import ids
from protocol.address import DeskAddress
from protocol.errors import (
    BadSignature,
    CannotOpen,
    DirectoryInconsistent,
    DirectorySplit,
    DirectoryStale,
    HubUnreachable,
    InternalError,
    KeystoreError,
    MalformedEnvelope,
    OurError,
    PolicyDenied,
    Replayed,
    SenderMismatch,
    ThroughcareError,
    UntrustedKey,
)
from protocol.frames import Item, ItemKind
from protocol.ids import EnvelopeId, KeyId, ThreadId
from protocol.limits import PREKEY_MARKED
from protocol.receipts import Detail, ReceiptBody, ReceiptKind
from protocol.sections import Actor
from protocol.slices import parse_slice

_REPORTED: Final = (
    CannotOpen,
    BadSignature,
    SenderMismatch,
    MalformedEnvelope,
    PolicyDenied,
    UntrustedKey,
    InternalError,
    PlaceTaken,
)
"""Faults that a fresh sealing by its sender may mend, and mistakes of ours: it comes again (SEQ-4, HTTP-10)."""
RELEASED_AT_ONCE: Final = 50
"""SEQ-7: messages that have their effect in one transaction when the gap before them has closed."""
_LOCAL: Final = (OurError, KeystoreError, SQLAlchemyError, sqlite3.Error, OSError)
"""Faults of this installation: the item is left where it is and taken again."""


@dataclass(frozen=True, slots=True)
class OwnDevice:
    """Whom mail is for: this device, its desks, and the service account that answers for them."""

    device_id: KeyId
    desks: Collection[DeskAddress]
    service: Actor


@dataclass(slots=True)
class _Before:
    """Which envelopes of a batch were seen before, and up to where the mailbox is stored; kept up as items are taken.

    It spares work and decides nothing: whether an item has its effect is asked again where that is stored.
    """

    seen: set[EnvelopeId]
    stored: int


class Inbox:
    """Takes items of one mailbox, in any order and as often as the hub likes to repeat them."""

    def __init__(
        self,
        store: Store,
        directory: DirectorySync,
        own: OwnDevice,
        prekey: Callable[[int], XWingSecret | None],
        audit: PinnedLog,
        admission: Admission,
        resealing: Resealing,
        owing: Owing,
        renumbering: Renumbering,
        threads: Threads,
        clock: Clock,
        log: Log,
        *,
        receipt_life: int,
    ) -> None:
        """`prekey` gives the secret of an epoch while it is kept; `receipt_life` in ms."""
        self._store = store
        self._directory = directory
        self._own = own
        self._prekey = prekey
        self._audit = audit
        self._admission = admission
        self._resealing = resealing
        self._delivery = Delivery(
            own.service, resealing, owing, renumbering, threads, clock, log, receipt_life=receipt_life
        )
        self._clock = clock
        self._log = log
        self._receipt_life = receipt_life
        self._acknowledged = -1
        # Quarantined items are passed in memory only: nothing vouches for the place that they claim, and a lie
        # must not outlive the link that told it.
        self._passed = -1
        self._looked = False

    async def reconnected(self) -> None:
        """Begin a new link: what is known of the mailbox's places is what was verified and stored (HTTP-7).

        What is held although its gap has closed has its effect now, whether an end in the middle left it so or it
        could not be released before (SEQ-7).
        """
        async with self._store.read() as tx:
            self._passed = await mailboxes.stored_up_to(tx, self._own.device_id)
        self._acknowledged = -1
        self._looked = False
        await self._release()

    async def cursor(self) -> int:
        """Return the first leaf index that is not stored here yet."""
        async with self._store.read() as tx:
            return max(await mailboxes.stored_up_to(tx, self._own.device_id), self._passed) + 1

    async def unacknowledged(self) -> int | None:
        """Return up to where the hub is still to be told that all is stored, or None if it knows.

        Only what is committed counts (CON-3). That the hub knows is kept in memory: telling it once more after a
        restart is harmless.
        """
        up_to = await self.cursor() - 1
        return up_to if up_to > self._acknowledged else None

    def acknowledged(self, up_to: int) -> None:
        """Note that the hub was told."""
        self._acknowledged = up_to

    async def take(self, items: Sequence[Item]) -> None:
        """Take `items`; when this returns all of them are stored, and only then may they be acknowledged.

        Raises only what is this installation's own trouble, or the hub being out of reach for the directory:
        then the item in question was not taken, and nothing of it is stored.
        """
        peeks = [_peeked(item) for item in items]
        before = await self._before([peeked.envelope_id for peeked in peeks if peeked])
        for item, peeked in zip(items, peeks, strict=True):
            try:
                await self._take(item, peeked, before)
            except DirectorySplit as error:
                await self._quarantine(item, error)
            except DirectoryInconsistent:
                # The hub's directory itself is refused: mail waits until it is put right, and nothing is lost.
                raise
            except _LOCAL:
                raise
            except ThroughcareError as error:
                await self._quarantine(item, error)
            except Exception as error:  # noqa: BLE001 # one item that nobody foresaw must not block the mailbox
                self._log.event("part-failed", part="inbox", code=type(error).__name__)
                await self._quarantine(item, InternalError())
        await self._release()

    async def _release(self) -> None:
        """Let have their effect what was held for gaps that have closed (SEQ-1); raises this installation's trouble."""
        if not self._looked:
            # Once for each link: what is left undone meanwhile is remembered, and what failed may go another time.
            async with self._store.read() as tx:
                self._delivery.released |= dict.fromkeys([*await incoming.gap_closed(tx), *await lost.ready(tx)])
            self._looked = True
        for line in tuple(self._delivery.released):
            # One that cannot be released stays held and is shown so, with those behind it, but none before it.
            if not await self._release_line(line, RELEASED_AT_ONCE):
                await self._release_line(line, 1)
            self._delivery.released.pop(line, None)

    async def _release_line(self, line: Line, most: int) -> bool:
        """Release `line` in transactions of at most `most` messages; False if one of them failed for its content."""
        more = True
        try:
            while more:
                async with self._store.write() as tx:
                    more = await self._delivery.release(tx, line, most)
        except (KeystoreError, MalformedEnvelope) as error:
            self._log.event("part-failed", part="inbox", code=error.code)
        except _LOCAL:
            raise
        except Exception as error:  # noqa: BLE001 # what nobody foresaw must not block the mailbox
            self._log.event("part-failed", part="inbox", code=type(error).__name__)
        return not more

    async def _before(self, envelope_ids: Sequence[EnvelopeId]) -> _Before:
        async with self._store.read() as tx:
            seen = await incoming.seen(tx, envelope_ids)
            return _Before(seen, await mailboxes.stored_up_to(tx, self._own.device_id))

    async def _take(self, item: Item, peeked: Peeked | None, before: _Before) -> None:
        if item.kind is ItemKind.NOTICE:
            async with self._store.write() as tx:
                with _damage_told():
                    index = await self._resealing.notice(tx, item.data)
                _check_index(item, index)
                await mailboxes.stored(tx, self._own.device_id, item.index)
            return
        seen = peeked is not None and peeked.envelope_id in before.seen
        if seen and item.index <= before.stored:
            # Delivered again because our acknowledgement was lost: no attack, and no second effect.
            return
        message = await self._open(item, seen=seen)
        _check_index(item, message.leaf_index)
        self._admission.admit(message, self._directory.directory)
        async with self._store.write() as tx:
            if not await incoming.mark_seen(tx, message.envelope_id, self._clock()):
                # Another process of this installation was faster: with this very item, or with one that repeats it.
                if item.index <= await mailboxes.stored_up_to(tx, self._own.device_id):
                    return
                raise Replayed
            with _damage_told():
                await self._delivery.deliver(tx, message, item.data, self._marks(message, item.data))
            await mailboxes.stored(tx, self._own.device_id, item.index)
        before.seen.add(message.envelope_id)
        before.stored = max(before.stored, item.index)

    async def _open(self, item: Item, *, seen: bool) -> VerifiedMessage:
        try:
            async with self._directory.settled() as directory:
                return self._open_with(directory, item, seen=seen)
        except (DirectoryStale, DirectorySplit):
            await self._catch_up()
        try:
            async with self._directory.settled() as directory:
                return self._open_with(directory, item, seen=seen)
        except DirectoryStale:
            if self._directory.is_later(self._receipt_of(item)):
                raise HubUnreachable(
                    "The hub shows no directory as new as its own receipt; mail waits there."
                ) from None
            # The receipt counts more statements than a head that the hub signed later: one of the two is a lie.
            raise DirectorySplit from None

    def _receipt_of(self, item: Item) -> ReceiptBody:
        """Return what the hub's receipt of a slice says, or raise as opening it did."""
        starts = self._directory.directory.audit_starts
        return verify_receipt(parse_slice(item.data).receipt, self._audit.origin, self._audit.key, starts)

    async def _catch_up(self) -> None:
        """Bring the directory up to date, or raise: an odd answer from the hub is never the item's fault."""
        try:
            await self._directory.sync()
        except (DirectoryInconsistent, OurError):
            raise
        except ThroughcareError as error:
            raise HubUnreachable("The hub's directory cannot be read now; mail waits at the hub.") from error
        # What else a newer directory changes, others see to.
        self._directory.wanted.set()

    def _open_with(self, directory: Directory, item: Item, *, seen: bool) -> VerifiedMessage:
        return open_slice(
            item.data,
            own_device=self._own.device_id,
            prekey=self._prekey,
            directory=directory,
            audit_origin=self._audit.origin,
            audit_key=self._audit.key,
            seen=lambda _: seen,
        )

    def _marks(self, message: VerifiedMessage, raw: bytes) -> tuple[str, ...]:
        marks = ["revoked-since"] if message.revoked_since else []
        prekey = self._directory.directory.prekey(self._own.device_id, parse_slice(raw).row.prekey_epoch)
        if prekey is None or message.accepted_at - prekey.issued > PREKEY_MARKED:
            marks.append("old-prekey")
        return tuple(marks)

    async def _quarantine(self, item: Item, error: ThroughcareError) -> None:
        """Keep the item with its reason, tell its sender if there is one to tell, and let the mailbox go on."""
        peeked = _peeked(item)
        sent = self._accepted_as(item, peeked) if peeked is not None and isinstance(error, _REPORTED) else None
        async with self._store.write() as tx:
            told = sent is not None and not await quarantine.reported(tx, sent.envelope_id)
            entry = Quarantined(
                item_index=item.index,
                received_at=self._clock(),
                code=error.code,
                sender=peeked.sender_desk if peeked else None,
                envelope_id=peeked.envelope_id if peeked else None,
                message_id=None,
                reported=told,
                signed_by=signed_by(item, error, self._directory.directory, self._audit),
            )
            new = await quarantine.add(tx, entry, item.data)
            if isinstance(error, DirectorySplit):
                await self._directory.keep_receipt(tx, parse_slice(item.data).receipt)
            if new and told and sent is not None and peeked is not None:
                await self._report(tx, sent, peeked.recipient_desk)
        self._passed = max(self._passed, item.index)
        if new:
            self._log.event("item-quarantined", code=error.code)

    def _accepted_as(self, item: Item, peeked: Peeked) -> Detail | None:
        """Return what the pinned hub's receipt says was accepted, if there is somebody to be told of it.

        The receipt alone counts here: when the hub's disk has damaged the rest, the sender's signature fails too.
        That is safe, for the sender acts only on the digest of a sealing of its own, made for this very device.
        """
        if peeked.klass.bare or peeked.recipient_desk not in self._own.desks:
            return None
        try:
            starts = self._directory.directory.audit_starts
            receipt = verify_receipt(parse_slice(item.data).receipt, self._audit.origin, self._audit.key, starts)
        except ThroughcareError:
            return None
        detail = receipt.detail
        known = self._directory.directory.desk(detail.sender_desk, self._clock()) is not None
        same = receipt.kind is ReceiptKind.ACCEPTED and detail.envelope_id == peeked.envelope_id
        return detail if known and same else None

    async def _report(self, tx: Transaction, sent: Detail, desk: DeskAddress) -> None:
        now = self._clock()
        message = report(
            CANNOT_OPEN,
            digest=sent.digest,
            message_id=None,
            thread=ThreadId(ids.new_id()),
            sender=desk,
            actor=self._own.service,
            now=now,
            deadline=now + self._receipt_life,
        )
        await outgoing.add(tx, message, {sent.sender_desk: Plan()})


@contextmanager
def _damage_told() -> Iterator[None]:
    """Tell damage of what is stored of an item's thread as the item's: it holds up this one, and no other (CON-8)."""
    try:
        yield
    except KeystoreError:
        raise CannotOpen from None


def _check_index(item: Item, index: int) -> None:
    if item.index != index:
        raise BadSignature("The item does not stand where its receipt says.")


def _peeked(item: Item) -> Peeked | None:
    if item.kind is not ItemKind.SLICE:
        return None
    try:
        return peek(item.data)
    except ThroughcareError:
        return None
