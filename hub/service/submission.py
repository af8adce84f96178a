# SPDX-License-Identifier: Apache-2.0
"""Submissions: what a hub can check without opening anything, and how long each counts (ENV, HTTP-5, HTTP-14 to 18).

Nearly every envelope is checked and queued for the writer in one go. What has to ask the database or the directory
first, or was refused and may have been accepted before, takes the long way in a task of its own.
"""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from typing import Any

from hub.service.accepting import (
    AcceptEnvelope,
    DirectoryMoved,
    check_same,
    readers_of,
    sizes_of,
    weight_of,
)
from hub.service.allowances import Allowances
from hub.service.checking import check_envelope
from hub.service.directory import DirectoryLog
from hub.service.holdings import Holding, Holdings, Share
from hub.service.receipts import Receipts
from hub.service.tally import IN, Tally
from hub.service.waiting import Room, Waiting
from hub.service.writer import Writer
from hub.store import envelopes
from hub.store.engine import Store
from hub.store.envelopes import Accepted
from protocol.clockwatch import Clock
from protocol.envelope import UnverifiedEnvelope, parse_envelope
from protocol.errors import (
    DirectoryError,
    EnvelopeError,
    EnvelopeIdReused,
    MalformedEnvelope,
    QuotaReached,
    SenderMismatch,
    ThroughcareError,
    Unavailable,
)
from protocol.frames import parse_batch
from protocol.ids import KeyId

_READ_FOR_NOTHING = (EnvelopeError, DirectoryError, EnvelopeIdReused, QuotaReached)
"""What shows after the work only; honest senders have few of these (HTTP-14)."""


@dataclass(frozen=True, slots=True)
class SubmissionParts:
    """The services that a submission calls."""

    store: Store
    writer: Writer
    directory: DirectoryLog
    receipts: Receipts
    clock: Clock
    tally: Tally
    allowances: Allowances
    waiting: Waiting
    holdings: Holdings


class Submissions:
    """Takes envelopes from devices."""

    def __init__(self, parts: SubmissionParts) -> None:
        self._parts = parts
        self._asking: set[asyncio.Task[bytes]] = set()

    def submit(self, device_id: KeyId, data: bytes) -> "asyncio.Future[bytes]":
        """Accept the envelope `data` from an authenticated device; the future is its receipt, durable (HTTP-5).

        Or it is the EnvelopeError or DirectoryError that says what is wrong with it, TooManyRequests, QuotaReached, or
        Unavailable. Whoever goes away meanwhile takes nothing back: what the writer has may be committed, and counts
        until it has answered (HTTP-15, HTTP-18).
        """
        answer: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        _Submission(self._parts, self._asking, device_id, data, answer).begin()
        return answer

    def batch(self, device_id: KeyId, data: bytes) -> tuple[bytes, ...]:
        """Return the envelopes of a batch, or raise MalformedEnvelope and charge for bytes that are none (HTTP-14)."""
        try:
            return parse_batch(data)
        except MalformedEnvelope:
            self._parts.allowances.spoiled(self._parts.directory.agency_of(device_id), len(data))
            raise


@dataclass(frozen=True, slots=True)
class _Read:
    """An envelope of the right form, and what it takes of its agency's shares if it is accepted."""

    envelope: UnverifiedEnvelope
    room: Room
    share: Share


@dataclass(frozen=True, slots=True)
class _Finding:
    """What came of checking an envelope by the first `size` statements of the directory: a change, or what is wrong."""

    size: int
    outcome: AcceptEnvelope | ThroughcareError

    def sound(self) -> AcceptEnvelope:
        """Return the change, or raise what is wrong."""
        if isinstance(self.outcome, ThroughcareError):
            raise self.outcome
        return self.outcome


class _Submission:
    """One envelope on its way; what it takes of its agency's shares counts until it is known what became of it."""

    def __init__(
        self,
        parts: SubmissionParts,
        asking: set[asyncio.Task[bytes]],
        device_id: KeyId,
        data: bytes,
        answer: "asyncio.Future[bytes]",
    ) -> None:
        """`asking` keeps the tasks of those that take the long way."""
        self._parts = parts
        self._asking = asking
        self._agency = parts.directory.agency_of(device_id)
        self._device_id = device_id
        self._data = data
        self._answer = answer
        self._settling: list[Callable[[bool], None]] = []

    def begin(self) -> None:
        """Check it, and hand it to the writer at once if nothing has to be asked for it."""
        try:
            self._parts.allowances.submission(self._agency, len(self._data))
            self._wait_with(len(self._data))
            read = self._read()
            finding = self._look(read.envelope)
            change = finding.outcome
            if isinstance(change, AcceptEnvelope) and read.room.try_take() and read.share.try_take():
                self._parts.writer.queue(change).add_done_callback(partial(self._written, read))
            else:
                self._ask(self._slowly(read, finding))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            self._refuse(error)

    def _wait_with(self, size: int) -> None:
        """Count `size` bytes that wait for the writer."""
        self._parts.allowances.take_place(self._agency, size)
        # Nothing that refers to this object: its envelope must be gone as soon as it is answered.
        self._settling.append(partial(_give_place, self._parts.allowances, self._agency, size))

    def _read(self) -> _Read:
        parts, envelope = self._parts, parse_envelope(self._data)
        if envelope.common.device_id != self._device_id:
            raise SenderMismatch
        readers = readers_of(envelope)
        if readers:
            self._wait_with(weight_of(readers))
        room = Room(parts.waiting, self._agency, sizes_of(envelope))
        share = Share(parts.holdings, self._agency, Holding(readers=readers))
        self._settling += (room.settle, share.settle)
        return _Read(envelope, room, share)

    def _look(self, envelope: UnverifiedEnvelope) -> _Finding:
        """Check `envelope` by the directory as it is."""
        parts, directory = self._parts, self._parts.directory.directory
        size = directory.size
        try:
            until = check_envelope(envelope, directory, parts.clock())
        except ThroughcareError as refused:
            return _Finding(size, refused)
        change = AcceptEnvelope(envelope, directory_size=size, valid_until=until, receipts=parts.receipts)
        return _Finding(size, change)

    def _written(self, read: _Read, written: "asyncio.Future[bytes]") -> None:
        """Pass on what the writer has answered."""
        error = None if written.cancelled() else written.exception()
        if isinstance(error, DirectoryMoved):
            try:
                self._ask(self._anew(read, error.size))
            except Exception as failed:  # noqa: BLE001 - whatever it is, it is the answer
                self._refuse(failed)
        else:
            self._finish(written)

    def _ask(self, way: Coroutine[Any, Any, bytes]) -> None:
        """Take the long way."""
        work = asyncio.create_task(way)
        self._asking.add(work)
        work.add_done_callback(self._asking.discard)
        work.add_done_callback(self._finish)

    def _finish(self, done: "asyncio.Future[bytes]") -> None:
        """Answer with what has come of it."""
        try:
            error = Unavailable() if done.cancelled() else done.exception()
            if error is None:
                self._accept(done.result())
            else:
                self._refuse(error)
        except Exception as failed:  # noqa: BLE001 - else nobody would be answered, and it would count for ever
            self._refuse(failed)

    def _accept(self, receipt: bytes) -> None:
        self._settle(True)
        self._parts.tally.add(IN, "accepted")
        if not self._answer.done():
            self._answer.set_result(receipt)

    def _refuse(self, error: BaseException) -> None:
        self._settle(False)
        if isinstance(error, _READ_FOR_NOTHING):
            self._parts.allowances.refused(self._agency, len(self._data))
        if isinstance(error, ThroughcareError):
            self._parts.tally.add(IN, error.code)
        if isinstance(error, ThroughcareError | MemoryError):
            _let_go(error)
        if not self._answer.done():
            self._answer.set_exception(error)

    def _settle(self, accepted: bool) -> None:
        while self._settling:
            self._settling.pop()(accepted)

    async def _anew(self, read: _Read, size: int) -> bytes:
        """Check it again, once the directory has at least `size` statements."""
        await self._parts.directory.reached(size)
        return await self._slowly(read, self._look(read.envelope))

    async def _slowly(self, read: _Read, finding: _Finding) -> bytes:
        parts, envelope = self._parts, read.envelope
        while True:
            try:
                change = finding.sound()
                await read.room.take()
                await read.share.take()
            except ThroughcareError as refused:
                if isinstance(refused, DirectoryError | SenderMismatch) and await self._knows_more(finding.size):
                    finding = self._look(envelope)
                    continue
                # What was accepted once stays accepted, however time and directory have moved on (HTTP-5). Whether it
                # was is asked for only here: while the checks pass, the writer sees it anyway.
                before = await self._accepted_before(envelope)
                if before is None:
                    raise
                check_same(envelope, before)
                if not parts.writer.is_guarded(before.entry.size):
                    await parts.writer.settle()
                return parts.receipts.of(before.entry)
            try:
                return await parts.writer.write(change)
            except DirectoryMoved as moved:
                await parts.directory.reached(moved.size)
                finding = self._look(envelope)

    async def _knows_more(self, size: int) -> bool:
        """Tell whether another process has appended to the directory what this one had not heard of (HTTP-23)."""
        async with self._parts.allowances.reading(self._agency):
            await self._parts.directory.refresh()
        return self._parts.directory.directory.size != size

    async def _accepted_before(self, envelope: UnverifiedEnvelope) -> Accepted | None:
        id_ = envelope.common.envelope_id
        async with self._parts.allowances.reading(self._agency):
            found = await self._parts.store.read(lambda connection: envelopes.accepted(connection, [id_]))
        return found.get(id_)


def _give_place(allowances: Allowances, agency: str, size: int, accepted: bool) -> None:
    """Count `size` bytes no more, whatever came of them."""
    allowances.give_place(agency, size)


def _let_go(error: BaseException) -> None:
    """Part an error that was foreseen from the frames that it went through: they hold the envelope in a cycle."""
    error.__traceback__ = error.__context__ = error.__cause__ = None
