# SPDX-License-Identifier: Apache-2.0
"""Work that one hub process does for all: it holds a lease, a row with an end, and others take over after that."""

import secrets

from sqlalchemy import Connection

from hub.service.transaction import Change, Finish, Transaction
from hub.service.writer import Writer
from hub.store import leases, trees
from hub.store.engine import Store
from protocol.clockwatch import Clock
from protocol.limits import SECOND

HELD = 30 * SECOND
"""How long a lease holds; a process that was killed is followed by another after that."""
RENEWED = HELD // 2
"""A lease with less than this left is asked for again."""

_HOLDER = 16


def last_shown(connection: Connection) -> int:
    """Return the newest time (ms UTC) of which the database shows that some process believed it; 0 if none (AUD-11).

    A process that does not believe its clock commits nothing. The one that holds the lease renews it also while no leaf
    is written.
    """
    return max(trees.newest_time(connection), leases.newest(connection) - HELD)


class TakeLease(Change[int]):
    """Take or keep a lease; the answer is until when it is held (ms UTC), or 0 if another process has it."""

    weight = 128

    def __init__(self, name: str, holder: bytes) -> None:
        self.name = name
        self.holder = holder

    def apply(self, transaction: Transaction) -> Finish[int]:
        """Take it unless somebody else holds it now."""
        if leases.holder(transaction.connection, self.name, transaction.now) not in (None, self.holder):
            return lambda: 0
        until = transaction.now + HELD
        leases.take(transaction.connection, self.name, self.holder, until)
        return lambda: until


class Lease:
    """One lease, as this process sees it."""

    def __init__(self, name: str, store: Store, writer: Writer, clock: Clock) -> None:
        self._name = name
        self._store = store
        self._writer = writer
        self._clock = clock
        self._holder = secrets.token_bytes(_HOLDER)
        self._until = 0

    async def held(self) -> bool:
        """Tell whether the work is this process's; where it is alone it always is.

        A lease keeps processes from doing the same work for nothing. That the work is right does not rest on it:
        it is done in transactions that exclude each other.
        """
        if not self._store.shared:
            return True
        if self._until - self._clock() < RENEWED:
            self._until = await self._writer.write(TakeLease(self._name, self._holder))
        return self._until > self._clock()
