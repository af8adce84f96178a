# SPDX-License-Identifier: Apache-2.0
"""Opening the store: SQLite with write-ahead log, every commit synced, one writer at a time.

A transaction that writes begins IMMEDIATE, so that two processes never discover only at commit that both
wanted to write. `synchronous=FULL` is what makes "stored before it is acknowledged" true over a power cut.
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

import connectors.migrations
from connectors.migrations import NEWEST
from connectors.store import driver
from connectors.vault import Vault
from keys.folderowner import make_folder, open_made
from protocol.disk import has_room
from protocol.errors import StoreFailed, StoreFull, Unavailable

DATABASE_FILE: Final = "connector.db"
LOCK_FILE: Final = "connector.lock"

_BUSY_MS: Final = 10_000
_PRIMARY: Final = 0xFF
"""SQLite's extended result codes have the primary one in their lowest byte."""
_MAYBE_FULL: Final = (sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_SHMSIZE)
"""What SQLite says, among other things, when a quota or a file's allowed size is used up."""


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction and the vault: what every access function is handed."""

    connection: AsyncConnection
    vault: Vault = field(repr=False)


class Store:
    """The connector's database. Make it with `Store.open`, and close it."""

    def __init__(self, path: Path, writer: AsyncEngine, readers: AsyncEngine, vault: Vault) -> None:
        """Use `open`."""
        self._path = path
        self._writer = writer
        self._readers = readers
        self._vault = vault
        self._turn = asyncio.Lock()

    @classmethod
    async def open(cls, path: Path, vault: Vault) -> "Store":
        """Open the database at `path`, made and migrated to the newest form if need be, mode 0600.

        Raises `StoreFailed` if it is damaged, no database, or made by a newer version.
        """
        try:
            await asyncio.to_thread(_prepare, path)
        except (sqlite3.DatabaseError, DatabaseError) as error:
            raise _cannot_open(error) from error
        url, way = URL.create("sqlite+aiosqlite", database=str(path)), partial(driver.connect, path)
        writer = create_async_engine(url, async_creator=way, pool_size=1, max_overflow=0)
        readers = create_async_engine(url, async_creator=way, pool_size=4, max_overflow=4)
        _configure(writer, "BEGIN IMMEDIATE", query_only=False)
        _configure(readers, "BEGIN", query_only=True)
        return cls(path, writer, readers, vault)

    @asynccontextmanager
    async def write(self) -> AsyncIterator[Transaction]:
        """Enter a transaction that may write: committed and synced at the end, rolled back on any error.

        Raises `StoreFull` when the disk is full, `Unavailable` when another process writes for too long, and
        `StoreFailed` when the disk or the database fails; nothing of the transaction is stored then.
        """
        with self._told():
            async with self._turn, self._writer.begin() as connection:
                yield Transaction(connection, self._vault)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[Transaction]:
        """Enter a transaction that reads one unchanging state and cannot write; raises as `write` does."""
        with self._told():
            async with self._readers.begin() as connection:
                yield Transaction(connection, self._vault)

    async def close(self) -> None:
        """Close all connections; the store can be opened again."""
        await self._writer.dispose()
        await self._readers.dispose()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Tell what the database says in our own words; its texts may repeat values."""
        try:
            yield
        except OperationalError as error:
            code = getattr(error.orig, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
            if code == sqlite3.SQLITE_FULL or (code in _MAYBE_FULL and not has_room(self._path.parent, self._size())):
                raise StoreFull from error
            if code & _PRIMARY == sqlite3.SQLITE_BUSY:
                raise Unavailable from error
            raise StoreFailed from error
        except DatabaseError as error:
            raise StoreFailed from error

    def _size(self) -> int:
        """Return the bytes of the larger of database and write-ahead log."""
        files = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return max(file.stat().st_size if file.exists() else 0 for file in files)


def _cannot_open(error: Exception) -> Exception:
    code = getattr(getattr(error, "orig", error), "sqlite_errorcode", 0) & _PRIMARY
    if code == sqlite3.SQLITE_BUSY:
        return Unavailable()
    return StoreFailed(f"{DATABASE_FILE} cannot be opened: it is damaged, or no database. Restore the newest backup.")


def migrate(path: Path, revision: str = "head") -> None:
    """Bring the database at `path` to `revision`; used at start and by the tests of each migration.

    Raises `StoreFailed` for a database whose form this version does not know.
    """
    # Alembic takes long to import and is needed once per release.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    engine = create_engine(URL.create("sqlite", database=str(path)), poolclass=NullPool)
    config = Config()
    config.set_main_option("script_location", str(Path(connectors.migrations.__file__).parent))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        move = command.downgrade if revision == "base" else command.upgrade
        try:
            move(config, revision)
        except CommandError as error:
            newer = StoreFailed(f"{DATABASE_FILE} was made by a newer version of Throughcare. Install that version.")
            newer.add_note("next: install that version, or a newer one, then the same command again")
            raise newer from error


def _prepare(path: Path) -> None:
    make_folder(path.parent, parents=True, exist_ok=True)
    # Made here, so that no moment exists in which others could open it.
    os.close(open_made(path, os.O_RDWR))
    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA journal_mode=WAL")
        revision = _revision(connection)
    finally:
        connection.close()
    if revision != NEWEST:
        # Alembic reads all its steps each time; a store that is up to date need not wait for that.
        migrate(path)


def _revision(connection: sqlite3.Connection) -> str | None:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'").fetchone():
        return None
    found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    return str(found[0]) if found else None


def _configure(engine: AsyncEngine, begin: str, *, query_only: bool) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def on_connect(connection: Any, _: object) -> None:  # SQLAlchemy's adapted driver connection has no public type
        # The driver must not begin transactions of its own: `begin` below says which kind.
        connection.isolation_level = None
        cursor = connection.cursor()
        for pragma in (
            f"busy_timeout={_BUSY_MS}",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
            f"query_only={int(query_only)}",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def on_begin(connection: Any) -> None:  # as above
        connection.exec_driver_sql(begin)
