# SPDX-License-Identifier: Apache-2.0
"""The directory log: kept in memory as verified, appended to through the writer, and vouched for by heads.

Where several hub processes share a database, each takes in what the others append: when it is told, when it
asks, and always before it vouches for the whole, so that no head is ever smaller than one given before.
"""

import asyncio
from collections.abc import Callable

from sqlalchemy import Connection

from hub.service.quota import Quota
from hub.service.replaying import take
from hub.service.transaction import Change, Finish, Transaction
from hub.service.writer import Writer
from hub.store import trees
from hub.store.engine import Store
from hub.store.trees import Log
from keys.directory import Directory
from keys.signing import Ed25519Signer, sign_head
from protocol.clockwatch import Clock
from protocol.errors import (
    NotFound,
    PolicyDenied,
    StoreBehind,
    StoreFull,
    ThroughcareError,
    Unavailable,
    UntrustedKey,
)
from protocol.ids import KeyId
from protocol.limits import CLOCK_SKEW, MINUTE
from protocol.receipts import Head
from protocol.restoration import Restoration
from protocol.statements import parse_statement

HEAD_KEPT = MINUTE
"""How long a signed head may be handed out: connectors judge the hub's freshness by its time (DIR-11)."""
REACHED_S = 10.0
"""Seconds to wait for a committed statement to be in memory, which takes a moment."""

LEAST_STATEMENT = 2_048
"""Bytes that hardly a statement has less of: its signatures have more."""

_PAGE = 500


class DirectoryGrew(ThroughcareError):
    """Another process appended a statement first; this one is checked again, and nobody is told."""


class AppendStatement(Change[int]):
    """Append a statement that the directory has checked; the answer is its index."""

    def __init__(self, raw: bytes, index: int) -> None:
        self.raw = raw
        self.index = index
        self.weight = len(raw)

    def apply(self, transaction: Transaction) -> Finish[int]:
        """Append the leaf where it was checked to belong."""
        if transaction.size(Log.DIRECTORY) != self.index:
            raise DirectoryGrew
        index = transaction.append(Log.DIRECTORY, self.raw)
        return lambda: index


class DirectoryLog:
    """The hub's directory. Everything here happens on the event loop; only one statement is appended at a time."""

    def __init__(self, store: Store, writer: Writer, directory: Directory, key: Ed25519Signer, clock: Clock) -> None:
        """`directory` is empty; `load` fills it."""
        self.directory = directory
        self._store = store
        self._writer = writer
        self._key = key
        self._clock = clock
        self._turn = asyncio.Lock()
        self._looking = asyncio.Lock()
        self._asked = 0
        self._seen = 0
        """Up to which of those who asked the stored directory was looked at."""
        self._grown = asyncio.Condition()
        self._head: tuple[Head, bytes] | None = None
        self._behind = False
        """Whether the stored directory may hold statements that are not in memory though nobody else writes."""
        self._listeners: list[Callable[[], None]] = []
        self._quota = Quota()

    def agency_of(self, device_id: KeyId) -> str:
        """Return whose allowance an authenticated device uses (HTTP-14, HTTP-15)."""
        entry = self.directory.device(device_id)
        return "" if entry is None else entry.agency

    def on_statement(self, listener: Callable[[], None]) -> None:
        """Have `listener` called after each new statement."""
        self._listeners.append(listener)

    async def load(self, size: int) -> None:
        """Replay the first `size` statements; raises StoreBehind if they are not what this hub once accepted."""
        while batch := (await self._store.read(self._stored))[1][: size - self.directory.size]:
            # The log check has shown that the leaves are those that were once accepted.
            take(self.directory, batch)
            for raw in batch:
                self._quota.recall(parse_statement(raw), self._clock())

    def _stored(self, connection: Connection) -> tuple[int, list[bytes]]:
        start = self.directory.size
        return start, trees.leaves(connection, Log.DIRECTORY, start, _PAGE)

    async def refresh(self) -> None:
        """Take in what other processes have appended to the stored directory, or what was committed unanswered."""
        if self._store.shared:
            await self._look()
        elif self._behind:
            try:
                await self._writer.settle()
            except (StoreFull, Unavailable):
                # It is not guarded yet, so nothing may be vouched for but what is known.
                return
            await self._catch_up()
            self._behind = False

    async def _look(self) -> None:
        """Look at the stored directory, once for all who have asked since the last look began."""
        self._asked += 1
        asked = self._asked
        async with self._looking:
            if self._seen < asked:
                newest = self._asked
                await self._catch_up()
                self._seen = newest

    async def _catch_up(self) -> None:
        grown = False
        while True:
            start, stored = await self._store.read(self._stored)
            for index, raw in enumerate(stored, start):
                # What somebody else took in while this was being read is skipped.
                if index != self.directory.size:
                    continue
                try:
                    self._take_in(raw)
                except ThroughcareError as error:
                    raise StoreBehind("The stored directory holds a statement that this hub refuses.") from error
                grown = True
            if len(stored) < _PAGE:
                break
        if grown:
            self._writer.expect(Log.DIRECTORY, self.directory.size)
            await self._tell()

    async def append(self, raw: bytes) -> int:
        """Append a statement and return its index; one with the same body again gets the same index.

        Raises what is wrong with the statement, or Unavailable for one of a signer who had a day's share; a refused
        one changes nothing.
        """
        while True:
            try:
                return await self._append(raw)
            except DirectoryGrew:
                await self._catch_up()

    async def _append(self, raw: bytes) -> int:
        async with self._turn:
            await self.refresh()
            known = self.directory.index_of(raw)
            if known is not None:
                return known
            statement, now = parse_statement(raw), self._clock()
            if isinstance(statement.body.subject, Restoration):
                raise PolicyDenied("A restore is told to the hub by its operator, before it serves.")
            if statement.body.issued > now + CLOCK_SKEW:
                # Statements are judged by their own date, which nobody may choose ahead of time.
                raise UntrustedKey("The statement is dated over 10 minutes ahead. Check the clock and sign it again.")
            self._quota.check(statement, now)
            self.directory.check(raw)
            # Once it is committed it must be taken in, even if who sent it does not wait for the answer.
            return await asyncio.shield(asyncio.ensure_future(self._commit(raw, self.directory.size)))

    async def _commit(self, raw: bytes, size: int) -> int:
        try:
            index = await self._writer.write(AppendStatement(raw, size))
        except (StoreFull, Unavailable):
            # It may be committed all the same: without room for the guard, say.
            self._behind = True
            raise
        if index == self.directory.size:
            self._take_in(raw)
            await self._tell()
        return index

    def _take_in(self, raw: bytes) -> None:
        self.directory.apply(raw)
        self._quota.count(parse_statement(raw), self._clock())

    async def _tell(self) -> None:
        async with self._grown:
            self._grown.notify_all()
        for listener in self._listeners:
            listener()

    async def reached(self, size: int) -> None:
        """Wait until the directory in memory has `size` statements, as the stored one already has."""
        await self.refresh()
        try:
            async with asyncio.timeout(REACHED_S), self._grown:
                await self._grown.wait_for(lambda: self.directory.size >= size)
        except TimeoutError:
            raise Unavailable from None

    async def head(self) -> bytes:
        """Return the newest signed head, at most a minute old (DIR-10); NotFound before the first statement.

        Raises ClockWrong while the clock may be wrong: a head dated ahead would be the newest for long (AUD-7, AUD-11).
        """
        await self.refresh()
        if self.directory.size == 0:
            raise NotFound("The directory has no statement yet. The authority submits the root first.")
        self._writer.check_clock()
        now = self._clock()
        if self._head is not None:
            head, signed = self._head
            if head.size == self.directory.size and head.at <= now < head.at + HEAD_KEPT:
                return signed
        head = Head(self.directory.origin, self.directory.size, self.directory.root, now)
        signed = sign_head(head, self._key)
        self._head = (head, signed)
        return signed

    async def statements(self, start: int, most: int, most_bytes: int) -> tuple[list[bytes], int | None]:
        """Return statements from index `start` on, at most `most` and `most_bytes`, and where to go on, or None."""
        await self.refresh()
        most = min(most, most_bytes // LEAST_STATEMENT + 1)
        found = await self._store.read(lambda connection: trees.leaves(connection, Log.DIRECTORY, start, most))
        page: list[bytes] = []
        total = 0
        for raw in found:
            total += len(raw)
            if page and total > most_bytes:
                break
            page.append(raw)
        end = start + len(page)
        return page, end if page and end < self.directory.size else None
