# SPDX-License-Identifier: Apache-2.0
"""Other hub processes on the same database: hearing of what they commit, and looking for it in case nobody says."""

import asyncio

from hub.logs import Event, Log, where
from hub.service.directory import DirectoryLog
from hub.service.mailbox import Mailboxes
from hub.service.transaction import Transaction
from hub.service.writer import Writer
from hub.store import trees
from hub.store.engine import News, Store
from hub.store.trees import Log as Tree

POLL_S = 1.0
"""Seconds between two looks at the database; notifications are faster, and may be lost."""


class Neighbours:
    """Keeps this process's directory and waiting connections up to date with what others commit."""

    def __init__(self, store: Store, writer: Writer, directory: DirectoryLog, mailboxes: Mailboxes, log: Log) -> None:
        self._store = store
        self._writer = writer
        self._directory = directory
        self._mailboxes = mailboxes
        self._log = log
        self._seen = 0
        """The audit log's size up to which everybody who waits here was told."""
        self._beyond: list[tuple[int, int]] = []
        """Commits of which everybody was told, too, from and to which size, behind one that was not heard of."""
        self._hearing = False
        self._directory_grew = asyncio.Event()

    def note(self, transaction: Transaction) -> None:
        """Note what this process itself has committed; its own connections are told by the writer."""
        if self._store.shared:
            # Where nobody looks, nothing would ever fill a gap.
            self._told(transaction.size_before(Tree.AUDIT), transaction.size(Tree.AUDIT))

    def hear(self, news: News) -> None:
        """Take note of what another process has committed."""
        self._hearing = True
        self._writer.expect(Tree.AUDIT, news.size)
        self._mailboxes.hear(news)
        self._told(news.before, news.size)
        if news.directory:
            self._directory_grew.set()

    def _told(self, before: int, size: int) -> None:
        """Note that everybody concerned was told of a commit.

        One before it may never be heard of: a notification is lost, or the answer to a commit of this process's own.
        `_seen` stays before such a gap, and the next look finds it.
        """
        self._beyond.append((before, size))
        self._beyond.sort()
        while self._beyond and self._beyond[0][0] <= self._seen:
            self._seen = max(self._seen, self._beyond.pop(0)[1])

    async def look(self) -> None:
        """Ask the database for what nobody has told of.

        One that is smaller than what was seen here is another one (AUD-8): the writer notices that, and stops.
        """
        seen, statements = self._seen, self._directory.directory.size
        heads = await self._store.read(trees.stored_heads)
        size = heads[Tree.AUDIT][0]
        if size < seen or heads[Tree.DIRECTORY][0] < statements:
            await self._writer.settle()
        # While nobody listens, this process's own commits say nothing of what was missed between them.
        if size > self._seen or not self._hearing:
            self._writer.expect(Tree.AUDIT, size)
            self._mailboxes.hear(News(None, size=size, directory=False, before=0))
            self._told(0, size)
        if heads[Tree.DIRECTORY][0] > self._directory.directory.size:
            await self._directory.refresh()

    async def run(self) -> None:
        """Listen and look until cancelled; returns at once where there are no other processes."""
        if not self._store.shared:
            return
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen())
            tasks.create_task(self._watch())

    async def _listen(self) -> None:
        while True:
            await self._store.listen(self.hear)
            self._hearing = False
            await asyncio.sleep(POLL_S)

    async def _watch(self) -> None:
        while True:
            self._directory_grew.clear()
            try:
                await self.look()
            except Exception as error:  # noqa: BLE001 - a database that is away today may be back in a second
                self._log.warning(Event.JOB_FAILED, job="neighbours", where=where(error))
            try:
                async with asyncio.timeout(POLL_S):
                    await self._directory_grew.wait()
            except TimeoutError:
                continue
