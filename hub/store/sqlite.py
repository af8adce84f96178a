# SPDX-License-Identifier: Apache-2.0
"""SQLite, the default: one file with one writing connection and a few that can only read.

The settings are those under which a commit that returned is on the disk, and under which SQLite versions
before 3.51.3 keep their files whole: only the writing connection ever writes or checkpoints.

A transaction is a plain function over a `Connection`, run as one call in the connection's own thread. The
asynchronous driver would go to its thread and back for each statement, some eighty times for one message.
"""

import asyncio
import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.pool import NullPool

from hub.store.engine import News, Store
from hub.store.lock import ProcessLock
from hub.store.statements import TEXTS
from keys.folderowner import open_made
from protocol import disk
from protocol.errors import ConfigurationError, OurError, StoreFailed, StoreFull, Unavailable

T = TypeVar("T")

READERS = 3
RESTART_ABOVE = 64 << 20
"""Bytes of write-ahead log above which readers are made to let go of it, so that it starts anew."""

_DAMAGED = (
    "The database is damaged, or is none. Stop the hub and restore the newest backup that is sound "
    "(`throughcare-hub restore`)."
)

_SHORT = (
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_IOERR_NOMEM,
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMMAP,
)
"""What SQLite says when the process has run out of memory or descriptors for now; nothing was synced then."""
_MAYBE_FULL = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
"""What it says, among other things, when a quota or a file's allowed size is used up."""
_ABANDONED: list[object] = []
"""What must not be closed before the process ends."""

# From SQLAlchemy, and from the driver itself where `hub.store.statements` asks that.
_ERRORS = (DBAPIError, sqlite3.Error)
_FAULTS = (OperationalError, sqlite3.OperationalError)

_DAMAGED_CODES = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_PRIMARY = 0xFF
"""SQLite's extended result codes have the primary one in their lowest byte."""

_PATIENCE = "PRAGMA busy_timeout=10000"
_EVERY_CONNECTION = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    _PATIENCE,
    "PRAGMA wal_autocheckpoint=0",
    "PRAGMA cache_size=-16384",
    f"PRAGMA journal_size_limit={RESTART_ABOVE}",
)

# What is deleted is overwritten, however SQLite was built (HTTP-7). And a statement that puts many rows in keeps the
# pages it changes until it is done, to take them back if a row is refused; by default in a file that is made for each
# group and written page by page.
_WRITER = ("PRAGMA secure_delete=ON", "PRAGMA temp_store=MEMORY")


def sqlite_is_sound(version: tuple[int, ...] = sqlite3.sqlite_version_info) -> bool:
    """Tell whether this SQLite is free of the bug that several writing connections set off (fixed in 3.51.3)."""
    return version >= (3, 51, 3) or version in ((3, 44, 6), (3, 50, 7))


class SqliteStore(Store):
    """A SQLite file that no other process writes to."""

    shared = False

    def __init__(self, path: Path, lock: ProcessLock) -> None:
        self.path = path
        self._lock = lock
        self._failed = False
        self._writer = _engine(path, size=1, begin="BEGIN IMMEDIATE", pragmas=(*_EVERY_CONNECTION, *_WRITER))
        self._readers = _engine(path, size=READERS, begin="BEGIN", pragmas=(*_EVERY_CONNECTION, "PRAGMA query_only=ON"))
        self._kept: Connection | None = None
        self._writing = ThreadPoolExecutor(1, thread_name_prefix="store-writer")
        self._reading = ThreadPoolExecutor(READERS, thread_name_prefix="store-reader")

    @classmethod
    async def open(cls, path: Path) -> "SqliteStore":
        """Open or create the database at `path`.

        Raises ConfigurationError if another process has it, and StoreFailed if it is damaged or no database.
        """
        if not path.parent.is_dir():
            raise ConfigurationError(f"There is no folder {path.parent}. Make it with `throughcare-hub init`.")
        lock = ProcessLock(path.with_suffix(".lock"))
        # The file is made here so that nobody else can ever read it.
        os.close(open_made(path, os.O_RDWR))
        store = cls(path, lock)
        try:
            await store._in_thread(store._reading, store._open_readers)
        except BaseException:
            await store.close()
            raise
        return store

    def _open_readers(self) -> None:
        """Open all connections that read, so that none needs a descriptor when there is none left."""
        try:
            with ExitStack() as stack:
                for _ in range(READERS):
                    connection = stack.enter_context(self._readers.begin())
                    connection.scalar(text("SELECT count(*) FROM sqlite_master"))
        except _ERRORS as error:
            raise (StoreFailed(_DAMAGED) if _is_damaged(error) else Unavailable()) from error

    async def write(self, work: Callable[[Connection], T], then: Callable[[T], None] = lambda result: None) -> T:
        """Run it on the writing connection, and `then` in the same thread."""
        return await self._in_thread(self._writing, self._write, work, then)

    def _write(self, work: Callable[[Connection], T], then: Callable[[T], None]) -> T:
        try:
            connection = self._writing_connection()
            with connection.begin():
                result = work(connection)
        except BaseException as error:
            self._let_go()
            if isinstance(error, _FAULTS) or _is_damaged(error):
                raise self._meaning(_of_driver(error)) from error
            raise
        try:
            then(result)
        except OSError as error:
            self._failed = True
            raise StoreFailed from error
        return result

    def _writing_connection(self) -> Connection:
        """Return the connection that is kept from group to group; taking it from the pool costs each group its part."""
        if self._kept is None:
            self._kept = self._writer.connect()
        return self._kept

    def _let_go(self) -> None:
        """Give the writing connection back after an error: the pool makes it fit for use again, or opens another."""
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close()

    def _meaning(self, error: BaseException | None) -> OurError:
        """Return what a failed write of SQLite's means: full, or short of something, or the end."""
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK)
        if code == sqlite3.SQLITE_FULL:
            return StoreFull()
        if code in _SHORT or code & _PRIMARY == sqlite3.SQLITE_CANTOPEN:
            return Unavailable()
        if code in _MAYBE_FULL and not disk.has_room(self.path.parent, max(self.log_size(), self._file_size())):
            return StoreFull()
        self._failed = self._failed or code & _PRIMARY == sqlite3.SQLITE_IOERR
        return StoreFailed(_DAMAGED) if code & _PRIMARY in _DAMAGED_CODES else StoreFailed()

    async def read(self, work: Callable[[Connection], T]) -> T:
        """Run it on one of the connections that only read."""
        return await self._in_thread(self._reading, self._read, work)

    def _read(self, work: Callable[[Connection], T]) -> T:
        try:
            with self._readers.begin() as connection:
                return work(connection)
        except _ERRORS as error:
            if _is_damaged(error):
                raise StoreFailed(_DAMAGED) from error
            raise Unavailable from error

    def is_fault(self, error: Exception) -> bool:
        """Tell whether the disk or the file is at fault."""
        return isinstance(error, _FAULTS) or _is_damaged(error)

    async def checkpoint(self) -> None:
        """Move what is committed from the write-ahead log into the database file, as far as readers allow."""
        await self._in_thread(self._writing, self._checkpoint)

    def _checkpoint(self) -> None:
        mode = "RESTART" if self.log_size() > RESTART_ABOVE else "PASSIVE"
        # A checkpoint cannot run inside a transaction, hence past SQLAlchemy's own BEGIN.
        connection = self._writing_connection().connection
        try:
            cursor = connection.cursor()
            # A backup reads one state for as long as it takes, and a restart of the log would wait for it each time.
            cursor.execute("PRAGMA busy_timeout=50")
            cursor.execute(f"PRAGMA wal_checkpoint({mode})")
            cursor.execute(_PATIENCE)
        except sqlite3.Error as error:
            meaning = self._meaning(error)
            if isinstance(meaning, StoreFailed):
                raise meaning from error
            # Where there is no room now, the log grows for a while; what is committed stands in it.

    def log_size(self) -> int:
        """Return the bytes of the write-ahead log's file."""
        try:
            return self.path.with_name(self.path.name + "-wal").stat().st_size
        except FileNotFoundError:
            return 0

    def _file_size(self) -> int:
        return self.path.stat().st_size

    def alone(self, connection: Connection) -> None:
        """Do nothing: the file is locked."""

    def tell(self, connection: Connection, news: News) -> None:
        """Do nothing: there is nobody to tell."""

    async def listen(self, hear: Callable[[News], None]) -> None:
        """Return at once: there is nobody to hear."""

    async def close(self) -> None:
        """Finish what runs, close every connection and let other processes have the file."""
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._reading.shutdown()
        self._writing.shutdown()
        if self._failed:
            # AUD-9: the last connection to close would sync once more what a failed sync may have thrown away, and
            # believe it. So nothing is closed; the process is about to end, and the next one reads what is on the disk.
            _ABANDONED.append(self)
            return
        self._readers.dispose()
        # The last to close moves the write-ahead log into the file.
        self._let_go()
        self._writer.dispose()
        self._lock.release()

    async def _in_thread(self, threads: ThreadPoolExecutor, work: Callable[..., T], *arguments: Any) -> T:
        try:
            done = asyncio.get_running_loop().run_in_executor(threads, work, *arguments)
        except RuntimeError:
            raise Unavailable from None
        return await done


def left_open() -> int:
    """Return how many databases this process must not close any more, since a disk failed: it has to end."""
    return len(_ABANDONED)


@contextmanager
def reading_only(path: Path) -> Iterator[Connection]:
    """Yield a transaction that reads the database at `path` and cannot change it, also beside a running hub.

    Raises StoreFailed if it is no database, or cannot be read.
    """
    engine = create_engine(
        "sqlite://",
        creator=lambda: sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None),
        poolclass=NullPool,
        hide_parameters=True,
    )
    event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    try:
        with engine.begin() as connection:
            yield connection
    except _ERRORS as error:
        raise StoreFailed("The database cannot be read: it is damaged, or not one.") from error


def _of_driver(error: BaseException) -> BaseException | None:
    """Return what the driver raised, whether SQLAlchemy has wrapped it or not."""
    return error.orig if isinstance(error, DBAPIError) else error


def _is_damaged(error: BaseException) -> bool:
    return getattr(_of_driver(error), "sqlite_errorcode", sqlite3.SQLITE_OK) & _PRIMARY in _DAMAGED_CODES


def _text(data: bytes) -> str:
    return data.decode(errors="surrogateescape")


def _engine(path: Path, *, size: int, begin: str, pragmas: tuple[str, ...]) -> Engine:
    engine = create_engine(
        f"sqlite:///{path}",
        pool_size=size,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"check_same_thread": False, "cached_statements": TEXTS},
    )

    @event.listens_for(engine, "connect")
    def configure(connection: Any, _record: object) -> None:
        # Without this the sqlite3 module begins transactions on its own, and too late.
        connection.isolation_level = None
        # Where the disk has turned bytes into a text it is read, and found to be none (HTTP-7): the driver would refuse
        # every row that is asked for together with it.
        connection.text_factory = _text
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(pragma)
        cursor.close()

    @event.listens_for(engine, "begin")
    def take_the_lock(connection: Connection) -> None:
        # Past SQLAlchemy, see `hub.store.statements`.
        connection.connection.cursor().execute(begin)

    return engine
