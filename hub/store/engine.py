# SPDX-License-Identifier: Apache-2.0
"""How the database is opened: SQLite with one writing connection and a few that can only read.

The settings are those under which a commit that returned is on the disk, and under which SQLite versions
before 3.51.3 keep their files whole: only the writing connection ever writes or checkpoints.
"""

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from hub.store.lock import ProcessLock
from protocol.errors import StoreFull, Unavailable

T = TypeVar("T")

READERS = 4
RESTART_ABOVE = 64 << 20
"""Bytes of write-ahead log above which readers are made to let go of it, so that it starts anew."""

_EVERY_CONNECTION = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=10000",
    "PRAGMA wal_autocheckpoint=0",
    "PRAGMA cache_size=-16384",
    f"PRAGMA journal_size_limit={RESTART_ABOVE}",
)


def sqlite_is_sound(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Tell whether this SQLite is free of the bug that several writing connections set off (fixed in 3.51.3)."""
    return version >= (3, 51, 3) or version in ((3, 44, 6), (3, 50, 7))


class Store:
    """The database of one hub. `write` and `read` run a function of `hub.store` in a transaction of its own."""

    def __init__(self, path: Path, lock: ProcessLock, writer: AsyncEngine, readers: AsyncEngine) -> None:
        self.path = path
        self._lock = lock
        self._writer = writer
        self._readers = readers
        self._connection: AsyncConnection | None = None

    @classmethod
    async def open(cls, path: Path) -> "Store":
        """Open or create the database at `path`; raises ConfigurationError if another process has it."""
        lock = ProcessLock(path.with_suffix(".lock"))
        # The file is made here so that nobody else can ever read it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        writer = _engine(path, size=1, begin="BEGIN IMMEDIATE", pragmas=_EVERY_CONNECTION)
        readers = _engine(path, size=READERS, begin="BEGIN", pragmas=(*_EVERY_CONNECTION, "PRAGMA query_only=ON"))
        store = cls(path, lock, writer, readers)
        try:
            store._connection = await writer.connect()
        except BaseException:
            await store.close()
            raise
        return store

    async def write(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a transaction on the writing connection and commit it.

        Only the writer task calls this, so that no two transactions ever wait for each other. Raises StoreFull
        when the disk is full; every other error of the database comes out as it is.
        """
        connection = self._writing
        try:
            async with connection.begin():
                return await connection.run_sync(work)
        except OperationalError as error:
            if is_full(error):
                raise StoreFull from error
            raise

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run `work` in a read transaction; raises Unavailable when the database cannot be read."""
        try:
            async with self._readers.connect() as connection, connection.begin():
                return await connection.run_sync(work)
        except DatabaseError as error:
            raise Unavailable from error

    async def checkpoint(self) -> None:
        """Move what is committed from the write-ahead log into the database file, as far as readers allow."""
        mode = "RESTART" if self.log_size() > RESTART_ABOVE else "PASSIVE"
        # A checkpoint cannot run inside a transaction, hence past SQLAlchemy's own BEGIN.
        raw = await self._writing.get_raw_connection()
        driver: Any = raw.driver_connection
        async with driver.execute(f"PRAGMA wal_checkpoint({mode})") as cursor:
            await cursor.fetchall()

    def size(self) -> int:
        """Return the bytes on disk."""
        return self.path.stat().st_size + self.log_size()

    async def close(self) -> None:
        """Close every connection and let other processes have the file."""
        if self._connection is not None:
            await self._connection.close()
        await self._readers.dispose()
        await self._writer.dispose()
        self._lock.release()

    @property
    def _writing(self) -> AsyncConnection:
        if self._connection is None:
            raise Unavailable
        return self._connection

    def log_size(self) -> int:
        """Return the bytes of the write-ahead log."""
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0


def is_full(error: DatabaseError) -> bool:
    """Tell whether the database refused for want of space."""
    return getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL


def _engine(path: Path, *, size: int, begin: str, pragmas: tuple[str, ...]) -> AsyncEngine:
    engine = create_async_engine(f"sqlite+aiosqlite:///{path}", pool_size=size, max_overflow=0, hide_parameters=True)

    @event.listens_for(engine.sync_engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        # Without this the sqlite3 module begins transactions on its own, and too late.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def take_the_lock(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    return engine
