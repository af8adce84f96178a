# SPDX-License-Identifier: Apache-2.0
"""What every database can do for the hub: run a transaction, tell other processes, say what its errors mean.

A transaction is a plain function over a `Connection` (see docs/adr/0008). `hub.store.sqlite` runs it as one
call in a thread, `hub.store.postgres` under `AsyncConnection.run_sync`. Nothing above knows which it is.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy import Connection

from protocol.errors import StoreFailed

T = TypeVar("T")


class ConnectionLost(StoreFailed):
    """The database went away before it was known whether a transaction was committed.

    Whoever asked is told to try again: the same envelope gets the same receipt, committed or not (HTTP-5).
    """

    default = "The connection to the database was lost. See that it runs, then type the same command again."


NAMED = 8
"""Bytes of a device's key id that name it among processes; who is woken for nothing finds nothing."""


@dataclass(frozen=True, slots=True)
class News:
    """What another hub process committed."""

    devices: frozenset[bytes] | None = field(repr=False)
    """The beginnings of the key ids of devices that have something new, or None when it could be any of them."""
    size: int
    """How many leaves the audit log had then."""
    before: int = field(kw_only=True)
    """How many it had before that commit."""
    directory: bool
    """Whether the directory grew."""


class Store(ABC):
    """The database of one hub. `write` and `read` run a function of `hub.store` in a transaction of its own."""

    shared: bool
    """Whether other hub processes may write to the same database."""

    @abstractmethod
    async def write(self, work: Callable[[Connection], T], then: Callable[[T], None] = lambda result: None) -> T:
        """Run `work` in a transaction that may write, commit it, and run `then`, which may block, in a thread.

        Only the writer task calls this, so that no two transactions of a process ever wait for each other. Raises
        StoreFull when the disk is full, and StoreFailed when the disk or the database failed, or `then` did; in
        that case, and for ConnectionLost, something may have been committed. What `work` raises comes out as it
        is, and nothing was changed.
        """

    @abstractmethod
    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read transaction; raises Unavailable when the database cannot be read."""

    @abstractmethod
    def is_fault(self, error: Exception) -> bool:
        """Tell whether `error`, raised in a transaction, is the database's fault and not that of one change."""

    @abstractmethod
    async def close(self) -> None:
        """Finish what runs, close every connection and let other processes have the data directory."""

    @abstractmethod
    async def checkpoint(self) -> None:
        """Move what is committed from a write-ahead log of ours into the database, if there is one."""

    @abstractmethod
    def alone(self, connection: Connection) -> None:
        """Keep other processes from doing the same at the same time, until the transaction ends."""

    @abstractmethod
    def tell(self, connection: Connection, news: News) -> None:
        """Have other processes told of `news` once the transaction of `connection` is committed."""

    @abstractmethod
    async def listen(self, hear: Callable[[News], None]) -> None:
        """Call `hear` with the news of other processes, first of all that there could be any.

        Returns when nothing can be heard any more.
        """
